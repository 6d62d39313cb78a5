"""Pre-train small causal language models from scratch: ``python scripts/pretrain_small.py --help``.

One tokenizer and a few Llama-shaped models from Parquet files with a column ``text``. Dialogues become
``\\n\\nHuman: …\\n\\nAssistant: …``, so that the models know the form of HH-RLHF and end after an answer.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import tokenizers
import torch
import transformers
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from w2s_pref.core.errors import W2SError

#: Name -> width x layers; the rest of the shape follows from them.
SIZES = {"tiny": "64x2", "small": "128x3", "large": "192x4"}
PAD, EOS = "<pad>", "<eos>"
MAX_LENGTH = 512
HELD_OUT, HELD_OUT_WINDOWS = 0.01, 200
"""Share of a file's texts, its last ones, that nothing is trained on; windows of them to measure, at most."""
TOKENIZER_CHARACTERS = 20_000_000
"""Text the tokenizer is made from, in the mix of the training text; more changes a vocabulary this small little."""
MATRIX_RATE, EMBEDDING_RATE = 0.02, 0.004
"""Peak learning rates: Muon for the matrices, AdamW for embeddings and norms."""

_TURN = re.compile(r"(?:^|\n)(?:User|Human|Assistant): ")
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")


class Corpus(NamedTuple):
    """Token ids of one file.

    Attributes:
        share: of the training windows, in (0, 1].
        ids: (n,) documents one after another, each with its eos.
        starts: (m,) where a window may begin: at a document or, inside a long one, at every multiple of the window.
        held_out: (k, window + 1) ids of the first held-out windows.
    """

    share: float
    ids: np.ndarray
    starts: np.ndarray
    held_out: np.ndarray


def documents(text: str, rng: np.random.Generator) -> list[str]:
    """What the models read of one text: a dialogue in pieces of one to three exchanges, prose without hard line breaks.

    Pieces, so that a document ends, with its eos, after any answer and not only after a goodbye. Answers of half of the
    dialogues stand directly after the colon: HH-RLHF as published has a space there, copies of it often have none.
    """
    text = text.replace("\r", "")
    if not (text.startswith(("User: ", "Human: ")) and "\nAssistant: " in text):
        return [_LINE_BREAK.sub(" ", text).strip()]
    turns = [turn.strip() for turn in _TURN.split(text)[1:]]
    space = " " if rng.random() < 0.5 else ""
    both = zip(turns[::2], turns[1::2], strict=False)
    exchanges = [f"\n\nHuman: {human}\n\nAssistant:{space}{answer}" for human, answer in both]
    pieces = []
    while exchanges:
        count = int(rng.integers(1, 4))
        pieces.append("".join(exchanges[:count]))
        exchanges = exchanges[count:]
    return pieces


def read(file: Path, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Documents of a file for training, shuffled, and the held-out ones.

    Raises:
        W2SError: no such file, no column ``text``, or fewer than two texts.
    """
    if not file.is_file():
        raise W2SError(f"--text {file}: no such file")
    frame = pd.read_parquet(file)
    if "text" not in frame or len(frame) < 2:
        raise W2SError(f"--text {file}: needs a column 'text' and two rows; it has {list(frame)} and {len(frame)}")
    texts = [documents(text, rng) for text in frame["text"]]
    last = max(1, round(HELD_OUT * len(texts)))
    train = [piece for pieces in texts[:-last] for piece in pieces]
    rng.shuffle(train)
    return train, [piece for pieces in texts[-last:] for piece in pieces]


def _first(pieces: list[str], characters: float) -> Iterator[str]:
    for piece in pieces:
        if characters <= 0:
            return
        yield piece[: math.ceil(characters)]
        characters -= len(piece)


def train_tokenizer(texts: list[tuple[list[str], float]], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with pad and eos of their own and no bos, from texts and their shares."""
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, EOS], initial_alphabet=alphabet, show_progress=False
    )
    sample = chain.from_iterable(_first(pieces, share * TOKENIZER_CHARACTERS) for pieces, share in texts)
    core.train_from_iterator(sample, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, eos_token=EOS, model_max_length=MAX_LENGTH)


