"""Train many linear probes on the same activations at once; each comes out as it would alone.

Probes differ in labels, kept items, loss and seed. Those that share a seed and their items see the same batches, so a
step is one gather and one matrix product a group. Everything runs in float64: then company changes nothing visible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.make import agreement
from w2s_pref.losses import named as losses
from w2s_pref.losses.spec import LossSpec
from w2s_pref.training.probe_settings import ProbeSettings
from w2s_pref.training.probes.probe import Probe


class Validation(NamedTuple):
    """Activations of validation items, (m, d); ``oracle_truth``, (m,) of 0 and 1, only adds to curves and picks.

    Their weak labels belong to each job.
    """

    features: np.ndarray
    oracle_truth: np.ndarray | None = None


@dataclass(frozen=True)
class ProbeFit:
    """What came of one job.

    Attributes:
        probes: ``final``; with validation labels ``best_weak``; with an oracle ``best_truth``.
        curve: one row an epoch: ``epoch``, ``progress`` and, where labels are given, ``weak_agreement`` and
            ``truth_accuracy``.
        epochs: how many were trained.
    """

    probes: dict[str, Probe]
    curve: list[dict[str, float]]
    epochs: int


def fit_probe(
    features: np.ndarray,
    p: np.ndarray,
    loss: LossSpec | None = None,
    seed: int = 0,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    settings: ProbeSettings | None = None,
) -> ProbeFit:
    """Train one probe. ``validation``: activations and weak labels of other items."""
    job = ProbeJob(p, loss or LossSpec(), seed, validation_p=None if validation is None else validation[1])
    return fit_probes(features, [job], settings, None if validation is None else Validation(validation[0]))[0]


def fit_probes(
    features: np.ndarray,
    jobs: Sequence[ProbeJob],
    settings: ProbeSettings | None = None,
    validation: Validation | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[ProbeFit]:
    """Train one probe a job on the same activations.

    Early stopping goes by the agreement with the job's own weak validation labels, never at the truth.

    Args:
        features: (n, d).
        validation: all jobs have ``validation_p``, or none has.
        progress: called with (epochs done, epochs at most).

    Raises:
        W2SError: shapes that do not fit, activations that are not finite, a job without items.
    """
    settings = settings or ProbeSettings()
    if not jobs:
        return []
    _check(features, jobs, validation)
    center, scale = _moments(features, settings.standardise)
    learner = Learner(_ready(features, center, scale), jobs, settings)
    watch = _Watch(jobs, _ready(validation.features, center, scale), validation.oracle_truth) if validation else None
    done = 0
    while done < settings.epochs and bool(learner.alive.any()):
        learner.epoch()
        done += 1
        if watch is not None:
            watch.compare(learner.flat_weights(), learner.alive[learner.slots], done)
            if settings.patience is not None:
                learner.stop(watch.waiting(done) >= settings.patience)
        if progress is not None:
            progress(done, settings.epochs)
    return _results(learner, watch, done, settings, center, scale)


class _Watch:
    """Agreement with weak labels after every epoch, the weights that were best, and (an oracle) accuracy."""

    def __init__(self, jobs: Sequence[ProbeJob], features: Tensor, truth: np.ndarray | None) -> None:
        self.features = features
        self.targets = {"best_weak": np.stack([job.validation_p for job in jobs if job.validation_p is not None])}
        if truth is not None:
            self.targets["best_truth"] = np.broadcast_to(truth, self.targets["best_weak"].shape)
        self.best = {name: np.full(len(jobs), -1.0) for name in self.targets}
        self.at = {name: np.zeros(len(jobs), dtype=int) for name in self.targets}
        self.weights: dict[str, np.ndarray] = {}
        self.history: list[dict[str, np.ndarray]] = []

    def compare(self, weights: Tensor, alive: Tensor, epoch: int) -> None:
        """Agreement with every target; ``weights`` (S, d + 1). Only probes still in training can improve."""
        margins, now = (weights @ self.features.T).numpy(), weights.numpy()
        seen = {}
        for name, target in self.targets.items():
            seen[name] = agreement(margins, target)
            better = (seen[name] > self.best[name]) & alive.numpy()
            self.best[name] = np.where(better, seen[name], self.best[name])
            self.at[name] = np.where(better, epoch, self.at[name])
            self.weights[name] = np.where(better[:, None], now, self.weights.get(name, now))
        self.history.append(seen)

    def waiting(self, epoch: int) -> Tensor:
        """Epochs without a better agreement with the weak labels, (S,)."""
        return torch.from_numpy(epoch - self.at["best_weak"])


def _results(
    learner: Learner, watch: _Watch | None, done: int, settings: ProbeSettings, center: np.ndarray, scale: np.ndarray
) -> list[ProbeFit]:
    fits = []
    last = learner.flat_weights().numpy()
    names = {"best_weak": "weak_agreement", "best_truth": "truth_accuracy"}
    for row, epochs in enumerate(learner.ended(done).tolist()):
        picks = {"final": (last[row], epochs)}
        curve = [{"epoch": float(at), "progress": at / settings.epochs} for at in range(1, epochs + 1)]
        if watch is not None:
            picks |= {name: (kept[row], int(watch.at[name][row])) for name, kept in watch.weights.items()}
            for point, seen in zip(curve, watch.history[:epochs], strict=True):
                point |= {names[name]: float(value[row]) for name, value in seen.items()}
        probes = {
            name: Probe(weights[:-1].copy(), float(weights[-1]), center, scale, name, at)
            for name, (weights, at) in picks.items()
        }
        fits.append(ProbeFit(probes, curve, epochs))
    return fits


def _moments(features: np.ndarray, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    width = features.shape[1]
    if not standardise:
        return np.zeros(width), np.ones(width)
    center, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    return center, np.where(scale > 0, scale, 1.0)


def _ready(features: np.ndarray, center: np.ndarray, scale: np.ndarray) -> Tensor:
    """Standardised features with a column of ones for the bias, (n, d + 1), float64."""
    ready = np.ones((len(features), features.shape[1] + 1))
    np.divide(features - center, scale, out=ready[:, :-1])
    return torch.from_numpy(ready)


def _check(features: np.ndarray, jobs: Sequence[ProbeJob], validation: Validation | None) -> None:
    if features.ndim != 2 or not np.isfinite(features).all():
        raise W2SError("probes: the activations should be a finite table (items, features); look at the model's dtype")
    for number, job in enumerate(jobs):
        kept = len(features) if job.keep is None else int(job.keep.sum())
        if len(job.p) != len(features) or kept == 0:
            raise W2SError(f"probe {number}: {len(job.p)} labels and {kept} kept items for {len(features)} activations")
        if not ((job.p >= 0) & (job.p <= 1)).all():
            raise W2SError(f"probe {number}: labels should be probabilities in [0, 1]")
        wanted = None if validation is None else len(validation.features)
        if wanted != (None if job.validation_p is None else len(job.validation_p)):
            raise W2SError(f"probe {number}: validation labels and validation activations should be equally many")


#: Adam (Kingma & Ba 2015), as torch has it.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class ProbeJob:
    """One probe: labels ``p`` of the items, (n,) in [0, 1]; which items to ``keep``, (n,), all where None."""

    p: np.ndarray
    loss: LossSpec = field(default_factory=LossSpec)
    seed: int = 0
    keep: np.ndarray | None = None
    validation_p: np.ndarray | None = None


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
        self.weights = torch.zeros(*shape, features.shape[1], dtype=torch.float64)
        self.mean, self.square = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.taken = torch.zeros(shape[0], dtype=torch.long)
        self.alive = torch.zeros(shape[0] * shape[1], dtype=torch.bool)
        self.alive[self.slots] = True
        self.done = 0
        self.stopped_at = torch.zeros(len(jobs), dtype=torch.long)

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
        self.done += 1

    def _step(self, rows: Tensor, weight: Tensor, goes: Tensor) -> None:
        """One Adam step on the items ``rows`` (G, B); groups that do not go on have run out of batches."""
        batch = self.features.index_select(0, rows.flatten()).view(*rows.shape, -1)
        margins = self.weights @ batch.transpose(1, 2)
        labels = self.labels.view(*margins.shape[:2], -1).gather(2, rows[:, None].expand_as(margins))
        slope = self._slope(margins.flatten(0, 1), labels.flatten(0, 1), weight)
        gradient = slope.view_as(margins) @ batch
        self.taken += goes
        moving = (self.alive.view(margins.shape[:2]) & goes[:, None])[..., None]
        self.mean = torch.where(moving, torch.lerp(gradient, self.mean, BETA1), self.mean)
        self.square = torch.where(moving, torch.lerp(gradient**2, self.square, BETA2), self.square)
        count = self.taken.clamp(min=1).double()[:, None, None]
        size = (self.square / (1 - BETA2**count)).sqrt() + EPSILON
        self.weights = torch.where(
            moving, self.weights - self.rate * self.mean / (1 - BETA1**count) / size, self.weights
        )

    def _slope(self, margins: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        """Derivative of each probe's mean loss in its margins, (G * K, B)."""
        groups, size = len(weight), margins.shape[0] // len(weight)
        weight = weight.repeat_interleave(size, dim=0)
        progress = (self.taken.double() / (self.epochs * self.steps)).view(groups, 1).repeat_interleave(size, dim=0)
        margins = margins.detach().requires_grad_()
        total = margins.new_zeros(())
        for spec, rows in self.specs:
            own, p, counts = margins[rows], labels[rows], weight[rows]
            hardened = losses.harden(spec, own, p, counts) if spec.ranks else None
            values = losses.loss(spec, own, p, progress[rows], hardened) * counts
            total = total + (values.sum(dim=1) / counts.sum(dim=1).clamp(min=1)).sum()
        (slope,) = torch.autograd.grad(total, margins)
        return slope


def _by_spec(jobs: Sequence[ProbeJob], slots: Tensor) -> list[tuple[LossSpec, Tensor]]:
    """Slots of the jobs of each distinct loss."""
    found: dict[str, tuple[LossSpec, list[int]]] = {}
    for row, job in enumerate(jobs):
        found.setdefault(str(job.loss.read()), (job.loss, []))[1].append(int(slots[row]))
    return [(spec, torch.tensor(rows)) for spec, rows in found.values()]
