"""Pre-train small causal language models on chess games: ``python scripts/pretrain_chess.py --help``.

Games become the prompts of the puzzles: ``position`` draws a few positions a game, each with the move that was played;
``moves`` reads whole games. The models are Llama-shaped; the tokenizer is ``w2s_pref.studies.chess.notation``.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import chess
import numpy as np
import pandas as pd
import torch
import transformers
from pretrain_small import EMBEDDING_RATE, MATRIX_RATE, build_model, save
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.chess.notation import MAX_LENGTH, build_tokenizer, facing, position_text, read_move, turned

#: Name -> width x layers.
SIZES = {"xxs": "32x2", "xs": "64x2", "s": "128x4", "m": "256x4"}
OPENING = 8
"""Half-moves at the start of a game from which no position is drawn: they are the same in too many games."""
HELD_OUT = 500
"""Games at the end of the file that nothing is trained on, at most a tenth of them."""
SORTED = 16
"""Batches among which rows are sorted by length, so that little is padded."""


class Texts(NamedTuple):
    """Prompts and what comes after them; ``positions`` are the boards, as FEN, where there is one move to find."""

    prompts: list[str]
    answers: list[str]
    positions: list[str]


def positions(games: list[str], count: int, rng: np.random.Generator) -> Texts:
    """``count`` positions a game with the moves played there, turned to the side to move."""
    found = Texts([], [], [])
    for game in games:
        moves = game.split()
        if len(moves) <= OPENING:
            continue
        drawn = set(rng.choice(np.arange(OPENING, len(moves)), min(count, len(moves) - OPENING), replace=False))
        board = chess.Board()
        for number, san in enumerate(moves[: max(drawn) + 1]):
            move = board.parse_san(san)
            if number in drawn:
                shown = facing(board)
                found.prompts.append(position_text(shown))
                found.answers.append((move if board.turn else turned(move)).uci())
                found.positions.append(shown.fen())
            board.push(move)
    return found


def whole(games: list[str]) -> Texts:
    """Games as UCI moves after an empty prompt: the loss is on every move."""
    found = Texts([], [], [])
    for game in games:
        board, words = chess.Board(), []
        for san in game.split():
            words.append(board.push_san(san).uci())
        found.prompts.append("")
        found.answers.append(" ".join(words))
    return found


def encode(texts: Texts, tokenizer: PreTrainedTokenizerFast) -> list[tuple[np.ndarray, int]]:
    """Token ids of prompt, answer and eos, and where the answer begins; at most ``MAX_LENGTH`` of them."""
    prompts = tokenizer(texts.prompts, add_special_tokens=False).input_ids
    answers = tokenizer([answer + tokenizer.eos_token for answer in texts.answers]).input_ids
    return [(np.array(p + a, dtype=np.int64)[:MAX_LENGTH], len(p)) for p, a in zip(prompts, answers, strict=True)]


def batches(rows: list[tuple[np.ndarray, int]], size: int, rng: np.random.Generator) -> Iterator[list[Any]]:
    """One pass over the rows in random order, rows of like length together; the rest of the last batch is left out."""
    order = rng.permutation(len(rows))
    for first in range(0, len(order), size * SORTED):
        block = sorted(order[first : first + size * SORTED], key=lambda row: len(rows[row][0]))
        full = [block[at : at + size] for at in range(0, len(block) - size + 1, size)]
        for which in rng.permutation(len(full)):
            yield [rows[row] for row in full[which]]


def loss_of(model: PreTrainedModel, rows: list[tuple[np.ndarray, int]], bf16: bool) -> torch.Tensor:
    """Mean next-token loss in nats over the answers' tokens, eos included. Only their logits are computed."""
    width = max(len(ids) for ids, _ in rows)
    ids = np.full((len(rows), width), model.config.pad_token_id)
    counts = np.zeros_like(ids, dtype=bool)
    for row, (tokens, start) in enumerate(rows):
        ids[row, : len(tokens)] = tokens
        counts[row, max(1, start) : len(tokens)] = True
    tokens_, mask = torch.from_numpy(ids).to(model.device), torch.from_numpy(counts[:, 1:]).to(model.device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        # Padding stands on the right, so a causal model needs no attention mask for it.
        hidden = model.model(input_ids=tokens_[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[mask])
    return cross_entropy(logits.float(), tokens_[:, 1:][mask])


def train(model: PreTrainedModel, rows: list[tuple[np.ndarray, int]], options: argparse.Namespace) -> list[float]:
    """Train in place for ``options.passes``; returns, and prints, the mean loss of each tenth."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=EMBEDDING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    rng, steps = np.random.default_rng(options.seed), options.passes * (len(rows) // options.batch)
    drawn = (batch for _ in range(options.passes) for batch in batches(rows, options.batch, rng))
    losses, recent = [], []
    model.train()
    for step, batch in enumerate(drawn, start=1):
        for optimizer, peak in zip(optimizers, peaks, strict=True):  # a short rise, then down to 0 in a line
            optimizer.param_groups[0]["lr"] = peak * min(1.0, step / 100) * max(0.0, 1 - step / (steps + 1))
        loss = loss_of(model, batch, options.bf16)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        recent.append(loss.item())
        if step % max(1, steps // 10) == 0:
            losses.append(round(float(np.mean(recent)), 4))
            print(f"step {step:6d} of {steps}  loss {losses[-1]:.3f}", flush=True)
            recent = []
    model.eval()
    return losses


@torch.no_grad()
def held_out_loss(model: PreTrainedModel, rows: list[tuple[np.ndarray, int]], batch: int) -> float:
    """Mean loss per answer token, in nats, in single precision."""
    parts = [rows[first : first + batch] for first in range(0, len(rows), batch)]
    sizes = [sum(len(ids) - max(1, start) for ids, start in part) for part in parts]
    losses = [loss_of(model, part, bf16=False).item() for part in parts]
    return float(np.average(losses, weights=sizes))


@torch.no_grad()
def played(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Texts) -> dict[str, float]:
    """Greedy moves on held-out positions: share that is legal, and share that is the move of the game."""
    legal = same = 0
    for prompt, answer, fen in zip(*texts, strict=True):
        asked = tokenizer(prompt, return_tensors="pt").to(model.device)
        output = model.generate(**asked, max_new_tokens=4, do_sample=False)
        text = tokenizer.decode(output[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        legal += read_move(chess.Board(fen), text) is not None
        same += text == answer
    return {"legal": round(legal / len(texts.prompts), 4), "same": round(same / len(texts.prompts), 4)}


def read(options: argparse.Namespace) -> tuple[Texts, Texts]:
    """Texts for training and held out, from different games.

    Raises:
        W2SError: no such file, no column ``moves``, or fewer than 20 games.
    """
    if not options.games.is_file():
        raise W2SError(f"--games {options.games}: no such file")
    frame = pd.read_parquet(options.games)
    if "moves" not in frame or len(frame) < 20:
        raise W2SError(
            f"--games {options.games}: needs a column 'moves' and 20 rows; it has {list(frame)}, {len(frame)}"
        )
    games = frame["moves"].tolist()
    held = min(HELD_OUT, len(games) // 10)
    parts, rng = (games[:-held][: options.limit], games[-held:]), np.random.default_rng(options.seed)
    if options.form == "moves":
        return whole(parts[0]), whole(parts[1])
    return positions(parts[0], options.per_game, rng), positions(parts[1], 1, rng)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``sizes`` becomes name -> "width x layers"."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--games", type=Path, required=True, help="Parquet with a column moves: SAN without numbers")
    add("--out", type=Path, required=True, help="one model folder a size goes here")
    add("--sizes", nargs="+", default=list(SIZES), help=f"{', '.join(SIZES)} or NAME=WIDTHxLAYERS")
    add("--form", choices=["position", "moves"], default="position")
    add("--per-game", type=int, default=4, help="positions drawn from a game")
    add("--limit", type=int, default=None, help="games to train on; default all but the held-out ones")
    add("--passes", type=int, default=1, help="over the training rows")
    add("--batch", type=int, default=128, help="rows a step")
    add("--seed", type=int, default=0)
    add("--bf16", action=argparse.BooleanOptionalAction, default=True, help="mixed precision")
    options = parser.parse_args(argv)
    sizes = {name: shape or SIZES.get(name, "") for name, _, shape in (size.partition("=") for size in options.sizes)}
    if unknown := [name for name, shape in sizes.items() if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", shape)]:
        parser.error(f"--sizes {unknown[0]}: choose among {', '.join(SIZES)} or write NAME=WIDTHxLAYERS")
    options.sizes = sizes
    return options


def main(argv: list[str] | None = None) -> None:
    """Read the games once, then train and save each size."""
    options = arguments(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer, device = build_tokenizer(), "cuda" if torch.cuda.is_available() else "cpu"
    texts, held = read(options)
    rows, held_rows = encode(texts, tokenizer), encode(held, tokenizer)
    print(f"{len(rows)} rows, {sum(len(ids) for ids, _ in rows)} tokens; {len(held_rows)} held out", flush=True)
    for name, shape in options.sizes.items():
        model = build_model(shape, tokenizer, options.seed, device)
        print(f"{name}: {shape}, {model.num_parameters()} parameters", flush=True)
        start = time.process_time()
        losses = train(model, rows, options)
        record = {
            "parameters": model.num_parameters(),
            "rows": len(rows),
            "cpu_seconds": round(time.process_time() - start, 1),
            "loss": losses,
            "held_out_loss": held_out_loss(model, held_rows, options.batch),
            "held_out_moves": played(model, tokenizer, held) if options.form == "position" else None,
            "arguments": {**vars(options), "games": options.games.name, "out": options.out.name},
            "versions": {module.__name__: module.__version__ for module in (torch, transformers, chess, np)},
        }
        print(
            f"{name}: {record['cpu_seconds']} s, {record['held_out_loss']:.3f}, {record['held_out_moves']}", flush=True
        )
        save(model, tokenizer, record, options.out / name)


if __name__ == "__main__":
    main()
