"""What weak-to-strong generalization is measured by: gap recovered, agreement, error inheritance (Burns et al.).

Burns et al., arXiv 2312.09390. How often these intervals hold the truth is simulated by ``benchmarks/coverage.py``, so
what is computed here stands apart from what is said of it (``generalization``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from w2s_pref.analysis.stats.basics import divide, number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.quantiles import student
from w2s_pref.analysis.stats.seeds import reading, side
from w2s_pref.analysis.stats.stat import DIFFERENCE, PLAIN, Stat
from w2s_pref.core.arrays import Floats

#: Probability up to the upper end of a 95 % interval.
_UPPER = 0.975


@dataclass(frozen=True)
class Recovered:
    """Performance gap recovered.

    Attributes:
        stat: PGR with its bootstrap, NaN only where the gap is 0.
        gap: ceiling accuracy minus weak accuracy.
        lead: student accuracy minus weak accuracy.
        fieller: Fieller's 95 % set for the ratio where it is an interval, else None.
        note: why there is no PGR, or None where there is one.
    """

    stat: Stat
    gap: Stat
    lead: Stat
    fieller: tuple[float, float] | None
    note: str | None

    @property
    def lead_found(self) -> float | None:
        """The smallest true lead that 80 % of such studies find; None where nothing varies, which finds nothing."""
        return number(self.lead.smallest_found) if self.lead.smallest_found > 0 else None


def recovered(weak: Floats, student: Floats, ceiling: Floats, draw: Resampler) -> Recovered:
    """PGR = (acc[student] - acc[weak]) / (acc[ceiling] - acc[weak]), from per-row credits of shape (K, N).

    There is no PGR where the ceiling is not better than the weak model, or where the 95 % interval of the gap (over
    seeds, where there are several) holds 0.
    """
    ones = np.ones_like(weak)
    sums = draw.sums(np.stack([student - weak, ceiling - weak, ones], axis=-1))
    lead, gap, stat = sums.stats(
        lambda c: (divide(c[..., 0], c[..., 2]), divide(c[..., 1], c[..., 2]), divide(c[..., 0], c[..., 1])),
        [DIFFERENCE, DIFFERENCE, PLAIN],
    )
    note = None
    if gap.value <= 0:
        note = f"No gap: the ceiling is not more accurate than the weak model ({gap.value:+.3f})."
    elif gap.interval() is None:
        note = f"Not resolved whether there is a gap: {reading(gap)}. No PGR."
    elif side(gap.interval()) <= 0:
        note = f"The gap of {reading(gap)} is within noise: no PGR."
    return Recovered(not_narrower(stat), gap, lead, fieller(lead, gap), note)


def not_narrower(stat: Stat) -> Stat:
    """The same ratio, with an interval over seeds that is never narrower than the one in these seeds.

    W, what items alone add to the variance between seeds, is taken off the bootstrap's variance before the seeds' own
    is added. Near a gap of 0 a ratio's resamples have heavy tails, those of its pseudo-values heavier ones: nothing is
    left then, and seeds that are nearly one model add nothing. Where that happens W counts as 0. By simulation:
    ``benchmarks/coverage_ratios.py``.
    """
    over, here = stat.interval(), stat.in_seeds()
    if over is None or here is None or over[1] - over[0] >= here[1] - here[0]:
        return stat
    return replace(stat, less_boot=np.repeat(stat.by_group[: len(stat.less_boot), None], stat.n_seeds, axis=1))


def fieller(top: Stat, bottom: Stat) -> tuple[float, float] | None:
    """Fieller's 95 % set for the ratio of two means, prompts and (where there are several) seeds random.

    The set holds every r with (t - r b)^2 <= c^2 var(t - r b). The covariances are those of the intervals: of the group
    bootstrap less what the seeds' noise adds to it, plus S2 / K. The quantile c weights the t quantiles of groups
    (G - 1 degrees of freedom, widened for few) and of seeds (K - 1) by the two parts of var(t - r b) at r = t / b
    (Cochran's weights).

    Returns:
        The interval, or None where the set is unbounded: the denominator is not distinguishable from 0.
    """
    if not (top.defined and bottom.defined) or bottom.value == 0:
        return None
    t, b = top.value, bottom.value
    item, seed = _covariances(top, bottom)
    at = np.array([1.0, -t / b])
    parts = np.array([at @ item @ at, at @ seed @ at])
    groups, freedom = top.n_groups, max(top.n_seeds - 1, 1)
    quantiles = np.array([student(groups - 1, _UPPER) * np.sqrt(groups / (groups - 1)), student(freedom, _UPPER)])
    c = quantiles @ parts / parts.sum() if parts.sum() > 0 else quantiles[0]
    variance = c * c * (item + seed)
    square, middle = b * b - variance[1, 1], t * b - variance[0, 1]
    inside = middle**2 - square * (t * t - variance[0, 0])
    if square <= 0 or inside < 0:
        return None
    root = float(np.sqrt(inside))
    return float((middle - root) / square), float((middle + root) / square)


def _covariances(top: Stat, bottom: Stat) -> tuple[Floats, Floats]:
    """(2, 2) covariance of two means from items, without a negative direction, and S2 / K of the seeds' own values.

    A covariance is (var x + var y - var(x - y)) / 2.
    """
    own = [stat.variances for stat in (top, bottom, top - bottom)]
    seeds = top.n_seeds
    matrices = []
    for x, y, both in ([v.boot - v.noise / seeds for v in own], [v.between / seeds for v in own]):
        matrices.append(np.array([[x, (x + y - both) / 2], [(x + y - both) / 2, y]]))
    values, vectors = np.linalg.eigh(matrices[0])
    return (vectors * np.maximum(values, 0.0)) @ vectors.T, matrices[1]


def agreement(supervisor: Floats, student: Floats, draw: Resampler) -> dict[str, Stat]:
    """P(same answer) overall, where the supervisor is right, and where it is wrong; from credits (K, N).

    A tie is a fair coin: a credit of one half is right half the time.
    """
    both = supervisor * student
    neither = (1 - supervisor) * (1 - student)
    return {
        "overall": draw.mean(both + neither),
        "supervisor_right": draw.mean(student, supervisor),
        "supervisor_wrong": draw.mean(1 - student, 1 - supervisor),
    }


def inheritance(supervisor: Floats, student: Floats, draw: Resampler) -> dict[str, Stat]:
    """Of the supervisor's errors the shares inherited and corrected; of its right answers the share of new errors."""
    return {
        "inherited": draw.mean(1 - student, 1 - supervisor),
        "corrected": draw.mean(student, 1 - supervisor),
        "new_errors": draw.mean(1 - student, supervisor),
    }
