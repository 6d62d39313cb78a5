"""Train many linear probes on the same activations at once; each comes out as it would alone.

Probes differ in labels, kept items, loss and seed. Those that share a seed and their items see the same batches, so a
step is one gather and one matrix product a group. Everything runs in float64: then company changes nothing visible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.make import agreement
from w2s_pref.training.probe_settings import ProbeSettings
from w2s_pref.training.probes.learner import Learner, ProbeJob
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
        supervisor_weights: of a probe that learns them, at the end of every epoch, (epochs, S).
    """

    probes: dict[str, Probe]
    curve: list[dict[str, float]]
    epochs: int
    supervisor_weights: list[list[float]] = field(default_factory=list)


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
        fits.append(ProbeFit(probes, curve, epochs, learner.supervisor_weights(row)))
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
        said = job.p if job.said is None else job.said.p
        if said.shape[-1] != len(features):
            raise W2SError(f"probe {number}: its supervisors label {said.shape[-1]} items of {len(features)}")
        if not all(((p >= 0) & (p <= 1)).all() for p in (job.p, said)):
            raise W2SError(f"probe {number}: labels should be probabilities in [0, 1]")
        wanted = None if validation is None else len(validation.features)
        if wanted != (None if job.validation_p is None else len(job.validation_p)):
            raise W2SError(f"probe {number}: validation labels and validation activations should be equally many")
