"""Spearman's correlation of few clusters: exact or permutation p, cluster bootstrap, partial, what n can support."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np

from w2s_pref.analysis.stats.basics import Z95, divide
from w2s_pref.analysis.stats.quantiles import student
from w2s_pref.core.arrays import Floats, Ints

#: Up to this many values all n! orders are counted (362,880 for 9); above it, a seeded sample of ``DRAWS`` orders.
MAX_EXACT = 9
DRAWS = 20_000
#: Means that differ beyond this many decimals differ by rounding: they are tied.
_DECIMALS = 12
#: The same for correlations, spreads and shares of orders.
_EQUAL = 1e-9


def weighted_ranks(x: Floats, weights: Floats) -> Floats:
    """Midranks of ``x`` (n,) where value i is there ``weights[b, i]`` times, (B, n).

    With weights of 1 these are the usual midranks; with bootstrap counts, those of the resample. Values are rounded
    to 12 decimals, so that means that differ by a rounding error are tied.
    """
    values, place = np.unique(np.round(x, _DECIMALS), return_inverse=True)
    mass = weights @ np.eye(len(values))[place]
    middle = np.cumsum(mass, axis=1) - mass + (mass + 1) / 2
    return np.asarray(middle[:, place], dtype=np.float64)


def weighted_spearman(x: Floats, y: Floats, weights: Floats) -> Floats:
    """(B,) rank correlations of x and y, both (n,), under B rows of weights; NaN where either is constant."""
    return _correlation(weighted_ranks(x, weights), weighted_ranks(y, weights), weights)


def weighted_partial(x: Floats, y: Floats, control: Floats, weights: Floats) -> Floats:
    """(B,) rank correlations of x and y given ``control``; NaN where the control explains one of them fully."""
    rx, ry, rz = (weighted_ranks(v, weights) for v in (x, y, control))
    xy, xz, yz = (_correlation(a, b, weights) for a, b in ((rx, ry), (rx, rz), (ry, rz)))
    left = (1 - xz**2) * (1 - yz**2)
    return divide(xy - xz * yz, np.sqrt(np.where(left > _EQUAL, left, 0.0)))


def spearman(x: Floats, y: Floats) -> float:
    """Rank correlation with midranks; NaN below three values or where one side is constant."""
    return float(weighted_spearman(x, y, np.ones((1, len(x))))[0]) if len(x) >= 3 else float("nan")


def spearman_p(x: Floats, y: Floats, seed: int = 0) -> float | None:
    """Two-sided p: share of the orders of y whose |rho| reaches the observed one.

    Exact up to ``MAX_EXACT`` values, ties included; above, (1 + hits) / (1 + ``DRAWS``) from random orders. None where
    rho is undefined.
    """
    if not np.isfinite(spearman(x, y)):
        return None
    ones = np.ones((1, len(x)))
    rx, ry = (weighted_ranks(v, ones)[0] for v in (x, y))
    rx = rx - rx.mean()
    observed = abs(float(rx @ ry)) - _EQUAL
    if len(x) <= MAX_EXACT:
        return float(np.mean(np.abs(ry[_orders(len(x))] @ rx) >= observed))
    drawn = np.random.default_rng([seed, 2]).permuted(np.tile(ry, (DRAWS, 1)), axis=1)
    return float((1 + np.sum(np.abs(drawn @ rx) >= observed)) / (1 + DRAWS))


def cluster_weights(clusters: Ints, resamples: int, seed: int) -> Floats:
    """(B, n) counts of every point when the clusters 0..C-1 are resampled as wholes."""
    size = int(clusters.max()) + 1
    drawn = np.random.default_rng([seed, 3]).multinomial(size, np.full(size, 1 / size), size=resamples)
    return np.asarray(drawn[:, clusters], dtype=np.float64)


def support(n: int, tests: int) -> dict[str, Any]:
    """What n independent values can show about a rank correlation.

    Returns:
        ``smallest_p`` (two-sided, perfect agreement), ``critical_rho`` (least |rho| with p <= .05; None where no order
        reaches it), ``critical_rho_holm`` (for the first of ``tests`` under Holm's correction), and the 95 % limits
        that a rho of .9 and of 0 have at this n (Bonett and Wright 2000), None below 5 values.
    """
    return {
        "settings": n,
        "smallest_p": 2 / math.factorial(n) if 2 <= n <= MAX_EXACT else (1 / (1 + DRAWS) if n > MAX_EXACT else None),
        "critical_rho": critical(n, 0.05),
        "critical_rho_holm": critical(n, 0.05 / tests),
        "interval_at_0.9": bonett_wright(0.9, n),
        "interval_at_0": bonett_wright(0.0, n),
    }


def critical(n: int, level: float) -> float | None:
    """Least |rho| of n untied values with a two-sided p at or below ``level``; None where there is none."""
    if n < 3:
        return None
    if n > MAX_EXACT:
        t = student(n - 2, 1 - level / 2)
        return t / math.sqrt(n - 2 + t * t)
    ranks = np.arange(n, dtype=np.float64) - (n - 1) / 2
    size = np.sort(np.abs(ranks[_orders(n)] @ ranks) / (ranks @ ranks))
    values, first = np.unique(np.round(size, _DECIMALS), return_index=True)
    reached = (len(size) - first) / len(size) <= level + _EQUAL
    return float(values[reached][0]) if reached.any() else None


def bonett_wright(rho: float, n: int) -> list[float] | None:
    """Approximate 95 % limits of a rank correlation, tanh(atanh rho -+ 1.96 sqrt((1 + rho^2 / 2) / (n - 3)))."""
    if n < 5:
        return None
    half = Z95 * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return [math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)]


def _correlation(x: Floats, y: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    spread = np.where(spread > _EQUAL, spread, 0.0)
    return divide((weights * x * y).sum(axis=1), np.sqrt(spread))


@cache
def _orders(n: int) -> Ints:
    """All n! orders of 0..n-1."""
    flat = itertools.chain.from_iterable(itertools.permutations(range(n)))
    return np.fromiter(flat, dtype=np.int8, count=n * math.factorial(n)).reshape(-1, n).astype(np.int64)
