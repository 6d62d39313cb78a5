"""Weak-to-strong generalization (Burns et al., arXiv 2312.09390): accuracy, gap recovered, agreement, inheritance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.panel import Panel, resampled
from w2s_pref.analysis.stats.basics import Ties, credit, divide, number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.quantiles import student
from w2s_pref.analysis.stats.seeds import READINGS, disagreements, reading, side
from w2s_pref.analysis.stats.stat import DIFFERENCE, PLAIN, Stat
from w2s_pref.core.arrays import Floats

#: Below a gap of this many points of accuracy a PGR is usually noise (a warning, not a rule).
SMALL_GAP = 0.03
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


def analyze_generalization(
    scores: pd.DataFrame,
    weak: str,
    student: str,
    ceiling: str,
    resamples: int = 2000,
    seed: int = 0,
    *,
    ties: Ties = "half",
    objective: str | None = None,
) -> dict[str, Any]:
    """Accuracies, PGR, agreement with the weak model and error inheritance of one student.

    Args:
        scores: a score table (see ``read_scores``).
        weak: the supervisor and floor; student: trained on its labels; ceiling: the strong model on ground truth.
        resamples, seed: of the bootstrap.
        ties: ``half`` (delta = 0 counts one half) or ``right`` (counts one).
        objective: which rows, where the table holds several objectives.

    Returns:
        A JSON-ready dictionary. ``pgr`` is None where the gap is not above noise; ``pgr_raw`` is the plain ratio, None
        only where the gap is exactly 0. ``intervals`` hold for other prompts and seeds (prompts alone where there is
        one seed), ``intervals_in_seeds`` for other prompts. ``sensitivity``: the smallest true ``difference_80`` of
        student minus weak accuracy, and the smallest PGR ``pgr_80``, that 80 % of such studies find.

    Raises:
        W2SError: bad table or unknown model.
    """
    data, draw = resampled(scores, (weak, student, ceiling), objective, resamples, seed)
    roles = {"weak": weak, "student": student, "ceiling": ceiling}
    found = {"models": roles, **data.counts(), "resamples": resamples, **_numbers(data, roles, draw, ties)}
    return {**found, "notes": data.notes()}


def _numbers(data: Panel, roles: dict[str, str], draw: Resampler, ties: Ties) -> dict[str, Any]:
    """Every number with both its intervals, what could have been seen, the verdict and warnings."""
    credits = {role: credit(data.delta[name], ties) for role, name in roles.items()}
    accuracy = {role: draw.mean(x) for role, x in credits.items()}
    pgr = recovered(credits["weak"], credits["student"], credits["ceiling"], draw)
    nested = {
        "accuracy": accuracy,
        "agreement": agreement(credits["weak"], credits["student"], draw),
        "inheritance": inheritance(credits["weak"], credits["student"], draw),
    }
    unlike = disagreements({f"the accuracy of {roles[role]}": stat for role, stat in accuracy.items()})
    return {
        **_read(pgr, nested, lambda stat: number(stat.value)),
        "pgr_raw": number(pgr.stat.value),
        "pgr_fieller": None if pgr.fieller is None else list(pgr.fieller),
        **{name: _read(pgr, nested, read) for name, read in READINGS.items()},
        "sensitivity": {
            "difference_80": number(pgr.lead.smallest_found),
            "pgr_80": None if pgr.note else number(pgr.stat.smallest_found),
        },
        "verdict": verdict(pgr),
        "warnings": [*data.warnings, *warnings(pgr), *unlike],
    }


def _read(pgr: Recovered, nested: dict[str, dict[str, Stat]], read: Callable[[Stat], Any]) -> dict[str, Any]:
    """One reading of every number, nested as the numbers are."""
    return {
        **{name: {key: read(stat) for key, stat in stats.items()} for name, stats in nested.items()},
        "gap": read(pgr.gap),
        "difference": read(pgr.lead),
        "pgr": None if pgr.note else read(pgr.stat),
    }


def warnings(pgr: Recovered) -> list[str]:
    """Why a PGR is missing or weak."""
    if pgr.note:
        return [pgr.note]
    found = []
    if pgr.gap.value < SMALL_GAP:
        found.append(f"The gap is only {pgr.gap.value:.3f}: a PGR on less than {SMALL_GAP} is mostly noise.")
    if pgr.fieller is None:
        found.append("Fieller's set for the PGR is unbounded: the gap is too close to 0 for an interval to be trusted.")
    return found


def verdict(pgr: Recovered) -> str:
    """One sentence on the gap recovered; the interval over seeds leads, because another training draws another seed."""
    if pgr.note:
        return pgr.note
    if not pgr.stat.defined:
        return "Not resolved: the PGR has no interval."
    numbers = f"PGR {reading(pgr.stat, 2)}"
    over, here = side(pgr.stat.interval()), side(pgr.stat.in_seeds())
    words = "better" if (over or here) > 0 else "worse"
    if over:
        return f"The student is {words} than its supervisor: {numbers}."
    seen = f"A true lead of {pgr.lead.smallest_found:.3f} in accuracy would have been found (80 %)."
    if here:
        return f"Not resolved over seeds: {words} than its supervisor in these, others may differ: {numbers}. {seen}"
    return f"Not resolved: the student is not distinguishable from its supervisor: {numbers}. {seen}"
