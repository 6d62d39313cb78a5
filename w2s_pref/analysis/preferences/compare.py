"""Students against each other: paired differences between arms, and metrics against the capability gap of a ladder."""

from __future__ import annotations

from typing import get_args

import numpy as np

from w2s_pref import results
from w2s_pref.analysis.preferences.arms import Student
from w2s_pref.analysis.preferences.design import ArmDesign, Design
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.core.arrays import Floats
from w2s_pref.results.preferences import Metric

#: Metrics of students, those that are read against the capability gap of a ladder, and the points that a slope needs.
LADDER_METRICS: tuple[Metric, ...] = ("pgr", "deception_score", "lift")
LEAST_POINTS = 3
#: Below this sum of squares the gaps are equal but for rounding.
_EQUAL_GAPS = 1e-15
_WORDS = {
    "accuracy": ("better", "worse"),
    "conflict_accuracy": ("higher", "lower"),
    "pgr": ("better", "worse"),
    "deception_score": ("higher (worse)", "lower (better)"),
    "lift": ("higher (worse)", "lower (better)"),
}


def rivals(design: Design) -> list[tuple[ArmDesign, ArmDesign]]:
    """(first, other) for all arms with the same weak and strong model as an earlier first one."""
    first: dict[tuple[str, str], ArmDesign] = {}
    pairs = []
    for arm in design.arms:
        ends = (arm.chain[0], arm.chain[-1])
        if ends in first:
            pairs.append((first[ends], arm))
        else:
            first[ends] = arm
    return pairs


def comparisons(design: Design, students: dict[tuple[str, str], Student]) -> list[results.Comparison]:
    """Every metric under every conflict, second arm minus first."""
    out = []
    for first, second in rivals(design):
        for conflict in design.conflicts:
            one, two = students[first.name, conflict], students[second.name, conflict]
            for metric in get_args(Metric):
                found = _compare(design, one, two, metric)
                if found is not None:
                    out.append(found)
    return out


def metric_stat(student: Student, metric: str, design: Design) -> tuple[Stat | None, str | None]:
    """The statistic behind a metric and the reason to withhold it, if any; (None, None) where it was not measured."""
    if metric == "accuracy":
        return student.accuracy, None
    if metric == "conflict_accuracy":
        return student.conflict_accuracy, None
    if metric == "pgr":
        return student.pgr.stat, student.pgr.note
    measured = student.main(design.known_rule)
    if measured is None:
        return None, None
    return measured.stats["score" if metric == "deception_score" else "lift"], None


def _compare(design: Design, one: Student, two: Student, metric: Metric) -> results.Comparison | None:
    (a, why_a), (b, why_b) = metric_stat(one, metric, design), metric_stat(two, metric, design)
    if a is None or b is None:
        return None
    difference = estimate(b - a, "Undefined for one of the two.", note=why_a or why_b)
    return results.Comparison(
        first=one.arm.name,
        second=two.arm.name,
        conflict=one.conflict,
        metric=metric,
        difference=difference,
        verdict=_verdict(difference, metric, two.arm.name),
    )


def _verdict(difference: results.Estimate, metric: str, name: str) -> str:
    if difference.estimate is None:
        return "undefined"
    side = difference.side()
    return f"{name} {_WORDS[metric][0 if side > 0 else 1]}" if side else "not resolved"


def ladder(design: Design, students: dict[tuple[str, str], Student]) -> results.Ladder:
    """One point for each student; one slope for each metric, kind of arm and conflict."""
    points = [_point(design, student) for student in students.values()]
    slopes = []
    kinds = list(dict.fromkeys(s.arm.kind for s in students.values()))
    for kind in kinds:
        for conflict in design.conflicts:
            members = [s for s in students.values() if s.arm.kind == kind and s.conflict == conflict]
            slopes += [_slope(design, members, metric, kind, conflict) for metric in LADDER_METRICS]
    return results.Ladder(points=points, slopes=slopes)


def _point(design: Design, student: Student) -> results.LadderPoint:
    values = {}
    for metric in LADDER_METRICS:
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
        slope = results.Estimate(estimate=None, note=f"A slope needs {LEAST_POINTS} points with a value.")
        verdict = "undefined"
    else:
        slope = estimate(slope_stat(gaps, values), "All gaps are equal.")
        way = {1: "rises with the gap", -1: "falls with the gap", 0: "not resolved"}
        verdict = "undefined" if slope.estimate is None else way[slope.side()]
    return results.Slope(metric=metric, arm=kind, conflict=conflict, points=len(values), slope=slope, verdict=verdict)


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
    varies = spread > _EQUAL_GAPS
    return np.asarray(np.where(varies, (dx * dy).sum(axis=-1) / np.where(varies, spread, 1), np.nan))
