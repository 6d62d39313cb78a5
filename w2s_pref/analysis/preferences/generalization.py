"""Weak-to-strong generalization (Burns et al., arXiv 2312.09390): accuracy, gap recovered, agreement, inheritance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.panel import resampled
from w2s_pref.analysis.stats.basics import Z95, Ties, credit, divide, number
from w2s_pref.analysis.stats.bootstrap import DIFFERENCE, Resampler, Stat
from w2s_pref.core.arrays import Floats

#: Below a gap of this many points of accuracy a PGR is usually noise (a warning, not a rule).
SMALL_GAP = 0.03


@dataclass(frozen=True)
class Recovered:
    """Performance gap recovered.

    Attributes:
        stat: PGR with its bootstrap, NaN only where the gap is 0.
        gap: ceiling accuracy minus weak accuracy.
        fieller: Fieller's 95 % set for the ratio where it is an interval, else None.
        note: why there is no PGR, or None where there is one.
    """

    stat: Stat
    gap: Stat
    fieller: tuple[float, float] | None
    note: str | None


def recovered(weak: Floats, student: Floats, ceiling: Floats, draw: Resampler) -> Recovered:
    """PGR = (acc[student] - acc[weak]) / (acc[ceiling] - acc[weak]), from per-row credits of shape (K, N).

    There is no PGR where the ceiling is not better than the weak model, or where the 95 % interval of the gap holds 0.
    """
    ones = np.ones_like(weak)
    sums = draw.sums(np.stack([student - weak, ceiling - weak, ones], axis=-1))
    gap = sums.stat(lambda c: divide(c[..., 1], c[..., 2]), DIFFERENCE)
    stat = sums.stat(lambda c: divide(c[..., 0], c[..., 1]))
    interval = gap.interval()
    note = None
    if gap.value <= 0:
        note = f"No gap: the ceiling is not more accurate than the weak model ({gap.value:+.3f})."
    elif interval is None or interval[0] <= 0:
        low, high = interval or (float("nan"), float("nan"))
        note = f"The gap of {gap.value:.3f} is within noise (95 % {low:.3f} to {high:.3f}): no PGR."
    return Recovered(stat, gap, fieller(student - weak, ceiling - weak, draw), note)


def fieller(top: Floats, bottom: Floats, draw: Resampler) -> tuple[float, float] | None:
    """Fieller's 95 % interval for sum(top) / sum(bottom), clustered by group (seeds belong to the group).

    Returns:
        The interval, or None where the set is unbounded: the denominator is not distinguishable from 0.
    """
    tables = [np.bincount(draw.groups, weights=x.sum(axis=0), minlength=draw.n_groups) for x in (top, bottom)]
    if draw.n_groups < 2:
        return None
    covariance = np.cov(np.stack(tables)) * draw.n_groups
    t, b = (float(x.sum()) for x in tables)
    vtt, vbb, vtb = covariance[0, 0], covariance[1, 1], covariance[0, 1]
    square = b * b - Z95**2 * vbb
    middle = t * b - Z95**2 * vtb
    inside = middle**2 - square * (t * t - Z95**2 * vtt)
    if square <= 0 or inside < 0:
        return None
    root = float(np.sqrt(inside))
    return float((middle - root) / square), float((middle + root) / square)


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
        only where the gap is exactly 0.

    Raises:
        W2SError: bad table or unknown model.
    """
    data, draw = resampled(scores, (weak, student, ceiling), objective, resamples, seed)
    roles = {"weak": weak, "student": student, "ceiling": ceiling}
    credits = {role: credit(data.delta[name], ties) for role, name in roles.items()}
    accuracy = {role: draw.mean(x) for role, x in credits.items()}
    pgr = recovered(credits["weak"], credits["student"], credits["ceiling"], draw)
    same = agreement(credits["weak"], credits["student"], draw)
    errors = inheritance(credits["weak"], credits["student"], draw)
    return {
        "models": roles,
        **data.counts(),
        "resamples": resamples,
        "accuracy": {k: number(v.value) for k, v in accuracy.items()},
        "gap": number(pgr.gap.value),
        "pgr": None if pgr.note else number(pgr.stat.value),
        "pgr_raw": number(pgr.stat.value),
        "pgr_fieller": None if pgr.fieller is None else list(pgr.fieller),
        "agreement": {k: number(v.value) for k, v in same.items()},
        "inheritance": {k: number(v.value) for k, v in errors.items()},
        "intervals": {
            "pgr": None if pgr.note else pgr.stat.pair(),
            "gap": pgr.gap.pair(),
            "accuracy": {k: v.pair() for k, v in accuracy.items()},
            "agreement": {k: v.pair() for k, v in same.items()},
            "inheritance": {k: v.pair() for k, v in errors.items()},
        },
        "verdict": verdict(pgr),
        "warnings": data.warnings + warnings(pgr),
        "notes": data.notes(),
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
    """One sentence on the gap recovered."""
    if pgr.note:
        return pgr.note
    interval = pgr.stat.interval()
    if interval is None:
        return "Not resolved: the PGR has no interval."
    numbers = f"PGR {pgr.stat.value:.2f}, 95 % {interval[0]:.2f} to {interval[1]:.2f}"
    if interval[0] > 0:
        return f"The student is better than its supervisor ({numbers})."
    if interval[1] < 0:
        return f"The student is worse than its supervisor ({numbers})."
    return f"Not resolved: the student is not distinguishable from its supervisor ({numbers})."
