"""Intervals: resample groups (prompts) as wholes, and seeds on top, from sums rather than from copies of rows.

Every statistic here is a function of sums over rows ("tables" of C columns). A resample of G groups is a vector of G
counts, so 2,000 resamples of any statistic are one matrix product (resamples x groups) @ (groups x columns).

Seeds share their test items, so groups and seeds are crossed. Drawing both at once counts the noise of single items
up to three times (Owen 2007, "The pigeonhole bootstrap"); drawing groups afresh in every seed ignores that the items
are shared. Here a resample is

    statistic(groups resampled, all seeds) + lambda * sqrt(K/(K-1)) * mean over K seeds drawn of (theta_k - mean theta)

with lambda^2 = the share of the variance between the seeds' own values theta_k that resampling groups leaves
unexplained. With a real seed effect it is near 1, without one near 0.
With one seed there is no second term.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from w2s_pref.analysis.stats.basics import divide
from w2s_pref.core.arrays import Floats, Floats32, Ints

#: A statistic of sums: (..., C) -> (...), NaN where undefined.
Statistic = Callable[[Floats], Floats]
#: Several at once.
Statistics = Callable[[Floats], tuple[Floats, ...]]

#: An interval is reported when at least this share of the resamples is defined.
MIN_DEFINED = 0.9
#: Resamples used for the noise variance of a single seed's value.
NOISE_RESAMPLES = 300
_CHUNK = 256
#: More groups than this are resampled in random blocks of whole groups: the same variance, bounded memory.
MAX_BLOCKS = 8192


@dataclass(frozen=True)
class Stat:
    """A statistic with its bootstrap.

    Attributes:
        value: on all rows, seeds pooled; NaN where undefined.
        per_seed: (K,) on each seed's rows.
        by_group: (B,) under resampled groups, all seeds kept.
        noise: (B', K) each seed's value under the first B' of those resamples.
        draws: (B, K) how often each seed is drawn, rows sum to K.
        low, high: natural range; resamples are clipped to it.
    """

    value: float
    per_seed: Floats
    by_group: Floats
    noise: Floats
    draws: Floats
    low: float = -np.inf
    high: float = np.inf

    @cached_property
    def seed_share(self) -> float:
        """Lambda: root of the share of the variance between seeds not explained by the items; 0 for one seed."""
        spread = self._defined_seeds()
        if len(spread) < 2:
            return 0.0
        between = float(np.var(self.per_seed[spread], ddof=1))
        noise = self.noise[:, spread]
        noise = noise[np.isfinite(noise).all(axis=1)]
        if between <= 0 or len(noise) < 2:
            return 0.0
        centred = noise - noise.mean(axis=1, keepdims=True)
        within = float(np.var(centred, axis=0, ddof=1).sum() / (len(spread) - 1))
        return float(np.sqrt(max(0.0, 1.0 - within / between)))

    @cached_property
    def samples(self) -> Floats:
        """(B,) resamples over groups and seeds, NaN where undefined."""
        seeds = self._defined_seeds()
        if len(seeds) < 2 or self.seed_share == 0.0:
            return self.by_group
        values = self.per_seed[seeds]
        draws = self.draws[:, seeds]
        total = draws.sum(axis=1)
        mean = np.where(total > 0, draws @ values / np.where(total > 0, total, 1), values.mean())
        scale = self.seed_share * np.sqrt(len(seeds) / (len(seeds) - 1))
        return np.asarray(np.clip(self.by_group + scale * (mean - values.mean()), self.low, self.high))

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Percentile interval, or None where the value or more than a tenth of the resamples is undefined."""
        defined = self.samples[np.isfinite(self.samples)]
        if not np.isfinite(self.value) or len(defined) < max(2, MIN_DEFINED * len(self.samples)):
            return None
        tail = (1 - level) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return float(low), float(high)

    def pair(self, level: float = 0.95) -> list[float] | None:
        """The interval as JSON holds it."""
        interval = self.interval(level)
        return None if interval is None else list(interval)

    def combine(self, other: Stat, function: Callable[[Floats, Floats], Floats]) -> Stat:
        """``function(self, other)`` resample by resample; both must come from one ``Resampler`` (paired)."""
        value = function(np.asarray(self.value), np.asarray(other.value))
        return Stat(
            float(value),
            function(self.per_seed, other.per_seed),
            function(self.by_group, other.by_group),
            function(self.noise, other.noise),
            self.draws,
        )

    def __sub__(self, other: Stat) -> Stat:
        return self.combine(other, np.subtract)

    def _defined_seeds(self) -> Ints:
        return np.flatnonzero(np.isfinite(self.per_seed)).astype(np.int64)


@dataclass(frozen=True)
class Sums:
    """Sums of a table of C columns: per seed (K, C), under resampled groups (B, K, C), and the seed draws (B, K)."""

    seeds: Floats
    boot: Floats32
    draws: Floats

    def stat(self, statistic: Statistic, low: float = -np.inf, high: float = np.inf) -> Stat:
        """Apply a statistic of sums to the data and to every resample."""
        return self.stats(lambda sums: (statistic(sums),), [(low, high)])[0]

    def stats(self, statistics: Statistics, ranges: Sequence[tuple[float, float]]) -> list[Stat]:
        """Several statistics from one function that returns them all, each with its natural range."""
        noise = self.boot[:NOISE_RESAMPLES].astype(np.float64)
        whole = statistics(self.seeds.sum(axis=0)[None])
        by_group = statistics(self.boot.sum(axis=1, dtype=np.float64))
        one_seed = self.seeds.shape[0] == 1
        per_seed = whole if one_seed else statistics(self.seeds)
        noises = tuple(x[: len(noise), None] for x in by_group) if one_seed else statistics(noise)
        parts = zip(whole, per_seed, by_group, noises, ranges, strict=True)
        return [Stat(float(w[0]), p, g, n, self.draws, *limits) for w, p, g, n, limits in parts]


class Resampler:
    """The resamples of one set of items: drawn once, shared by every statistic, so that differences are paired.

    Args:
        groups: (N,) group codes 0..G-1.
        n_seeds: K.
        resamples: B; 2,000 gives a 95 % end point to about 1 % of its standard error.
        seed: of the random generator; the same numbers for the same data and seed.
    """

    def __init__(self, groups: Ints, n_seeds: int, resamples: int = 2000, seed: int = 0) -> None:
        self.groups = groups
        self.n_groups = int(groups.max()) + 1 if len(groups) else 0
        self.n_seeds = n_seeds
        rng = np.random.default_rng(seed)
        self.blocks = self._join(rng)
        n_blocks = min(self.n_groups, MAX_BLOCKS)
        self.weights = _counts(rng, n_blocks, resamples)
        self.draws = _counts(rng, n_seeds, resamples).astype(np.float64)
        self._sort()

    def subset(self, items: Ints) -> Resampler:
        """The same resamples for some of the items, so that statistics of a part pair with those of the whole.

        Args:
            items: places of the items, ascending, at least one.
        """
        own = copy.copy(self)
        present, blocks = np.unique(self.blocks[items], return_inverse=True)
        groups, codes = np.unique(self.groups[items], return_inverse=True)
        own.blocks, own.weights = blocks.astype(np.int64), self.weights[:, present]
        own.groups, own.n_groups = codes.astype(np.int64), len(groups)
        own._sort()
        return own

    def _sort(self) -> None:
        self._order = np.argsort(self.blocks, kind="stable")
        self._starts = np.searchsorted(self.blocks[self._order], np.arange(self.weights.shape[1]))

    def _join(self, rng: np.random.Generator) -> Ints:
        """(N,) what is resampled: the groups, or at random as many blocks of whole groups as memory allows."""
        if self.n_groups <= MAX_BLOCKS:
            return self.groups
        return np.asarray(rng.permutation(self.n_groups)[self.groups] % MAX_BLOCKS, dtype=np.int64)

    def sums(self, values: Floats) -> Sums:
        """Sums of per-row values of shape (K, N, C)."""
        table = np.add.reduceat(values[:, self._order], self._starts, axis=1).transpose(1, 0, 2)
        return self.table_sums(table)

    def mean(self, values: Floats, weights: Floats | None = None, low: float = 0.0, high: float = 1.0) -> Stat:
        """Mean of per-row values (K, N), weighted by ``weights`` (K, N); undefined where the weights add up to 0."""
        weight = np.ones_like(values) if weights is None else weights
        sums = self.sums(np.stack([values * weight, weight], axis=-1))
        return sums.stat(lambda c: divide(c[..., 0], c[..., 1]), low, high)

    def counts(self, category: Ints, size: int) -> Sums:
        """How many rows fall into each of ``size`` categories; ``category`` is (K, N), -1 for rows left out."""
        n_seeds, _ = category.shape
        n_blocks = len(self._starts)
        cell = (self.blocks[None, :] * n_seeds + np.arange(n_seeds)[:, None]) * size + category
        flat = np.bincount(cell[category >= 0], minlength=n_blocks * n_seeds * size)
        return self.table_sums(flat.reshape(n_blocks, n_seeds, size).astype(np.float64))

    def table_sums(self, table: Floats) -> Sums:
        """Sums of a table already added up by block: (blocks, K, C)."""
        n_blocks, n_seeds, size = table.shape
        flat = np.ascontiguousarray(table.reshape(n_blocks, n_seeds * size), dtype=np.float32)
        boot = (self.weights @ flat).reshape(-1, n_seeds, size)
        return Sums(table.sum(axis=0), boot, self.draws)


def _counts(rng: np.random.Generator, size: int, resamples: int) -> Floats32:
    """(resamples, size) multinomial counts of ``size`` draws from ``size`` things, made in blocks to bound memory."""
    out = np.zeros((resamples, size), dtype=np.float32)
    for start in range(0, resamples, _CHUNK):
        block = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, size, size=(block, size), dtype=np.int64)
        drawn += np.arange(block, dtype=np.int64)[:, None] * size
        out[start : start + block] = np.bincount(drawn.ravel(), minlength=block * size).reshape(block, size)
    return out
