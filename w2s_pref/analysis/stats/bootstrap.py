"""Intervals: prompts (as groups) and training seeds are both random, from sums rather than from copies of rows.

Every statistic here is a function of sums over rows ("tables" of C columns). A resample of G groups is a vector of G
counts, so 2,000 resamples of any statistic are one matrix product (resamples x groups) @ (groups x columns).
What a statistic and its resamples say stands in ``stat``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.stat import NOISE_RESAMPLES, PLAIN, SHARE, STEP, Form, Stat
from w2s_pref.core.arrays import Floats, Floats32, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

#: A statistic of sums: (..., C) -> (...), NaN where undefined.
Statistic = Callable[[Floats], Floats]
#: Several at once.
Statistics = Callable[[Floats], tuple[Floats, ...]]

_CHUNK = 256
#: More groups than this are resampled in random blocks of whole groups: the same variance, bounded memory.
MAX_BLOCKS = 8192


@dataclass(frozen=True)
class Sums:
    """Sums of a table of C columns, by seed and by resample.

    Attributes:
        seeds: (K, C).
        boot: (B, C) under resampled groups, all seeds.
        boot_seeds: (B', K, C) by seed under the first ``NOISE_RESAMPLES`` of those.
        n_groups: G.
        weights: (K, K) weights of the seeds' sums, row k where seed k is lowered by ``STEP``; None: only its own is.
    """

    seeds: Floats
    boot: Floats
    boot_seeds: Floats
    n_groups: int
    weights: Floats | None = None

    def stat(self, statistic: Statistic, form: Form = PLAIN) -> Stat:
        """Apply a statistic of sums to the data, to every resample, and with every seed lowered."""
        return self.stats(lambda sums: (statistic(sums),), [form])[0]

    def stats(self, statistics: Statistics, forms: Sequence[Form]) -> list[Stat]:
        """Several statistics from one function that returns them all, each with its form."""
        whole = statistics(self.seeds.sum(axis=0)[None])
        by_group = statistics(self.boot)
        if len(self.seeds) == 1:
            return [
                Stat.of_items(float(w[0]), g, self.n_groups, form)
                for w, g, form in zip(whole, by_group, forms, strict=True)
            ]
        per_seed, less = statistics(self.seeds), statistics(self._less(self.seeds))
        less_boot = statistics(self._less(self.boot_seeds))
        parts = zip(whole, per_seed, by_group, less, less_boot, forms, strict=True)
        return [Stat(float(w[0]), p, g, d, n, self.n_groups, form) for w, p, g, d, n, form in parts]

    def lowered_by(self, weights: Floats) -> Sums:
        """The same sums with other weights for lowered seeds."""
        return replace(self, weights=weights)

    def _less(self, sums: Floats) -> Floats:
        """(..., K, C): total sums with each seed lowered in turn."""
        if self.weights is None:
            return np.asarray(sums.sum(axis=-2, keepdims=True) - STEP * sums)
        return np.asarray(np.matmul(self.weights, sums))


class Resampler:
    """The resamples of one set of items: drawn once, shared by every statistic, so that differences are paired.

    Args:
        groups: (N,) group codes 0..G-1.
        resamples: B; 2,000 gives a 95 % end point to about 1 % of its standard error.
        seed: of the random generator; the same numbers for the same data and seed.
    """

    def __init__(self, groups: Ints, resamples: int = 2000, seed: int = 0) -> None:
        self.groups = groups
        self.n_groups = int(groups.max()) + 1 if len(groups) else 0
        rng = np.random.default_rng(seed)
        self.blocks = self._join(rng)
        n_blocks = min(self.n_groups, MAX_BLOCKS)
        self.weights = _counts(rng, n_blocks, resamples)
        self.noise = NOISE_RESAMPLES
        self._sort()

    def subset(self, items: Ints) -> Resampler:
        """The same resamples for some of the items, so that statistics of a part pair with those of the whole.

        Args:
            items: places of the items, ascending, at least one.
        """
        own = self._copy()
        present, blocks = np.unique(self.blocks[items], return_inverse=True)
        groups, codes = np.unique(self.groups[items], return_inverse=True)
        own.blocks, own.weights = blocks.astype(np.int64), self.weights[:, present]
        own.groups, own.n_groups = codes.astype(np.int64), len(groups)
        own._sort()
        return own

    def first(self, resamples: int, noise: int) -> Resampler:
        """The first so many of the same resamples, ``noise`` of them for what items make of the seeds' differences."""
        own = self._copy()
        own.weights, own.noise = self.weights[:resamples], noise
        return own

    def _copy(self) -> Resampler:
        own = copy.copy(self)
        own.__dict__.pop("_turned", None)
        return own

    @cached_property
    def _turned(self) -> tuple[Floats32, Floats32]:
        """(blocks, B) weights, and (blocks, B') those of the resamples for noise, as a sparse product reads them."""
        return np.ascontiguousarray(self.weights.T), np.ascontiguousarray(self.weights[: self.noise].T)

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
        return self.table_sums(self._by_block(values).transpose(1, 0, 2))

    def _by_block(self, values: Floats) -> Floats:
        """(K, blocks, C)."""
        ordered = values[:, self._order]
        alone = len(self._starts) == len(self._order)
        return ordered if alone else np.asarray(np.add.reduceat(ordered, self._starts, axis=1))

    def mean(self, values: Floats, weights: Floats | None = None, form: Form = SHARE) -> Stat:
        """Mean of per-row values (K, N), weighted by ``weights`` (K, N); undefined where the weights add up to 0."""
        weight = np.ones_like(values) if weights is None else weights
        sums = self.sums(np.stack([values * weight, weight], axis=-1))
        return sums.stat(lambda c: divide(c[..., 0], c[..., 1]), form)

    def counts(self, category: Ints, size: int) -> Sums:
        """How many rows fall into each of ``size`` categories; ``category`` is (K, N), -1 for rows left out."""
        n_seeds, n_blocks = len(category), len(self._starts)
        cell = (self.blocks[None, :] * n_seeds + np.arange(n_seeds)[:, None]) * size + category
        flat = np.bincount(cell[category >= 0], minlength=n_blocks * n_seeds * size)
        return self.table_sums(flat.reshape(n_blocks, n_seeds, size).astype(np.float64))

    def counts_and_sums(self, category: Ints, size: int, values: Floats) -> Sums:
        """Counts of many more categories than rows of a block, and in the last columns sums of ``values`` (K, N, C)."""
        table = self._by_block(values).astype(np.float32)
        weights, few = self._turned
        boot = np.empty((size + values.shape[-1], len(self.weights))).T  # as the sparse product lies in memory
        boot[:, :size] = (self._sparse(category, size) @ weights).T
        boot[:, size:] = self.weights @ table.sum(axis=0)
        by_seed = np.empty((few.shape[1], len(category), boot.shape[1]))
        seeds = np.empty(by_seed.shape[1:])
        for k, own in enumerate(category):
            by_seed[:, k, :size] = (self._sparse(own, size) @ few).T
            by_seed[:, k, size:] = few.T @ table[k]
            seeds[k] = np.concatenate([np.bincount(own[own >= 0], minlength=size), values[k].sum(axis=0)])
        return Sums(seeds, boot, by_seed, self.n_groups)

    def _sparse(self, category: Ints, size: int) -> csr_matrix:
        """(size, blocks) rows of some seeds."""
        from scipy.sparse import csr_matrix

        there = category >= 0
        rows, blocks = category[there], np.broadcast_to(self.blocks, category.shape)[there]
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))])
        parts = (np.ones(len(rows), np.float32), blocks[np.argsort(rows, kind="stable")], starts)
        return csr_matrix(parts, shape=(size, len(self._starts)))

    def table_sums(self, table: Floats) -> Sums:
        """Sums of a table already added up by block: (blocks, K, C)."""
        n_blocks, n_seeds, size = table.shape
        flat = np.ascontiguousarray(table.reshape(n_blocks, n_seeds * size), dtype=np.float32)
        by_seed = (self.weights[: self.noise] @ flat).astype(np.float64).reshape(-1, n_seeds, size)
        boot = (self.weights @ np.ascontiguousarray(table.sum(axis=1), dtype=np.float32)).astype(np.float64)
        return Sums(table.sum(axis=0), boot, by_seed, self.n_groups)


def _counts(rng: np.random.Generator, size: int, resamples: int) -> Floats32:
    """(resamples, size) multinomial counts of ``size`` draws from ``size`` things, made in blocks to bound memory."""
    out = np.zeros((resamples, size), dtype=np.float32)
    for start in range(0, resamples, _CHUNK):
        block = min(_CHUNK, resamples - start)
        drawn = rng.integers(0, size, size=(block, size), dtype=np.int64)
        drawn += np.arange(block, dtype=np.int64)[:, None] * size
        out[start : start + block] = np.bincount(drawn.ravel(), minlength=block * size).reshape(block, size)
    return out
