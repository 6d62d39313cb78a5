"""Answers of one task as aligned arrays, one comparison (a cell) on it, and statistics over tasks.

Resamples of different tasks are independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from w2s_pref.analysis.preferences.generalization_measures import (
    Recovered,
    agreement,
    inheritance,
    not_narrower,
    recovered,
)
from w2s_pref.analysis.scores.calibration import Calibrated, calibration
from w2s_pref.analysis.stats.basics import credit, divide, number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import SHARE, Stat, combined
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.results.lab import Cell, Estimate


class Answers:
    """Probabilities of the positive label on the items of one task, and the resamples that all its numbers share.

    Args:
        table: ``id, group, truth, name, seed, p`` of one task and split.
        resamples, seed: of the bootstrap over groups of items and seeds.

    Raises:
        W2SError: a classifier that did not answer every item under every seed, or answers that are not probabilities.
    """

    def __init__(self, table: pd.DataFrame, resamples: int, seed: int) -> None:
        first = table.drop_duplicates("id").sort_values("id")
        self.ids: list[str] = first["id"].tolist()
        self.truth: Ints = first["truth"].to_numpy(dtype=np.int64)
        self.groups: Ints = pd.factorize(first["group"])[0].astype(np.int64)
        self.seeds: list[int] = sorted(int(each) for each in table["seed"].unique())
        wide = table.pivot_table(index=["name", "seed"], columns="id", values="p", aggfunc="first", observed=True)
        self._p = {
            str(name): self._aligned(str(name), rows) for name, rows in wide.groupby(level="name", observed=True)
        }
        self.draw = Resampler(self.groups, resamples, seed)
        self._cache: dict[tuple[str, str], Stat] = {}

    def _aligned(self, name: str, rows: pd.DataFrame) -> Floats:
        p = rows.droplevel("name").reindex(index=self.seeds, columns=self.ids).to_numpy(dtype=float)
        if not ((p >= 0) & (p <= 1)).all():
            raise W2SError(f"{name}: its answers are not a probability for every item and seed; score all of them")
        return p

    def __contains__(self, name: str) -> bool:
        return name in self._p

    def p(self, name: str) -> Floats:
        """P(y = 1), shape (K, N)."""
        if name not in self._p:
            raise W2SError(f"there are no answers of {name!r}; names: {', '.join(sorted(self._p)[:8])}, …")
        return self._p[name]

    def delta(self, name: str) -> Floats:
        """P(true label) - ½, shape (K, N): positive where the answer is right."""
        return (self.p(name) - 0.5) * (2 * self.truth - 1)

    def credit(self, name: str) -> Floats:
        """1 right, 0 wrong, ½ undecided, shape (K, N)."""
        return credit(self.delta(name))

    def accuracy(self, name: str) -> Stat:
        """Share of right answers."""
        return self._kept("accuracy", name, lambda: self.draw.mean(self.credit(name)))

    def auroc(self, name: str) -> Stat:
        """Area under the ROC curve: mean over seeds of each seed's own."""
        return self._kept("auroc", name, lambda: area(self, name))

    def _kept(self, what: str, name: str, make: Callable[[], Stat]) -> Stat:
        key = (what, name)
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    @cached_property
    def item_weights(self) -> Floats:
        """How often every item is drawn, shape (B, N)."""
        return self.draw.weights[:, self.draw.blocks].astype(np.float64)


def area(answers: Answers, name: str) -> Stat:
    """AUROC of one classifier with its bootstrap. Ties between a positive and a negative item count one half."""
    p, truth = answers.p(name), answers.truth
    ones = np.ones((1, len(truth)))
    per_seed = np.array([weighted_area(row, truth, ones)[0] for row in p])
    resampled = np.stack([weighted_area(row, truth, answers.item_weights) for row in p], axis=1)
    return Stat.mean_of_seeds(per_seed, resampled, answers.draw.n_groups, SHARE)


def weighted_area(p: Floats, truth: Ints, weights: Floats) -> Floats:
    """AUROC under each row of ``weights`` (B, N), shape (B,); NaN where a class is missing (Mann-Whitney's U)."""
    order = np.argsort(p, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(p[order]) != 0])
    positive = np.add.reduceat((weights * truth)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - truth))[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    total = positive.sum(axis=1) * negative.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, (positive * below).sum(axis=1) / total, np.nan), dtype=np.float64)


