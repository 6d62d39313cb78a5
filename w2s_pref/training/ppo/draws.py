"""Every random draw of PPO as a function of seed and place, never of what was drawn before.

So nothing about generators needs to be saved, a resumed run draws what the undisturbed one drew, and how rollouts are
split over processes and memory changes no draw.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def derived(seed: int, *place: str | int) -> int:
    """A seed (0 … 2³²-1) for one place, such as ``("order", 3)``."""
    text = "/".join(str(part) for part in (seed, *place))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _generator(seed: int, *place: str | int) -> torch.Generator:
    return torch.Generator().manual_seed(derived(seed, *place))


def rows_of_update(prompts: int, batch_size: int, seed: int, update: int) -> list[int]:
    """Which prompts update ``update`` (from 0) answers: the next ``batch_size`` of an endless series of shuffles."""
    rows: list[int] = []
    at = update * batch_size
    while len(rows) < batch_size:
        shuffle, start = divmod(at + len(rows), prompts)
        order = torch.randperm(prompts, generator=_generator(seed, "order", shuffle)).tolist()
        rows += order[start : start + batch_size - len(rows)]
    return rows


def uniforms(batch_size: int, length: int, seed: int, update: int) -> Tensor:
    """(batch_size, length) float64 draws from [0, 1): one for each token of an update's answers."""
    return torch.rand(batch_size, length, generator=_generator(seed, "tokens", update), dtype=torch.float64)


def mini_batches(batch_size: int, count: int, seed: int, update: int, epoch: int) -> list[Tensor]:
    """The rollouts of one pass, shuffled and cut into ``count`` minibatches of row numbers."""
    order = torch.randperm(batch_size, generator=_generator(seed, "epoch", update, epoch))
    return list(order.chunk(count))
