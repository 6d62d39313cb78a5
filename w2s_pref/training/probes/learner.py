"""The steps of many linear probes at once: their labels, losses and optimizer, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import torch
from torch import Tensor

from w2s_pref.losses import named as losses
from w2s_pref.losses.spec import LossSpec
from w2s_pref.training.probe_settings import ProbeSettings
from w2s_pref.training.raven import agreed, descended

#: Adam (Kingma & Ba 2015), as torch has it.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Said:
    """What each of several supervisors says of the items, (S, n); rate and share of ``training.raven``."""

    p: np.ndarray
    rate: float
    easy: float


@dataclass(frozen=True)
class ProbeJob:
    """One probe: labels ``p`` of the items, (n,) in [0, 1]; which items to ``keep``, (n,), all where None.

    ``said``: the label is a weighted mean of these instead, whose weights are learned with the probe.
    """

    p: np.ndarray
    loss: LossSpec = field(default_factory=LossSpec)
    seed: int = 0
    keep: np.ndarray | None = None
    validation_p: np.ndarray | None = None
    said: Said | None = None


class Weights:
    """The weights of one probe over its supervisors, as ``training.raven`` learns them, in float64."""

    def __init__(self, said: Said) -> None:
        self.p, self.rate, self.easy = torch.tensor(said.p, dtype=torch.float64), said.rate, said.easy
        self.epochs: list[list[float]] = []
        self.now = self._equal()

    def _equal(self) -> Tensor:
        return torch.full((len(self.p),), 1 / len(self.p), dtype=torch.float64, requires_grad=True)

    def label(self, rows: Tensor) -> Tensor:
        """(B,) labels of these items, with a gradient to the weights; under equal ones the mean to the last bit."""
        said = self.p[:, rows]
        return said.mean(dim=0) + (self.now - 1 / len(said)) @ said

    def counted(self, rows: Tensor, progress: float) -> Tensor:
        """(B,) whether the items count after this share of the training."""
        return agreed(self.p[:, rows].T) if progress < self.easy else torch.ones(len(rows), dtype=torch.bool)

    def descend(self, grad: Tensor, progress: float) -> None:
        """One step, once all items count."""
        if progress >= self.easy:
            self.now = descended(self.now, grad, self.rate).requires_grad_()

    def end_epoch(self) -> None:
        """Keep what was learned, and begin anew."""
        self.epochs.append(self.now.tolist())
        self.now = self._equal()


class Learner:
    """S probes in G groups of at most K; a group shares its seed and its items, and so its batches.

    ``weights`` is (G, K, d + 1), the last column the bias; ``slots`` says where each job lies in (G * K).
    """

    def __init__(self, features: Tensor, jobs: Sequence[ProbeJob], settings: ProbeSettings) -> None:
        self.features, self.size = features, settings.batch_size
        # The difference of two mirrored outputs moves twice as far as each of them.
        self.rate, self.epochs = 2 * settings.learning_rate, settings.epochs
        everything = np.ones(len(features), dtype=bool)
        kept = [everything if job.keep is None else np.asarray(job.keep, dtype=bool) for job in jobs]
        groups: dict[tuple[int, bytes], list[int]] = {}
        for row, job in enumerate(jobs):
            groups.setdefault((job.seed, kept[row].tobytes()), []).append(row)
        members = list(groups.values())
        shape = (len(members), max(map(len, members)))
        self.draws = [torch.Generator().manual_seed(seed) for seed, _ in groups]
        self.items = [torch.from_numpy(np.flatnonzero(kept[rows[0]])) for rows in members]
        self.steps = torch.tensor([ceil(len(rows) / self.size) for rows in self.items])
        place = {row: group * shape[1] + at for group, rows in enumerate(members) for at, row in enumerate(rows)}
        self.slots = torch.tensor([place[row] for row in range(len(jobs))])
        self.labels = torch.zeros(shape[0] * shape[1], len(features), dtype=torch.float64)
        self.labels[self.slots] = torch.from_numpy(np.stack([job.p for job in jobs])).double()
        self.specs = _by_spec(jobs, self.slots)
        self.learned = {row: Weights(job.said) for row, job in enumerate(jobs) if job.said is not None}
        self.weights = torch.zeros(*shape, features.shape[1], dtype=torch.float64)
        self.mean, self.square = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.taken = torch.zeros(shape[0], dtype=torch.long)
        self.alive = torch.zeros(shape[0] * shape[1], dtype=torch.bool)
        self.alive[self.slots] = True
        self.done = 0
        self.stopped_at = torch.zeros(len(jobs), dtype=torch.long)

    def supervisor_weights(self, row: int) -> list[list[float]]:
        """Of one job, at the end of every epoch; none where it learns none."""
        return self.learned[row].epochs if row in self.learned else []

    def flat_weights(self) -> Tensor:
        """Weights and bias of every job, (S, d + 1)."""
        return self.weights.flatten(0, 1)[self.slots]

    def stop(self, jobs: Tensor) -> None:
        """Train these no further; ``jobs`` (S,) of bool."""
        ending = jobs & self.alive[self.slots]
        self.stopped_at[ending] = self.done
        self.alive[self.slots[ending]] = False

    def ended(self, done: int) -> Tensor:
        """Epochs that each job was trained for, (S,)."""
        return torch.where(self.alive[self.slots], done, self.stopped_at)

    def epoch(self) -> None:
        """One pass of every group over its items, in an order of its own seed."""
        longest = int(self.steps.max()) * self.size
        order = torch.zeros(len(self.items), longest, dtype=torch.long)
        weight = torch.zeros(len(self.items), longest, dtype=torch.float64)
        for group, (items, draw) in enumerate(zip(self.items, self.draws, strict=True)):
            order[group, : len(items)] = items[torch.randperm(len(items), generator=draw)]
            weight[group, : len(items)] = 1.0
        for start in range(0, longest, self.size):
            at = slice(start, start + self.size)
            self._step(order[:, at], weight[:, at], self.steps > start // self.size)
        for row, each in self.learned.items():
            if self.alive[self.slots[row]]:
                each.end_epoch()
        self.done += 1

    def _step(self, rows: Tensor, weight: Tensor, goes: Tensor) -> None:
        """One Adam step on the items ``rows`` (G, B); groups that do not go on have run out of batches."""
        batch = self.features.index_select(0, rows.flatten()).view(*rows.shape, -1)
        margins = self.weights @ batch.transpose(1, 2)
        labels = self.labels.view(*margins.shape[:2], -1).gather(2, rows[:, None].expand_as(margins))
        moving = (self.alive.view(margins.shape[:2]) & goes[:, None])[..., None]
        slope = self._slope(margins.flatten(0, 1), labels.flatten(0, 1), weight, rows, moving.flatten())
        gradient = slope.view_as(margins) @ batch
        self.taken += goes
        self.mean = torch.where(moving, torch.lerp(gradient, self.mean, BETA1), self.mean)
        self.square = torch.where(moving, torch.lerp(gradient**2, self.square, BETA2), self.square)
        count = self.taken.clamp(min=1).double()[:, None, None]
        size = (self.square / (1 - BETA2**count)).sqrt() + EPSILON
        self.weights = torch.where(
            moving, self.weights - self.rate * self.mean / (1 - BETA1**count) / size, self.weights
        )

    def _slope(self, margins: Tensor, labels: Tensor, weight: Tensor, items: Tensor, moving: Tensor) -> Tensor:
        """Derivative of each probe's mean loss in its margins, (G * K, B); weights over supervisors take their step."""
        groups, size = len(weight), margins.shape[0] // len(weight)
        weight = weight.repeat_interleave(size, dim=0)
        progress = (self.taken.double() / (self.epochs * self.steps)).view(groups, 1).repeat_interleave(size, dim=0)
        margins, learned = margins.detach().requires_grad_(), self._learned(size, items, progress)
        for slot, each, own, done in learned:
            labels[slot], weight[slot] = each.label(own), weight[slot] * each.counted(own, done)
        total = margins.new_zeros(())
        for spec, rows in self.specs:
            own, p, counts = margins[rows], labels[rows], weight[rows]
            hardened = losses.harden(spec, own, p, counts) if spec.ranks else None
            values = losses.loss(spec, own, p, progress[rows], hardened) * counts
            total = total + (values.sum(dim=1) / counts.sum(dim=1).clamp(min=1)).sum()
        slope, *pulls = torch.autograd.grad(total, [margins, *(each.now for _, each, _, _ in learned)])
        for (slot, each, _, done), pull in zip(learned, pulls, strict=True):
            if moving[slot]:
                each.descend(pull, done)
        return slope

    def _learned(self, size: int, items: Tensor, progress: Tensor) -> list[tuple[int, Weights, Tensor, float]]:
        """Of each probe that weighs supervisors its slot, weights and items, and the share of its training done."""
        slots = {int(self.slots[row]): each for row, each in self.learned.items()}
        return [(slot, each, items[slot // size], float(progress[slot])) for slot, each in slots.items()]


def _by_spec(jobs: Sequence[ProbeJob], slots: Tensor) -> list[tuple[LossSpec, Tensor]]:
    """Slots of the jobs of each distinct loss."""
    found: dict[str, tuple[LossSpec, list[int]]] = {}
    for row, job in enumerate(jobs):
        found.setdefault(str(job.loss.read()), (job.loss, []))[1].append(int(slots[row]))
    return [(spec, torch.tensor(rows)) for spec, rows in found.values()]