def estimate(stat: Stat) -> Estimate:
    """A statistic as results hold it."""
    return Estimate(estimate=number(stat.value), interval=stat.interval(), interval_in_seeds=stat.in_seeds())


def mean(stats: Sequence[Stat]) -> Stat:
    """Mean over tasks, which are fixed: items and seeds of each are resampled. No task is undefined."""
    return _over(stats, np.mean)


def median(stats: Sequence[Stat]) -> Stat:
    """Median over tasks, as ``mean``."""
    return _over(stats, np.median)


def slope(x: Sequence[float], values: Sequence[Stat]) -> Stat:
    """Least-squares slope of the values on ``x``, in every resample; undefined for fewer than two different ``x``."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    spread = float((centred**2).sum())
    if spread == 0:
        return NO_STAT
    return combined(values, lambda *parts: np.tensordot(centred, np.stack(parts), axes=1) / spread)


def _over(stats: Sequence[Stat], how: Callable[..., Floats]) -> Stat:
    if not stats:
        return NO_STAT
    return combined(stats, lambda *parts: np.asarray(how(np.stack(parts), axis=0)), stats[0].form)


#: Of no tasks.
NO_STAT = Stat.of_items(float("nan"), np.zeros(0), 0)
ROLES = ("weak", "student", "ceiling")
NO_NUMBER = Estimate(estimate=None)


@dataclass(frozen=True)
class Case:
    """One comparison on one task: who is weak model, student and ceiling, and all answers to the task's test items."""

    study: str
    task: str
    chain: str
    method: str
    weak: str
    student: str
    ceiling: str
    answers: Answers

    def accuracy(self, role: str) -> Stat:
        """Share of right answers of the classifier in one of ``ROLES``."""
        return self.answers.accuracy(getattr(self, role))

    @cached_property
    def credits(self) -> tuple[Floats, Floats, Floats]:
        """Credit of weak model, student and ceiling, each (K, N)."""
        return self.answers.credit(self.weak), self.answers.credit(self.student), self.answers.credit(self.ceiling)

    @cached_property
    def pgr(self) -> Recovered:
        """Gap recovered in accuracy."""
        return recovered(*self.credits, self.answers.draw)

    @cached_property
    def pgr_auroc(self) -> Stat | None:
        """Gap recovered in AUROC; None where the ceiling's lead over the weak model is not resolved."""
        weak, student, ceiling = (self.answers.auroc(getattr(self, role)) for role in ROLES)
        gap = ceiling - weak
        interval = gap.interval()
        if interval is None or interval[0] <= 0:
            return None
        return not_narrower((student - weak).combine(gap, divide))

    def agreement(self) -> dict[str, Stat]:
        """Shares of answers that weak model and student have in common."""
        return agreement(*self.credits[:2], self.answers.draw)

    def inheritance(self) -> dict[str, Stat]:
        """What became of the weak model's errors, and new ones."""
        return inheritance(*self.credits[:2], self.answers.draw)


def analyse_cell(case: Case) -> Cell:
    """Everything about one comparison on one task."""
    answers, pgr, area = case.answers, case.pgr, case.pgr_auroc
    calibrated = {role: _calibration(answers, getattr(case, role)) for role in ROLES}
    floor = case.accuracy("weak").interval()
    return Cell(
        **{name: getattr(case, name) for name in ("study", "task", "chain", "method", *ROLES)},
        items=len(answers.ids),
        seeds=len(answers.seeds),
        accuracy=_all({role: case.accuracy(role) for role in ROLES}),
        auroc=_all({role: answers.auroc(getattr(case, role)) for role in ROLES}),
        ece=_all({role: found.ece for role, found in calibrated.items()}),
        brier=_all({role: found.brier for role, found in calibrated.items()}),
        gap=estimate(pgr.gap),
        pgr=NO_NUMBER if pgr.note else estimate(pgr.stat),
        pgr_fieller=None if pgr.note else pgr.fieller,
        pgr_auroc=NO_NUMBER if area is None else estimate(area),
        agreement=_all(case.agreement()),
        inheritance=_all(case.inheritance()),
        note=pgr.note,
        weak_at_chance=floor is None or floor[0] <= 0.5,
    )


def _all(stats: dict[str, Stat]) -> dict[str, Estimate]:
    return {name: estimate(stat) for name, stat in stats.items()}


def _calibration(answers: Answers, name: str) -> Calibrated:
    """ECE and Brier of the probability given to the true label."""
    true = answers.delta(name) + 0.5
    return calibration(true, answers.delta(name), answers.draw)
