"""A statistic with its resamples, and the intervals and p values that they give.

Two readings stand side by side. *In these seeds* resamples groups only. *Over seeds* adds what other training seeds
would change: the seeds' weights are lowered by half one after the other, which gives a pseudo-value for each seed

    theta_k = theta + (K - 1/2)(u_k - mean u),  u_k = (theta(T) - theta(T - s_k / 2)) / (1/2),

for means exactly the seed's own value, and never undefined because one seed's own value is. With S2 their variance, W
the part of it that the items alone explain (from the group resamples) and V the variance of the group bootstrap,

    V_item = max(V - W / K, 0),  V_seed = S2 / K,
    half-width = (h sqrt(V_item / V) sqrt(V_item) + t(K-1) V_seed) / sqrt(V_item + V_seed)

where h is the percentile half-width of the bootstrap, widened for few groups by t(G-1) / z * sqrt(G / (G - 1)):
Cochran's weighting of the two quantiles. Coverage by simulation: ``benchmarks/coverage.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from w2s_pref.analysis.stats.quantiles import normal, student
from w2s_pref.core.arrays import Floats

#: An interval is reported when at least this share of the resamples is defined.
MIN_DEFINED = 0.9
#: Resamples from which W, the items' part of the variance between seeds, is estimated.
NOISE_RESAMPLES = 200
#: By how much a seed's weight is lowered.
STEP = 0.5
#: Standard normal quantile of the power that ``smallest_found`` asks for, 80 %.
_POWER = 0.8416212335729143
#: Steps of the bisection that inverts an interval: to 1e-7 of a tail.
_BISECTIONS = 24
#: Pseudo-values that differ by less, beside their size and K, differ by rounding.
_ROUNDING = 1e-14


class Form(NamedTuple):
    """Natural range of a statistic, the scale its interval is made on, and whether it is cautious.

    Cautious intervals use K in the place of K - 1/2 for the pseudo-values: for ratios whose seeds' values are skewed.
    """

    low: float = -np.inf
    high: float = np.inf
    scale: Literal["plain", "log"] = "plain"
    cautious: bool = False


#: A share of rows; a difference of two; a ratio of rates, its interval on the log scale.
SHARE, DIFFERENCE, RATIO = Form(0.0, 1.0), Form(-1.0, 1.0), Form(0.0, np.inf, "log", True)
PLAIN = Form()


class Variances(NamedTuple):
    """Parts of a statistic's variance: between seeds S2, W of it from items, shared by all seeds, of the bootstrap."""

    between: float
    noise: float
    item: float
    boot: float


