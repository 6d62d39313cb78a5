"""A ladder of model sizes: metrics against the capability gap, and the slope with its interval."""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.preferences.arms import Student
from w2s_pref.analysis.preferences.compare import metric_stat
from w2s_pref.analysis.scores.design import Design
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.core.arrays import Floats
from w2s_pref.results import results

METRICS = ("pgr", "deception_score", "lift")
LEAST_POINTS = 3


def ladder(design: Design, students: dict[tuple[str, str], Student]) -> results.Ladder:
    """One point for each student; one slope for each metric, kind of arm and conflict."""
    points = [_point(design, student) for student in students.values()]
    slopes = []
    kinds = list(dict.fromkeys(s.arm.kind for s in students.values()))
    for kind in kinds:
        for conflict in design.conflicts:
            members = [s for s in students.values() if s.arm.kind == kind and s.conflict == conflict]
            slopes += [_slope(design, members, metric, kind, conflict) for metric in METRICS]
    return results.Ladder(points=points, slopes=slopes)


def _point(design: Design, student: Student) -> results.LadderPoint:
    values = {}
    for metric in METRICS:
        stat, why = metric_stat(student, metric, design)
        values[metric] = None if stat is None or why else number(stat.value)
    return results.LadderPoint(
        weak=student.arm.chain[0],
        strong=student.arm.chain[-1],
        arm=student.arm.kind,
        conflict=student.conflict,
        gap=student.pgr.gap.value,
        **values,
    )


def _slope(design: Design, members: list[Student], metric: str, kind: str, conflict: str) -> results.Slope:
    """Least-squares slope over the points where the metric is defined, from shared resamples."""
    gaps, values = [], []
    for student in members:
        stat, why = metric_stat(student, metric, design)
        if stat is not None and not why and np.isfinite(stat.value):
            gaps.append(student.pgr.gap)
            values.append(stat)
    if len(values) < LEAST_POINTS:
        empty = results.Estimate(estimate=None, note=f"A slope needs {LEAST_POINTS} points with a value.")
        verdict = "undefined"
    else:
        empty = estimate(slope_stat(gaps, values), "All gaps are equal.")
        verdict = _verdict(empty)
    return results.Slope(metric=metric, arm=kind, conflict=conflict, points=len(values), slope=empty, verdict=verdict)


def slope_stat(gaps: list[Stat], values: list[Stat]) -> Stat:
    """The slope of ``values`` on ``gaps`` resample by resample; points undefined in a resample are left out there."""

    def column(name: str) -> Floats:
        stacks = [np.stack([np.asarray(getattr(s, name)) for s in stats], axis=-1) for stats in (gaps, values)]
        return least_squares(*stacks)

    names = ("value", "per_seed", "by_group", "noise")
    whole, *parts = (column(name) for name in names)
    return Stat(float(whole), parts[0], parts[1], parts[2], values[0].draws)


def least_squares(x: Floats, y: Floats) -> Floats:
    """Slope of y on x over the last axis, ignoring undefined points; NaN with fewer than two distinct x."""
    good = np.isfinite(x) & np.isfinite(y)
    count = np.maximum(good.sum(axis=-1, keepdims=True), 1)
    dx = np.where(good, x - np.where(good, x, 0).sum(axis=-1, keepdims=True) / count, 0.0)
    dy = np.where(good, y - np.where(good, y, 0).sum(axis=-1, keepdims=True) / count, 0.0)
    spread = (dx * dx).sum(axis=-1)
    return np.asarray(np.where(spread > 1e-15, (dx * dy).sum(axis=-1) / np.where(spread > 1e-15, spread, 1), np.nan))


def _verdict(slope: results.Estimate) -> str:
    if slope.estimate is None:
        return "undefined"
    if slope.interval is None or slope.interval[0] <= 0 <= slope.interval[1]:
        return "not resolved"
    return "rises with the gap" if slope.interval[0] > 0 else "falls with the gap"
