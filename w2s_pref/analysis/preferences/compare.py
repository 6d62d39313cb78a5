"""Students against each other: paired differences between arms, and metrics against the capability gap of a ladder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from w2s_pref import results
from w2s_pref.analysis.preferences.arms import Student
from w2s_pref.analysis.preferences.design import ArmDesign, Design
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.families import LEVEL, holm
from w2s_pref.analysis.stats.stat import Stat, combined
from w2s_pref.core.arrays import Floats
from w2s_pref.results.preferences import Metric

#: Metrics of students, those that are read against the capability gap of a ladder, and the points that a slope needs.
LADDER_METRICS: tuple[Metric, ...] = ("pgr", "deception_score", "lift_smooth")
LEAST_POINTS = 3
#: Below this sum of squares the gaps are equal but for rounding.
_EQUAL_GAPS = 1e-15
#: What arms are compared by.
COMPARED: tuple[Metric, ...] = ("accuracy", "conflict_accuracy", "pgr", "deception_score", "lift_smooth")
#: Those that read no weak model: all that arms with different supervisors at the weak end have in common.
UNSUPERVISED: tuple[Metric, ...] = ("accuracy", "conflict_accuracy")
_WORDS = {
    "accuracy": ("better", "worse"),
    "conflict_accuracy": ("higher", "lower"),
    "pgr": ("better", "worse"),
    "deception_score": ("higher (worse)", "lower (better)"),
    "lift_smooth": ("higher (worse)", "lower (better)"),
}


def rivals(design: Design) -> list[tuple[ArmDesign, ArmDesign]]:
    """(first, other) for all arms with the same ends as an earlier first one."""
    first: dict[tuple[str, str], ArmDesign] = {}
    pairs = []
    for arm in design.arms:
        if arm.ends in first:
            pairs.append((first[arm.ends], arm))
        else:
            first[arm.ends] = arm
    return pairs


def comparisons(design: Design, students: dict[tuple[str, str], Student]) -> list[results.Comparison]:
    """Every metric under every conflict, second arm minus first; resolved after Holm's correction over all of them."""
    found: list[tuple[results.Comparison, Stat | None]] = []
    for first, second in rivals(design):
        for conflict in design.conflicts:
            one, two = students[first.name, conflict], students[second.name, conflict]
            for metric in COMPARED if first.chain[0] == second.chain[0] else UNSUPERVISED:
                compared = _compare(design, one, two, metric)
                if compared is not None:
                    found.append(compared)
    out = [entry for entry, _ in found]
    for entry, adjusted in zip(out, holm([entry.p for entry in out]), strict=True):
        entry.p_adjusted = adjusted
        entry.verdict = _verdict(entry)
    asked = sum(entry.p_adjusted is not None for entry in out)
    resolved = sum(entry.p_adjusted is not None and entry.p_adjusted <= LEVEL for entry in out)
    for entry, stat in found:
        own = entry.p_adjusted is not None and entry.p_adjusted <= LEVEL
        entry.smallest_found = None if stat is None else least_found(stat, asked - resolved + own)
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
    return measured.measured.stats["score" if metric == "deception_score" else metric], None


def least_found(stat: Stat, members: int) -> float | None:
    """Smallest true difference that 80 % of such studies find where Holm's correction asks for p <= LEVEL / members.

    None where nothing varies, which does not say that anything would be found, and where no difference that there can
    be is so large.
    """
    wide = replace(stat, form=stat.form._replace(low=-np.inf, high=np.inf))  # not cut where differences end
    usual, strict = (wide.interval(1 - 2 * level) for level in (LEVEL, LEVEL / max(1, members)))
    if usual is None or strict is None or not stat.smallest_found > 0:
        return None
    found = stat.smallest_found + usual[0] - strict[0]
    return number(found) if found <= stat.form.high else None


