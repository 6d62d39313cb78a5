"""Answers of one task as aligned arrays: every classifier on the same items under the same seeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pandas as pd

from w2s_pref.analysis.stats.basics import credit
from w2s_pref.analysis.stats.bootstrap import Resampler, Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError


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
        self.draw = Resampler(self.groups, len(self.seeds), resamples, seed)
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
    noise = resampled[: min(300, len(resampled))]
    return Stat(float(per_seed.mean()), per_seed, resampled.mean(axis=1), noise, answers.draw.draws, 0.0, 1.0)


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
