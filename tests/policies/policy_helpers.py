"""Small policies, ids with responses, and jobs for the tests of training on pairs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import make_tokenizer

from w2s_pref.losses.pairs import PairObjective
from w2s_pref.models.scoring import logprob_ids
from w2s_pref.training.arguments import merged
from w2s_pref.training.policy import PolicyJob, fit_policy

ARGUMENTS = {
    "batch_size": 8, "learning_rate": 1.0e-2, "num_train_epochs": 1, "save_steps": 100, "logging_steps": 1,
    "optim": "sgd",
}  # fmt: skip

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 104}
SPECIAL = {"bos_token_id": None, "eos_token_id": 101, "pad_token_id": 100}


def make_policy(seed: int = 0) -> Any:
    """A small Llama language model with seeded random weights, scaled up so that its tokens differ in probability."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=104,
        max_position_embeddings=256, pad_token_id=100, bos_token_id=None, eos_token_id=101,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight.mul_(5)
    return model


def decoder(name: str) -> Any:
    """A small model of another architecture, random weights scaled up."""
    import transformers as t

    torch.manual_seed(2)
    model = {
        "gpt2": lambda: t.GPT2LMHeadModel(
            t.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=104, **SPECIAL)
        ),
        "opt": lambda: t.OPTForCausalLM(
            t.OPTConfig(**SHAPE, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=64, **SPECIAL)
        ),
        "llama": make_policy,
        "mistral": lambda: t.MistralForCausalLM(
            t.MistralConfig(**SHAPE, intermediate_size=64, num_key_value_heads=2, **SPECIAL)
        ),
        "qwen2": lambda: t.Qwen2ForCausalLM(
            t.Qwen2Config(**SHAPE, intermediate_size=64, num_key_value_heads=2, **SPECIAL)
        ),
        "neox": lambda: t.GPTNeoXForCausalLM(t.GPTNeoXConfig(**SHAPE, intermediate_size=64, **SPECIAL)),
    }[name]()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(5)
    return model.eval()


def sequences(n: int, seed: int, prompts: int = 5) -> tuple[list[list[int]], list[int]]:
    """Ids that end in eos, and where each response begins; the prompt depends on the row alone, not on ``seed``."""
    found, starts = [], []
    for row in range(n):
        prompt = random.Random(row)
        draw = random.Random(1000 * seed + row)
        start = 1 + prompt.randrange(prompts)
        ids = [prompt.randrange(100) for _ in range(start)] + [draw.randrange(100) for _ in range(draw.randint(1, 12))]
        found.append([*ids, 101])
        starts.append(start)
    return found, starts


def job(
    objective: PairObjective | None = None, n: int = 80, p: float | list[float] | None = None, **changes: Any
) -> PolicyJob:
    """Pairs with labels (drawn, or all ``p``), signs, and the log-probabilities of another model as reference."""
    (a_ids, a_starts), (b_ids, b_starts) = sequences(n, 1), sequences(n, 2)
    labels = p if isinstance(p, list) else [random.Random(row).random() if p is None else p for row in range(n)]
    reference = make_policy(seed=1)
    columns = {
        "p": labels,
        "sign": [1.0 if row % 3 else -1.0 for row in range(n)],
        "ref_a": logprob_ids(reference, a_ids, a_starts, 100).tolist(),
        "ref_b": logprob_ids(reference, b_ids, b_starts, 100).tolist(),
    }
    keys = {name: changes.pop(name) for name in ("lora", "base_path", "updates", "base") if name in changes}
    if objective is not None and objective.by_token:
        keys["a_values"] = token_values(objective, a_ids, a_starts, 1)
        keys["b_values"] = token_values(objective, b_ids, b_starts, 2)
    return PolicyJob(
        a_ids,
        b_ids,
        a_starts,
        b_starts,
        columns,
        objective or PairObjective(),
        arguments=merged(ARGUMENTS, changes),
        seed=3,
        **keys,
    )


def token_values(objective: PairObjective, texts: list[list[int]], starts: list[int], seed: int) -> list[np.ndarray]:
    """What the objective reads of every token of the texts."""
    lengths = [len(ids) - start for ids, start in zip(texts, starts, strict=True)]
    return [objective.values(*token_numbers(tokens, seed, row)) for row, tokens in enumerate(lengths)]


def token_numbers(tokens: int, seed: int, row: int) -> np.ndarray:
    """Drawn rewards of one answer's tokens, and log-probabilities of a reference, (2, tokens)."""
    return np.random.default_rng([seed, row]).normal(size=(2, tokens)) - [[0.0], [4.0]]


def weights(model: torch.nn.Module) -> torch.Tensor:
    """All parameters in one row."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def train(folder: Path, work: PolicyJob, model: Any = None) -> tuple[torch.Tensor, list[float]]:
    """Weights after training and the losses on the way."""
    model = make_policy() if model is None else model
    done = fit_policy(model, make_tokenizer(), work, folder / "work", folder / "saved")
    return weights(model), [entry["loss"] for entry in done["history"]]


def naive(model: Any, ids: list[int], start: int) -> float:
    """Log-probability of a response, one sequence alone, in float64."""
    return sum(naive_tokens(model, ids, start))


def naive_tokens(model: Any, ids: list[int], start: int) -> list[float]:
    """The same of each of its tokens."""
    with torch.no_grad():
        steps = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
    return [steps[at - 1, ids[at]].item() for at in range(start, len(ids))]


def both(model: Any, work: PolicyJob) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of both answers of every row of a job."""
    return (
        np.array([naive(model, ids, start) for ids, start in zip(work.a_ids, work.a_starts, strict=True)]),
        np.array([naive(model, ids, start) for ids, start in zip(work.b_ids, work.b_starts, strict=True)]),
    )
