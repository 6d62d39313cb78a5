"""Several verdicts at once: Holm's adjusted p values, and seed variances shrunk over a family.

One blind student is called selective in at most 2.5 % of studies; of sixteen, one would be in a third of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import digamma, polygamma

from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.results.estimates import LEVEL as LEVEL

#: Members from which the seed variances of a family are shrunk towards each other.
LEAST_MEMBERS = 4
_NEWTON, _CLOSE = 50, 1e-9


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p values, in the order given: reject where at most the family's level.

    The smallest p times the size of the family, the next times one less, and so on, never falling and at most 1. A p
    that does not exist (None) is not in the family.
    """
    there = sorted((value, at) for at, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, at) in enumerate(there):
        highest = min(1.0, max(highest, (len(there) - rank) * value))
        found[at] = highest
    return found


def moderate(stats: Sequence[Stat]) -> list[tuple[float, float]] | None:
    """(S2, degrees of freedom) of each statistic, seed variances shrunk over the family; None where they are not.

    With few seeds each S2 is poorly known, and the ratio S2 / W to what the items alone explain is alike in a family.
    As in limma (Smyth 2004): the ratios are scaled F with K - 1 degrees of freedom and a common scale with d0 more; S2
    becomes their mean weighted by degrees of freedom. Where the ratios vary no more than chance, d0 is infinite.
    """
    own = [stat.variances for stat in stats if stat.defined and stat.over == "seeds"]
    usable = [v for v in own if v.noise > 0 and v.between > 0]
    if len(usable) < LEAST_MEMBERS or len(usable) < len(stats) or len({s.n_seeds for s in stats}) != 1:
        return None
    freedom = stats[0].n_seeds - 1
    ratios = np.array([v.between / v.noise for v in usable])
    prior, scale = fit_scaled_f(ratios, freedom)
    if np.isinf(prior):
        return [(scale * v.noise, float("inf")) for v in usable]
    shrunk = (prior * scale + freedom * ratios) / (prior + freedom)
    return [(float(ratio * v.noise), prior + freedom) for ratio, v in zip(shrunk, usable, strict=True)]


def fit_scaled_f(variances: np.ndarray, freedom: float) -> tuple[float, float]:  # type: ignore[type-arg]
    """(d0, s0^2): prior degrees of freedom and scale of sample variances, by the moments of their logs (Smyth 2004)."""
    logs = np.log(variances) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(np.var(logs, ddof=1) - polygamma(1, freedom / 2))
    if excess <= 0:
        return float("inf"), float(np.exp(logs.mean()))
    prior = 2 * _inverse_trigamma(excess)
    return prior, float(np.exp(logs.mean() + digamma(prior / 2) - np.log(prior / 2)))


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value, by Newton's method on 1 / trigamma, which is nearly a line."""
    x = 0.5 + 1 / value
    for _ in range(_NEWTON):
        now = float(polygamma(1, x))
        step = now * (1 - now / value) / float(polygamma(2, x))
        x += step
        if -step / x < _CLOSE:
            break
    return x
