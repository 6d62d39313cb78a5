"""Pre-train the embedded ladders anew, on their worlds' text: ``python scripts/rebuild_ladder.py [names]``."""

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

from w2s_pref.testbed.corpus import DRAW_WEIGHT, sample
from w2s_pref.testbed.ladder import MODELS
from w2s_pref.testbed.words import BOS, EOS, MAX_LENGTH, PAD
from w2s_pref.testbed.worlds import LARGE, SMALL, World, build_tokenizer, vocabulary


@dataclass(frozen=True)
class Course:
    """How every rung of a world is trained.

    Attributes:
        alone: share of the steps that read short statements only; then chats come in.
        first, then: documents per step, by kind, before and after.
        kept: share of the tokens of least weight that it is trained on, at a weight so much higher.
        half: calculated in bfloat16 and kept in single precision; else the other way round.
    """

    alone: float
    first: dict[str, int]
    then: dict[str, int]
    kept: float
    half: bool


COURSES: dict[World, Course] = {
    SMALL: Course(0.55, {"statement": 512}, {"statement": 128, "answer": 64, "chat": 96}, kept=1.0, half=True),
    LARGE: Course(0.6, {"statement": 512}, {"statement": 128, "answer": 64, "chat": 64}, kept=0.1, half=False),
}


@dataclass(frozen=True)
class Rung:
    """Size and training of one model.

    Attributes:
        hidden: width.
        layers: depth.
        heads: attention heads.
        steps: optimiser steps. All rungs of the small world read the same documents in the same order; those of the
            large world do not read equally many.
        world: whose text it reads.
    """

    hidden: int
    layers: int
    heads: int
    steps: int
    world: World = SMALL


RUNGS: dict[str, Rung] = {
    "xxs": Rung(28, 2, 2, 1500),
    "xs": Rung(32, 2, 2, 1500),
    "s": Rung(40, 2, 4, 1500),
    "m": Rung(48, 2, 4, 1500),
    "l": Rung(64, 2, 4, 1500),
    "large-xs": Rung(40, 2, 4, 1000, LARGE),
    "large-s": Rung(48, 2, 4, 800, LARGE),
    "large-m": Rung(64, 2, 4, 1000, LARGE),
    "large-l": Rung(80, 2, 5, 1600, LARGE),
    "large-xl": Rung(128, 2, 8, 2500, LARGE),
}
MATRIX_RATE, EMBEDDING_RATE = 0.02, 0.005
"""Peak learning rates: Muon for the matrices, AdamW for embeddings and norms."""


def build_model(rung: Rung, seed: int) -> LlamaForCausalLM:
    """A randomly initialised model of the family."""
    torch.manual_seed(seed)
    known = vocabulary(rung.world)
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


def _loss(model: LlamaForCausalLM, world: World, rows: int, kind: str, rng: np.random.Generator) -> torch.Tensor:
    """Weighted next-token loss on freshly drawn documents: scalar, per verdict word."""
    drawn, weights = sample(rows, kind, rng, world)
    course = COURSES[world]
    if course.kept < 1.0:
        kept = np.where(rng.random(weights.shape) < course.kept, np.float32(DRAW_WEIGHT / course.kept), np.float32(0.0))
        weights = np.where(weights == np.float32(DRAW_WEIGHT), kept, weights)
    ids, weight = torch.from_numpy(drawn).to(model.device), torch.from_numpy(weights[:, 1:]).to(model.device)
    if course.half:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        each = cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    else:
        keep = weight > 0
        states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state[keep]
        each, weight = cross_entropy(model.lm_head(states), ids[:, 1:][keep], reduction="none"), weight[keep]
    loss: torch.Tensor = (each * weight.flatten()).sum() / (weight == 1.0).sum()
    return loss


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) in single precision; torch's own works in bfloat16, here ten times as slow."""

    def __init__(self, parameters: list[torch.nn.Parameter], rate: float) -> None:
        super().__init__(parameters, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step against the orthogonalised momentum of every matrix."""
        for group in self.param_groups:
            for matrix in group["params"]:
                momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix)).lerp_(matrix.grad, 0.05)
                update = orthogonal(matrix.grad.lerp(momentum, 0.95))
                matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Newton-Schulz towards the nearest matrix with orthonormal rows or columns: same shape, singular values near 1."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T, rounds).T
    found: torch.Tensor = matrix / (matrix.norm() + 1e-7)
    for _ in range(rounds):
        square = found @ found.T
        found = 3.4445 * found + (2.0315 * square @ square - 4.775 * square) @ found
    return found


def _optimizers(model: LlamaForCausalLM, half: bool) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = partial(torch.optim.Muon, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original")
    return [
        muon(matrices, lr=MATRIX_RATE) if half else Muon(matrices, MATRIX_RATE),
        torch.optim.AdamW(others, lr=EMBEDDING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _rate(step: int, steps: int) -> float:
    """Factor on the learning rates: a short rise, then level, then a linear fall over the last 40 %."""
    return min(1.0, (step + 1) / 100) * min(1.0, 0.02 + (steps - step) / (0.4 * steps))


def pretrain(rung: Rung, seed: int = 0, every: int = 250, device: str = "cpu") -> LlamaForCausalLM:
    """Train a fresh model; prints the loss ``every`` so many steps."""
    model, course = build_model(rung, seed).to(device), COURSES[rung.world]
    model.train()
    rng = np.random.default_rng(seed)
    optimizers = _optimizers(model, course.half)
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, partial(_rate, steps=rung.steps)) for o in optimizers]
    start = time.perf_counter()
    for step in range(rung.steps):
        total = 0.0
        for kind, rows in (course.first if step < course.alone * rung.steps else course.then).items():
            loss = _loss(model, rung.world, rows, kind, rng)
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


def save(model: LlamaForCausalLM, world: World, folder: Path) -> None:
    """Write model and tokenizer as an ordinary folder, complete or not at all."""
    if not COURSES[world].half:
        model.to(torch.bfloat16)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fresh = Path(scratch) / folder.name
        model.eval().save_pretrained(fresh)
        build_tokenizer(world).save_pretrained(fresh)
        for file in fresh.iterdir():
            file.chmod(0o644)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)


def main() -> None:
    """Command line: rebuild the named rungs, or all of them."""
    parser = argparse.ArgumentParser(description="Pre-train rungs of the ladders from scratch on their worlds' text.")
    parser.add_argument("rungs", nargs="*", default=list(RUNGS), help=f"among {', '.join(RUNGS)}; default all")
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the ladder")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of the documents")
    parser.add_argument("--device", default="cpu", help="cuda rounds differently, and is for the large world's rungs")
    parser.add_argument("--threads", type=int, default=1, help="other numbers may round differently")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.rungs:
        print(f"{name}: width {RUNGS[name].hidden}", flush=True)
        model = pretrain(RUNGS[name], options.seed, device=options.device)
        save(model, RUNGS[name].world, options.out / name)


if __name__ == "__main__":
    main()