@dataclass(frozen=True)
class Stat:
    """A statistic with its bootstrap.

    Attributes:
        value: on all rows, seeds pooled; NaN where undefined.
        per_seed: (K,) on each seed's rows.
        by_group: (B,) under resampled groups, all seeds kept.
        less: (K,) with each seed's weight lowered by ``STEP``.
        less_boot: (B', K) the same under the first B' resamples.
        n_groups: G.
        form: range, scale, caution.
        centre: value of the form that the resamples are of, where it is not ``value`` itself (a ratio with half a flip
            added above and below).
    """

    value: float
    per_seed: Floats
    by_group: Floats
    less: Floats
    less_boot: Floats
    n_groups: int
    form: Form = PLAIN
    centre: float | None = None

    @classmethod
    def of_items(cls, value: float, by_group: Floats, n_groups: int, form: Form = PLAIN) -> Stat:
        """A number without seeds: the units that are resampled (prompts, or whole runs) are all that varies."""
        none = np.full((len(by_group[:NOISE_RESAMPLES]), 1), np.nan)
        return cls(value, np.array([value]), by_group, np.array([np.nan]), none, n_groups, form)

    @classmethod
    def mean_of_seeds(cls, per_seed: Floats, boot: Floats, n_groups: int, form: Form = PLAIN) -> Stat:
        """The mean of K seeds' own values: per_seed (K,), boot (B, K)."""
        less, less_boot = _lowered(per_seed), _lowered(boot[:NOISE_RESAMPLES])
        return cls(float(per_seed.mean()), per_seed, boot.mean(axis=1), less, less_boot, n_groups, form)

    @property
    def n_seeds(self) -> int:
        """K."""
        return len(self.per_seed)

    @property
    def over(self) -> Literal["seeds", "items"]:
        """What ``interval`` generalises over: prompts only where one seed, or one model under all seeds, was there."""
        return "seeds" if self.n_seeds > 1 and self.variances.between > 0 else "items"

    @cached_property
    def _centre(self) -> float:
        return float(self._to(np.asarray(self.value if self.centre is None else self.centre)))

    def _to(self, x: Floats) -> Floats:
        if self.form.scale == "plain":
            return np.asarray(x, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(np.asarray(x) > 0, np.log(x), np.nan))

    def _from(self, x: float) -> float:
        return x if self.form.scale == "plain" else float(np.exp(x))

    @cached_property
    def _sorted(self) -> Floats:
        by = self._to(self.by_group)
        return np.sort(by[np.isfinite(by)])

    @cached_property
    def defined(self) -> bool:
        """Whether there is an interval: a value, two groups, enough defined resamples, a defined noise draw."""
        enough = len(self._sorted) >= max(2, MIN_DEFINED * len(self.by_group))
        there = np.isfinite(self.value) and np.isfinite(self._centre) and self.n_groups > 1 and enough
        return bool(there and (self.n_seeds == 1 or np.isfinite(self.variances.between)))

    @cached_property
    def pseudo(self) -> Floats:
        """(K,) pseudo-values of the seeds, on the scale of the interval."""
        return self._pseudo(np.asarray(self._centre), self._to(self.less))

    def _pseudo(self, value: Floats, less: Floats) -> Floats:
        pull = (value[..., None] - less) / STEP
        size = self.n_seeds - (0.0 if self.form.cautious else STEP)
        return np.asarray(value[..., None] + size * (pull - pull.mean(axis=-1, keepdims=True)))

    @cached_property
    def variances(self) -> Variances:
        """S2, W, V_item and V of the bootstrap; NaN between seeds where every noise draw is undefined."""
        boot = float(self._sorted.var(ddof=1)) if len(self._sorted) > 1 else float("nan")
        if self.n_seeds == 1:
            return Variances(0.0, 0.0, boot, boot)
        value = self._to(self.by_group[: len(self.less_boot)])
        drawn = self._pseudo(value, self._to(self.less_boot))
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        if len(drawn) < 2:
            return Variances(float("nan"), float("nan"), boot, boot)
        centred = drawn - drawn.mean(axis=1, keepdims=True)
        noise = float(np.var(centred, axis=0, ddof=1).sum() / (self.n_seeds - 1))
        between = float(np.var(self.pseudo, ddof=1))
        if between <= (_ROUNDING * max(1.0, abs(self._centre)) * self.n_seeds) ** 2:
            between = 0.0  # the same model under all seeds, but for rounding
        return Variances(between, noise, max(boot - noise / self.n_seeds, 0.0), boot)

    def _percentile(self, tail: float) -> Floats:
        """(below, above): half-widths of the group bootstrap, widened for few groups."""
        spread = self.n_groups - 1
        small = student(spread, 1 - tail) / normal(1 - tail) * np.sqrt(self.n_groups / spread)
        place = np.array([tail, 1 - tail]) * (len(self._sorted) - 1)
        quantiles = np.interp(place, np.arange(len(self._sorted)), self._sorted)
        ends = np.array([self._centre, -self._centre]) + [-1, 1] * quantiles
        return np.asarray(np.maximum(ends, 0.0) * small)

    def _over_seeds(self, items: Floats, between: Floats | float, freedom: float, tail: float) -> Floats:
        """Half-widths over seeds from those over ``items`` and the variance S2 between seeds, known to ``freedom``."""
        _, _, item, boot = self.variances
        seed = between / self.n_seeds
        keep = item / np.sqrt(boot) if boot > 0 else 0.0
        quantile = normal(1 - tail) if np.isinf(freedom) else student(freedom, 1 - tail)
        root = np.sqrt(np.maximum(item + seed, np.finfo(np.float64).tiny))
        return np.asarray((items * keep + quantile * seed) / root)

    def _ends(self, tail: float, in_seeds: bool = False, moderated: tuple[float, float] | None = None) -> Floats:
        """(low, high) on the interval's scale; ``moderated``: a family's S2 and freedom in the place of its own."""
        below, above = self._percentile(tail)
        if not in_seeds and self.over == "seeds":  # seeds that tie by chance leave no variance to go by: items alone
            between, freedom = moderated or (self.variances.between, self.n_seeds - 1)
            below, above = self._over_seeds(np.array([below, above]), between, freedom, tail)
        return np.array([self._centre - below, self._centre + above])

    def _interval(self, level: float, in_seeds: bool) -> tuple[float, float] | None:
        if not self.defined:
            return None
        ends = [self._from(float(x)) for x in self._ends((1 - level) / 2, in_seeds)]
        low, high = min(ends[0], self.value), max(ends[1], self.value)
        return float(np.clip(low, *self.form[:2])), float(np.clip(high, *self.form[:2]))

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Over seeds where there are several, over items where there is one; None where undefined (``defined``)."""
        return self._interval(level, in_seeds=False)

    def in_seeds(self, level: float = 0.95) -> tuple[float, float] | None:
        """Over items only: what other prompts would give with these very models."""
        return self._interval(level, in_seeds=True)

    def pair(self, level: float = 0.95) -> list[float] | None:
        """``interval`` as JSON holds it."""
        interval = self.interval(level)
        return None if interval is None else list(interval)

    def pair_in_seeds(self, level: float = 0.95) -> list[float] | None:
        """``in_seeds`` as JSON holds it."""
        interval = self.in_seeds(level)
        return None if interval is None else list(interval)

    def p_above(self, null: float, moderated: tuple[float, float] | None = None) -> float | None:
        """One-sided p of "not above ``null``": the smallest tail whose lower limit excludes it, 1/(B+1) at least.

        Args:
            null: value under the null hypothesis, on the statistic's own scale.
            moderated: (S2, degrees of freedom) shrunk over a family (``families.moderate``).
        """
        if not self.defined:
            return None
        at = float(self._to(np.asarray(null)))
        side = 0 if self._centre > at else 1
        low, high = 1.0 / (len(self.by_group) + 1), 0.4999
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            beyond = self._ends(middle, moderated=moderated)[side] - at
            excluded = beyond > 0 if side == 0 else beyond < 0  # an end that touches it excludes nothing
            low, high = (low, middle) if excluded else (middle, high)
        return high if side == 0 else 1 - high

    def low_if_moved(self, moved: Floats, level: float = 0.95) -> Floats:
        """(R,) lower limits on the interval's scale if the seeds' pseudo-values lay elsewhere, by ``moved`` (R, K)."""
        tail = (1 - level) / 2
        below = self._percentile(tail)[0]
        if self.n_seeds > 1:
            below = self._over_seeds(below, np.var(self.pseudo + moved, axis=1, ddof=1), self.n_seeds - 1, tail)
        return np.asarray(self._centre + moved.mean(axis=1) - below)

    @property
    def smallest_found(self) -> float:
        """Smallest true distance from a null value that is found in 80 % of studies like this; a factor where the scale
        is log; NaN where there is no interval."""
        if not self.defined:
            return float("nan")
        below = self._centre - float(self._ends(0.025)[0])
        _, _, item, boot = self.variances
        error = np.sqrt(boot if self.over == "items" else item + self.variances.between / self.n_seeds)
        return self._from(below + _POWER * float(error))

    def of_form(self, form: Stat) -> Stat:
        """This number with the resamples of ``form``, the same with half a flip added above and below."""
        return replace(form, value=self.value, per_seed=self.per_seed, centre=form.value)

    def combine(self, other: Stat, function: Callable[[Floats, Floats], Floats], form: Form = PLAIN) -> Stat:
        """``function(self, other)`` resample by resample; both must come from one ``Resampler`` (paired)."""
        return combined([self, other], function, form)

    def __sub__(self, other: Stat) -> Stat:
        range_ = Form(self.form.low - other.form.high, self.form.high - other.form.low)
        return self.combine(other, np.subtract, range_ if not np.isnan(range_.low + range_.high) else PLAIN)


def combined(stats: Sequence[Stat], function: Callable[..., Floats], form: Form = PLAIN) -> Stat:
    """``function(first, second, …)`` of statistics with the same seeds, resample by resample and seed by seed.

    Raises:
        ValueError: different numbers of seeds or resamples.
    """
    if len({(stat.n_seeds, len(stat.by_group)) for stat in stats}) != 1:
        raise ValueError("statistics of different seeds or resamples cannot be combined")

    def of(read: Callable[[Stat], Floats | float]) -> Floats:
        return np.asarray(function(*(np.asarray(read(stat), dtype=np.float64) for stat in stats)), dtype=np.float64)

    whole = any(stat.centre is not None for stat in stats)
    return Stat(
        float(of(lambda s: s.value)),
        of(lambda s: s.per_seed),
        of(lambda s: s.by_group),
        of(lambda s: s.less),
        of(lambda s: s.less_boot),
        min(stat.n_groups for stat in stats),
        form,
        float(of(lambda s: s.value if s.centre is None else s.centre)) if whole else None,
    )


def _lowered(values: Floats) -> Floats:
    """(..., K) mean over seeds with each seed's weight lowered by ``STEP`` in turn."""
    total = values.sum(axis=-1, keepdims=True)
    return np.asarray((total - STEP * values) / (values.shape[-1] - STEP))