def _compare(
    design: Design, one: Student, two: Student, metric: Metric
) -> tuple[results.Comparison, Stat | None] | None:
    """The entry, with what Holm's correction decides still open, and its statistic, None where it is withheld."""
    (a, why_a), (b, why_b) = metric_stat(one, metric, design), metric_stat(two, metric, design)
    if a is None or b is None:
        return None
    stat, why = b - a, why_a or why_b
    entry = results.Comparison(
        first=one.arm.name,
        second=two.arm.name,
        conflict=one.conflict,
        metric=metric,
        difference=estimate(stat, "Undefined for one of the two.", note=why),
        p=None if why else one_sided(stat),
        verdict="undefined",
    )
    return entry, None if why else stat


def one_sided(stat: Stat) -> float | None:
    """The p of the side on which the statistic lies."""
    p = stat.p_above(0.0)
    return None if p is None else min(p, 1 - p)


def _verdict(entry: results.Comparison) -> str:
    if entry.difference.estimate is None or entry.p_adjusted is None:
        return "undefined"
    if entry.p_adjusted > LEVEL:
        return "not resolved"
    return f"{entry.second} {_WORDS[entry.metric][0 if entry.difference.estimate > 0 else 1]}"


def ladder(design: Design, students: dict[tuple[str, str], Student]) -> results.Ladder:
    """One point for each student; one slope for each metric, kind of arm and conflict."""
    points = [_point(design, student) for student in students.values()]
    slopes = []
    for kind in dict.fromkeys(_kind(design, s.arm) for s in students.values()):
        for conflict in design.conflicts:
            members = [s for s in students.values() if _kind(design, s.arm) == kind and s.conflict == conflict]
            slopes += [_slope(design, members, metric, kind, conflict) for metric in LADDER_METRICS]
    for slope, adjusted in zip(slopes, holm([slope.p for slope in slopes]), strict=True):
        slope.p_adjusted = adjusted
        if adjusted is not None and slope.slope.estimate is not None:
            way = "rises" if slope.slope.estimate > 0 else "falls"
            slope.verdict = f"{way} with the gap" if adjusted <= LEVEL else "not resolved"
    return results.Ladder(points=points, slopes=slopes)


def _kind(design: Design, arm: ArmDesign) -> str:
    """Arms on one line. Each method has gaps of its own: across methods a slope would tell them apart, not sizes."""
    return arm.kind if len({each.method for each in design.arms}) == 1 else f"{arm.kind}@{arm.method}"


def _point(design: Design, student: Student) -> results.LadderPoint:
    values = {}
    for metric in (*LADDER_METRICS, "null_share"):
        stat, why = metric_stat(student, metric, design)
        values[metric] = None if stat is None or why else number(stat.value)
    return results.LadderPoint(
        weak=student.arm.chain[0],
        strong=student.arm.chain[-1],
        arm=_kind(design, student.arm),
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
        slope, p = results.Estimate(estimate=None, note=f"A slope needs {LEAST_POINTS} points with a value."), None
    else:
        stat = slope_stat(gaps, values)
        slope, p = estimate(stat, "All gaps are equal."), one_sided(stat)
    return results.Slope(
        metric=metric, arm=kind, conflict=conflict, points=len(values), slope=slope, p=p, verdict="undefined"
    )


def slope_stat(gaps: list[Stat], values: list[Stat]) -> Stat:
    """The slope of ``values`` on ``gaps`` resample by resample; points undefined in a resample are left out there."""

    def slope(*parts: Floats) -> Floats:
        x, y = parts[: len(gaps)], parts[len(gaps) :]
        return least_squares(np.stack(x, axis=-1), np.stack(y, axis=-1))

    return combined([*gaps, *values], slope)


def least_squares(x: Floats, y: Floats) -> Floats:
    """Slope of y on x over the last axis, ignoring undefined points; NaN with fewer than two distinct x."""
    good = np.isfinite(x) & np.isfinite(y)
    count = np.maximum(good.sum(axis=-1, keepdims=True), 1)
    dx = np.where(good, x - np.where(good, x, 0).sum(axis=-1, keepdims=True) / count, 0.0)
    dy = np.where(good, y - np.where(good, y, 0).sum(axis=-1, keepdims=True) / count, 0.0)
    spread = (dx * dx).sum(axis=-1)
    varies = spread > _EQUAL_GAPS
    return np.asarray(np.where(varies, (dx * dy).sum(axis=-1) / np.where(varies, spread, 1), np.nan))