def encode(pieces: list[str], tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    """Ids of all pieces one after another, eos after each, and where each piece begins."""
    eos, parts = [tokenizer.eos_token_id], []
    for first in range(0, len(pieces), 16):  # books are long; many at once fill the memory
        found = tokenizer.backend_tokenizer.encode_batch_fast(pieces[first : first + 16])
        parts += [np.array(encoding.ids + eos, dtype=np.int32) for encoding in found]
    ends = np.cumsum([len(part) for part in parts])
    return np.concatenate(parts), np.concatenate([[0], ends[:-1]])


def build_corpus(texts: Iterable[list[str]], share: float, tokenizer: PreTrainedTokenizerFast, window: int) -> Corpus:
    """Tokenise one file.

    Raises:
        W2SError: too little text for one window.
    """
    (ids, begins), (held, _) = (encode(pieces, tokenizer) for pieces in texts)
    if min(len(ids), len(held)) <= window:
        raise W2SError(
            f"--window {window}: a text has only {len(ids)} tokens, {len(held)} held out; take a smaller one"
        )
    starts = np.union1d(begins, np.arange(0, len(ids), window))
    firsts = range(0, len(held) - window, window)[:HELD_OUT_WINDOWS]
    windows = np.stack([held[first : first + window + 1] for first in firsts])
    return Corpus(share, ids, starts[starts < len(ids) - window], windows)


def build_model(shape: str, tokenizer: PreTrainedTokenizerFast, seed: int, device: str) -> PreTrainedModel:
    """A randomly initialised Llama of "width x layers", heads of 32."""
    hidden, layers = (int(number) for number in shape.split("x"))
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=math.ceil(hidden * 8 / 3 / 32) * 32,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 32),
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    # On short windows of small models a processor does plain attention faster.
    attention = "sdpa" if device == "cuda" else "eager"
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return model.to(device)


