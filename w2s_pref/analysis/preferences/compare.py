"""Arms against each other: paired differences on the same items, seeds and resamples."""

from __future__ import annotations

from typing import Literal

from w2s_pref import results
from w2s_pref.analysis.preferences.arms import Student
from w2s_pref.analysis.scores.design import ArmDesign, Design
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.analysis.stats.estimates import estimate

Metric = Literal["accuracy", "conflict_accuracy", "pgr", "deception_score", "lift"]
METRICS: tuple[Metric, ...] = ("accuracy", "conflict_accuracy", "pgr", "deception_score", "lift")
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
            for metric in METRICS:
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
    if difference.interval is None or difference.interval[0] <= 0 <= difference.interval[1]:
        return "not resolved"
    return f"{name} {_WORDS[metric][0 if difference.interval[0] > 0 else 1]}"
