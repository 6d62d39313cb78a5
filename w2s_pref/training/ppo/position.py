"""Where a PPO run stands, and its checkpoints: between two updates, after a rollout, or between passes over it.

A checkpoint is a folder ``checkpoint-N`` of safetensors and JSON, sealed when whole: trained weights, AdamW's state,
the buffer where the run stands inside an update, and numbers (update, pass, kl_coef, history). The reference is not in
it: it is made anew from the start, which a resumed run loads as well. Nor are generators: every draw follows from seed
and place (see ``draws``). Every process holds the same state, so one writes and any number may resume.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from w2s_pref.training import callbacks
from w2s_pref.training.ppo.learner import Learner
from w2s_pref.training.ppo.rollout import Rollouts

#: Checkpoints that stay.
KEPT = 2


@dataclass
class Position:
    """``update`` and ``epoch`` are the next to do, from 0; ``rollouts`` is None between updates.

    ``passes`` holds the statistics of the passes done in this update, ``facts`` what its rollouts measured.
    """

    kl_coef: float
    update: int = 0
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    passes: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    rollouts: Rollouts | None = None

    def number(self, epochs: int) -> int:
        """A number that grows with every rollout and every pass, of which an update has ``epochs``."""
        return self.update * (epochs + 1) + (0 if self.rollouts is None else 1 + self.epoch)


def write(work: Path, position: Position, learner: Learner) -> None:
    """Write and seal a checkpoint; only the newest ``KEPT`` stay. One process calls this."""
    folder = work / f"checkpoint-{position.number(learner.settings.num_ppo_epochs)}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    named = learner.named()
    _save({name: each.detach() for name, each in named.items()}, folder / "weights.safetensors")
    moments = {
        f"{name}|{key}": value
        for name, each in named.items()
        for key, value in learner.optimizer.state.get(each, {}).items()
    }
    _save(moments, folder / "optimizer.safetensors")
    if position.rollouts is not None:
        _save(position.rollouts.tensors(), folder / "rollouts.safetensors")
    numbers = {key: value for key, value in vars(position).items() if key != "rollouts"}
    (folder / "position.json").write_text(json.dumps(numbers), encoding="utf-8")
    callbacks.seal(folder)
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]))
    for old in found[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, file)


@torch.no_grad()
def read(folder: Path, learner: Learner) -> Position:
    """Put a checkpoint's weights and optimizer state in place; returns where it stood."""
    named = learner.named()
    for name, value in load_file(folder / "weights.safetensors").items():
        named[name].copy_(value)
    moments: dict[str, dict[str, Tensor]] = {}
    for place, value in load_file(folder / "optimizer.safetensors").items():
        name, _, key = place.rpartition("|")
        # AdamW keeps its step count on the CPU, its moments beside the weights.
        moments.setdefault(name, {})[key] = value if key == "step" else value.to(named[name].device)
    for name, state in moments.items():
        learner.optimizer.state[named[name]] = state
    numbers: dict[str, Any] = json.loads((folder / "position.json").read_text(encoding="utf-8"))
    buffer = folder / "rollouts.safetensors"
    device = learner.players.head.weight.device
    rollouts = None
    if buffer.is_file():
        rollouts = Rollouts(**{name: tensor.to(device) for name, tensor in load_file(buffer).items()})
    return Position(**numbers, rollouts=rollouts)