def loss_of(model: PreTrainedModel, windows: np.ndarray, bf16: bool) -> torch.Tensor:
    """Mean next-token loss in nats on windows (rows, length + 1)."""
    ids = torch.from_numpy(windows.astype(np.int64)).to(model.device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


def draw(corpora: dict[str, Corpus], rows: int, window: int, rng: np.random.Generator) -> np.ndarray:
    """Windows (rows, window + 1), each from a file drawn by its share."""
    among, drawn = list(corpora.values()), []
    for which in rng.choice(len(among), size=rows, p=[corpus.share for corpus in among]):
        start = rng.choice(among[which].starts)
        drawn.append(among[which].ids[start : start + window + 1])
    return np.stack(drawn)


@torch.no_grad()
def held_out_loss(model: PreTrainedModel, corpora: dict[str, Corpus], batch: int, bf16: bool) -> dict[str, float]:
    """Loss on every file's held-out windows, and as ``all`` the mean in the mix of the training text."""
    losses = {}
    for name, corpus in corpora.items():
        parts = [corpus.held_out[first : first + batch] for first in range(0, len(corpus.held_out), batch)]
        total = sum(len(part) * loss_of(model, part, bf16).item() for part in parts)
        losses[name] = total / len(corpus.held_out)
    return {**losses, "all": sum(corpus.share * losses[name] for name, corpus in corpora.items())}


def _rate(step: int, steps: int) -> float:
    """Factor on the learning rates: a short rise, then half a cosine down to 0."""
    return min(1.0, (step + 1) / max(1, min(100, steps // 10))) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train(model: PreTrainedModel, corpora: dict[str, Corpus], steps: int, options: argparse.Namespace) -> None:
    """Train in place; prints the loss ten times."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=EMBEDDING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedulers = [torch.optim.lr_scheduler.LambdaLR(each, partial(_rate, steps=steps)) for each in optimizers]
    rng, recent, every = np.random.default_rng(options.seed), 0.0, max(1, steps // 10)
    model.train()
    for step in range(1, steps + 1):
        loss = loss_of(model, draw(corpora, options.batch, options.window, rng), options.bf16)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for each, scheduler in zip(optimizers, schedulers, strict=True):
            each.step()
            scheduler.step()
        model.zero_grad(set_to_none=True)
        recent += loss.item() / every
        if step % every == 0:
            print(f"step {step:6d} of {steps}  loss {recent:.3f}", flush=True)
            recent = 0.0
    model.eval()


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, record: dict[str, Any], folder: Path) -> None:
    """Write an ordinary model folder with ``pretraining.json``, complete or not at all; an old one is replaced."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fresh = Path(scratch) / folder.name
        model.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
        (fresh / "pretraining.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``text`` becomes file -> share of the windows, ``sizes`` name -> "width x layers"."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--text", nargs="+", required=True, metavar="FILE[=SHARE]", help="Parquet, column text; share of the windows")
    add("--out", type=Path, required=True, help="one model folder a size goes here")
    add("--sizes", nargs="+", default=list(SIZES), help=f"{', '.join(SIZES)} or NAME=WIDTHxLAYERS")
    add("--tokens", type=float, default=4e6, help="that each model reads")
    add("--vocab", type=int, default=4096)
    add("--window", type=int, default=256, help=f"tokens read at once; the models take up to {MAX_LENGTH}")
    add("--batch", type=int, default=16, help="windows a step")
    add("--seed", type=int, default=0)
    add("--bf16", action=argparse.BooleanOptionalAction, default=True, help="mixed precision")
    options = parser.parse_args(argv)
    stems = Counter(Path(text.partition("=")[0]).stem for text in options.text)
    if twice := [stem for stem, files in stems.items() if files > 1]:
        parser.error(f"--text: {stems[twice[0]]} files are called {twice[0]}, which names a corpus; rename all but one")
    shares = {file: float(share or 1) for file, _, share in (text.partition("=") for text in options.text)}
    options.text = {file: share / sum(shares.values()) for file, share in shares.items()}
    sizes = {name: shape or SIZES.get(name, "") for name, _, shape in (size.partition("=") for size in options.sizes)}
    if unknown := [name for name, shape in sizes.items() if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", shape)]:
        parser.error(f"--sizes {unknown[0]}: choose among {', '.join(SIZES)} or write NAME=WIDTHxLAYERS")
    options.sizes = sizes
    return options


def main(argv: list[str] | None = None) -> None:
    """Read the text once, then train and save each size."""
    options = arguments(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    options.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    texts = {file: read(Path(file), rng) for file in options.text}
    tokenizer = train_tokenizer([(texts[file][0], share) for file, share in options.text.items()], options.vocab)
    corpora = {
        Path(file).stem: build_corpus(both, options.text[file], tokenizer, options.window)
        for file, both in texts.items()
    }
    steps = max(1, int(options.tokens) // (options.batch * options.window))
    for name, shape in options.sizes.items():
        model = build_model(shape, tokenizer, options.seed, device)
        print(f"{name}: {shape}, {model.num_parameters()} parameters", flush=True)
        start = time.perf_counter()
        train(model, corpora, steps, options)
        record = {
            "parameters": model.num_parameters(),
            "tokens": steps * options.batch * options.window,
            "seconds": round(time.perf_counter() - start, 1),
            "held_out_loss": held_out_loss(model, corpora, options.batch, options.bf16),
            "text": {key: len(corpus.ids) for key, corpus in corpora.items()},
            "arguments": {**vars(options), "out": str(options.out)},
            "device": device,
            "versions": {module.__name__: module.__version__ for module in (torch, transformers, tokenizers, np)},
        }
        print(f"{name}: {record['seconds']} s, held out {record['held_out_loss']}", flush=True)
        save(model, tokenizer, record, options.out / name)


if __name__ == "__main__":
    main()
