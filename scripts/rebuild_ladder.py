"""Pre-train the embedded ladder anew, on the world's text: ``python scripts/rebuild_ladder.py [names]``."""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from w2s_pref.testbed.corpus import sample
from w2s_pref.testbed.ladder import MODELS
from w2s_pref.testbed.words import BOS, EOS, MAX_LENGTH, PAD, build_tokenizer, vocabulary


@dataclass(frozen=True)
class Rung:
    """Size and training of one model.

    Attributes:
        hidden: width.
        layers: depth.
        heads: attention heads.
        steps: optimiser steps; every rung draws the same documents in the same order.
    """

    hidden: int
    layers: int
    heads: int
    steps: int


RUNGS: dict[str, Rung] = {
    "xxs": Rung(28, 2, 2, 1500),
    "xs": Rung(32, 2, 2, 1500),
    "s": Rung(40, 2, 4, 1500),
    "m": Rung(48, 2, 4, 1500),
    "l": Rung(64, 2, 4, 1500),
}
MATRIX_RATE, EMBEDDING_RATE = 0.02, 0.005
"""Peak learning rates: Muon for the matrices, AdamW for embeddings and norms."""
ALONE = 0.55
"""Share of the steps that read short statements only; then chats come in."""
FIRST = {"statement": 512}
THEN = {"statement": 128, "answer": 64, "chat": 96}
"""Documents per step, by kind, before and after."""


def build_model(rung: Rung, seed: int) -> LlamaForCausalLM:
    """A randomly initialised model of the family."""
    torch.manual_seed(seed)
    known = vocabulary()
    config = LlamaConfig(
        vocab_size=len(known),
        hidden_size=rung.hidden,
        intermediate_size=2 * rung.hidden,
        num_hidden_layers=rung.layers,
        num_attention_heads=rung.heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        attn_implementation="eager",
        pad_token_id=known[PAD],
        bos_token_id=known[BOS],
        eos_token_id=known[EOS],
    )
    return LlamaForCausalLM(config)


def _loss(model: LlamaForCausalLM, rows: int, kind: str, rng: np.random.Generator) -> torch.Tensor:
    """Weighted next-token loss on freshly drawn documents: scalar, per verdict word."""
    drawn, weights = sample(rows, kind, rng)
    ids, weight = torch.from_numpy(drawn), torch.from_numpy(weights[:, 1:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    each = cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (each * weight.flatten()).sum() / (weight == 1.0).sum()


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=EMBEDDING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _rate(step: int, steps: int) -> float:
    """Factor on the learning rates: a short rise, then level, then a linear fall over the last 40 %."""
    return min(1.0, (step + 1) / 100) * min(1.0, 0.02 + (steps - step) / (0.4 * steps))


def pretrain(rung: Rung, seed: int = 0, every: int = 250) -> LlamaForCausalLM:
    """Train a fresh model; prints the loss ``every`` so many steps."""
    model = build_model(rung, seed)
    model.train()
    rng = np.random.default_rng(seed)
    optimizers = _optimizers(model)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, partial(_rate, steps=rung.steps)) for o in optimizers]
    start = time.perf_counter()
    for step in range(rung.steps):
        total = 0.0
        for kind, rows in (FIRST if step < ALONE * rung.steps else THEN).items():
            loss = _loss(model, rows, kind, rng)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
            optimizer.step()
            scheduler.step()
        model.zero_grad(set_to_none=True)
        if (step + 1) % every == 0:
            print(f"step {step + 1:6d}  loss {total:.3f}  {time.perf_counter() - start:6.0f} s", flush=True)
    return model


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write model and tokenizer as an ordinary folder in single precision, complete or not at all."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fresh = Path(scratch) / folder.name
        model.eval().save_pretrained(fresh)
        build_tokenizer().save_pretrained(fresh)
        for file in fresh.iterdir():
            file.chmod(0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)


def main() -> None:
    """Command line: rebuild the named rungs, or all of them."""
    parser = argparse.ArgumentParser(description="Pre-train one rung of the ladder from scratch on the world's text.")
    parser.add_argument("rungs", nargs="*", default=list(RUNGS), help=f"among {', '.join(RUNGS)}; default all")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the ladder")
    parser.add_argument("--threads", type=int, default=1, help="other numbers may round differently")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.rungs:
        print(f"{name}: {RUNGS[name]}", flush=True)
        save(pretrain(RUNGS[name]), options.out / name)


if __name__ == "__main__":
    main()
