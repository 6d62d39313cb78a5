"""Short PPO runs on the ladder's second rung, and what they leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from w2s_pref.models.load import load_tokenizer
from w2s_pref.testbed import ladder
from w2s_pref.training.ppo import PPOSettings
from w2s_pref.training.ppo.fit import PPOJob, fit_ppo

SMALL: dict[str, Any] = {
    "total_episodes": 32,
    "batch_size": 8,
    "num_ppo_epochs": 2,
    "num_mini_batches": 2,
    "learning_rate": 1e-3,
    "response_length": 8,
    "save_steps": 1,
}


def start(rung: str = "xs") -> tuple[Any, Any]:
    model = AutoModelForCausalLM.from_pretrained(ladder.path(rung)).to(torch.get_default_dtype())
    return model, load_tokenizer(ladder.path(rung))


def prompts(count: int = 12) -> pd.DataFrame:
    words = ["mix", "the", "salt", "into", "a", "cup", "of", "water"]
    texts = [" ".join(words[: 1 + row % 8]) for row in range(count)]
    return pd.DataFrame({"form": "text", "prompt": texts})


def share_of_e(frame: pd.DataFrame, answers: list[str]) -> np.ndarray:
    """A reward any policy can earn more of: how much of the answer is the letter e."""
    return np.array([answer.count("e") / max(1, len(answer)) for answer in answers])


def run(folder: Path, reward: Any = share_of_e, model: Any = None, **changes: Any) -> dict[str, Any]:
    """Fit into ``folder``/saved; keys of ``PPOJob`` are taken out of ``changes``, the rest are settings."""
    known = {name: changes.pop(name) for name in list(changes) if name in PPOJob.__dataclass_fields__}
    loaded, tokenizer = start()
    job = PPOJob(
        **{"prompts": prompts(), "reward": reward, "seed": 3, "settings": PPOSettings(**{**SMALL, **changes}), **known}
    )
    return fit_ppo(model if model is not None else loaded, tokenizer, job, folder / "work", folder / "saved")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    file = next(file for file in (folder / "saved").glob("*.safetensors"))
    return load_file(file)


def furthest(one: Path, other: Path) -> float:
    """The largest difference between the weights of two runs."""
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)
