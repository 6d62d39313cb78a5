"""Over tasks: means and medians of statistics whose resamples are independent from task to task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import MIN_DEFINED, Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.results.lab import Estimate


@dataclass(frozen=True)
class Pooled:
    """A value over tasks and its resamples (B,); tasks are fixed, items and seeds of each are resampled."""

    value: float
    samples: Floats

    def estimate(self) -> Estimate:
        """With its 95 % percentile interval, where nine tenths of the resamples are defined."""
        defined = self.samples[np.isfinite(self.samples)]
        if not np.isfinite(self.value) or len(defined) < max(2, MIN_DEFINED * len(self.samples)):
            return Estimate(value=number(self.value))
        low, high = np.quantile(defined, [0.025, 0.975])
        return Estimate(value=number(self.value), low=float(low), high=float(high))

    def __sub__(self, other: Pooled) -> Pooled:
        return Pooled(self.value - other.value, self.samples - other.samples)


def mean(stats: Sequence[Stat]) -> Pooled:
    """Mean over tasks; no task is undefined."""
    return _over(stats, np.mean)


def median(stats: Sequence[Stat]) -> Pooled:
    """Median over tasks; no task is undefined."""
    return _over(stats, np.median)


def _over(stats: Sequence[Stat], how: Callable[..., Floats]) -> Pooled:
    if not stats:
        return Pooled(float("nan"), np.zeros(0))
    values = np.array([stat.value for stat in stats])
    return Pooled(float(how(values)), np.asarray(how(np.stack([stat.samples for stat in stats]), axis=0)))


def slope(x: Sequence[float], values: Sequence[Pooled]) -> Pooled:
    """Least-squares slope of the values on ``x``, in every resample; undefined for fewer than two different ``x``."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    spread = float((centred**2).sum())
    if spread == 0:
        return Pooled(float("nan"), np.zeros(0))
    point = float(centred @ np.array([each.value for each in values]) / spread)
    return Pooled(point, centred @ np.stack([each.samples for each in values]) / spread)
