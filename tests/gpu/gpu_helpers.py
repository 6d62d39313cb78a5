"""Small models and pairs for the tests that need a GPU, and the sizes of errors there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from w2s_pref.losses.pairs import PairObjective
from w2s_pref.models.batches import Row
from w2s_pref.training.arguments import merged
from w2s_pref.training.fit import FitJob, fit
from w2s_pref.training.policy import PolicyJob, fit_policy
from w2s_pref.training.reward import Loss

GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and torch sees none"),
]
PAD, EOS = 100, 101
ARGUMENTS = {"batch_size": 8, "learning_rate": 1.0e-2, "optim": "sgd", "save_steps": 100, "logging_steps": 1}


def make(policy: bool, hidden: int = 128, layers: int = 2) -> Any:
    """A small Llama with seeded random weights and heads of 32 numbers (a size that every kernel takes)."""
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers, num_attention_heads=hidden // 32,
        vocab_size=104, max_position_embeddings=4096, num_labels=1, pad_token_id=PAD, eos_token_id=EOS,
        bos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config) if policy else LlamaForSequenceClassification(config)


def pairs(n: int, longest: int = 40, seed: int = 0) -> list[Row]:
    """Pairs of unlike lengths that share a prompt, with responses."""
    draw = random.Random(seed)

    def words(low: int, high: int) -> list[int]:
        return [draw.randrange(PAD) for _ in range(draw.randint(low, high))]

    rows = []
    for _ in range(n):
        prompt = words(1, longest // 2)
        texts = [*prompt, *words(1, longest // 2 - 1), EOS], [*prompt, *words(1, longest // 2 - 1), EOS]
        rows.append(Row(texts, (len(prompt), len(prompt))))
    return rows


def reward_job(n: int = 80, **changes: Any) -> FitJob:
    """Pairs with soft labels."""
    rows, draw = pairs(n), random.Random(1)
    columns = {"p": [draw.random() for _ in rows], "sign": [0.0] * n}
    a_ids, b_ids = ([list(row.texts[k]) for row in rows] for k in (0, 1))
    return FitJob(a_ids, b_ids, columns, Loss(), arguments=merged(ARGUMENTS, changes), seed=3)


def policy_job(n: int = 80, lora: dict[str, Any] | None = None, **changes: Any) -> PolicyJob:
    """The same for DPO, beside a reference that is indifferent."""
    rows = pairs(n)
    columns = {"p": [1.0] * n, "sign": [0.0] * n, "ref_a": [-50.0] * n, "ref_b": [-50.0] * n}
    a_ids, b_ids = ([list(row.texts[k]) for row in rows] for k in (0, 1))
    starts = [row.starts[0] for row in rows]
    return PolicyJob(a_ids, b_ids, starts, starts, columns, PairObjective("dpo"),
                     arguments=merged(ARGUMENTS, changes), seed=3, lora=lora)  # fmt: skip


def train(folder: Path, job: FitJob | PolicyJob, model: Any = None) -> tuple[torch.Tensor, list[float], Any]:
    """Weights after training, on the CPU in one row, the losses on the way, and the model."""
    policy = isinstance(job, PolicyJob)
    model = make(policy) if model is None else model
    run: Any = fit_policy if policy else fit
    done = run(model, make_tokenizer(), job, folder / "work", folder / "saved")
    flat = torch.cat([each.detach().float().cpu().flatten() for each in model.parameters()])
    return flat, [entry["loss"] for entry in done["history"]], model
