"""Pre-train one rung of the ladder from scratch on the world's text."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2s_pref.testbed.corpus import sample
from w2s_pref.testbed.tokens import BOS, EOS, MAX_LENGTH, PAD, build_tokenizer, vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM

TEXT_WEIGHT = 0.03
"""Weight of the loss on words that are not verdicts: they are mostly random draws of the world."""


@dataclass(frozen=True)
class Rung:
    """Size and training of one model: every rung reads the same text.

    Attributes:
        hidden: width.
        layers: depth.
        heads: attention heads.
        rate: peak learning rate of the matrices (Muon); embeddings and norms have ``embedding_rate`` (AdamW).
    """

    hidden: int
    layers: int
    heads: int
    rate: float = 0.02
    embedding_rate: float = 0.005


RUNGS: dict[str, Rung] = {
    "xs": Rung(32, 1, 2),
    "s": Rung(64, 2, 4),
    "m": Rung(96, 3, 4),
    "l": Rung(160, 4, 5),
}
STEPS = 3000
ALONE = 0.5
FIRST = {"statement": 512}
THEN = {"statement": 128, "answer": 128, "chat": 64}



def build_model(rung: Rung, seed: int) -> LlamaForCausalLM:
    """A randomly initialised model of the family."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

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
    import torch
    from torch.nn.functional import cross_entropy

    drawn, verdicts = sample(rows, kind, rng)
    ids, judged = torch.from_numpy(drawn), torch.from_numpy(verdicts[:, 1:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    target = ids[:, 1:]
    weight = torch.where(judged, 1.0, TEXT_WEIGHT) * (target != vocabulary()[PAD])
    each = cross_entropy(logits.float().flatten(0, 1), target.flatten(), reduction="none")
    return (each * weight.flatten()).sum() / judged.sum()


def _optimizers(model: LlamaForCausalLM, rung: Rung) -> list[torch.optim.Optimizer]:
    import torch

    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=rung.rate, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original"),
        torch.optim.AdamW(others, lr=rung.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def pretrain(rung: Rung, steps: int, seed: int = 0, every: int = 250) -> LlamaForCausalLM:
    """Train a fresh model for ``steps`` steps; prints the loss ``every`` so many steps."""
    import torch

    model = build_model(rung, seed)
    model.train()
    rng = np.random.default_rng(seed)
    optimizers = _optimizers(model, rung)
    schedule: Any = lambda i: min(1.0, (i + 1) / 100) * min(1.0, 0.02 + (steps - i) / (0.4 * steps))
    schedulers = [torch.optim.lr_scheduler.LambdaLR(o, schedule) for o in optimizers]
    start = time.time()
    for step in range(steps):
        total = 0.0
        for kind, rows in (FIRST if step < ALONE * steps else THEN).items():
            part = _loss(model, rows, kind, rng)
            part.backward()
            total += part.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for part in (*optimizers, *schedulers):
            part.step()
        model.zero_grad(set_to_none=True)
        if (step + 1) % every == 0:
            print(f"step {step + 1:6d}  loss {total:.3f}  {time.time() - start:6.0f} s", flush=True)
    return model


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write model and tokenizer as an ordinary folder, single precision, no pickle."""
    model.eval()
    model.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
