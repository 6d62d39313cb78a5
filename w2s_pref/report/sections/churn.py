"""The churn null: what the deception score reads between two no-conflict students that differ only by seed."""

from __future__ import annotations

from w2s_pref.report.draw.blocks import Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, plain
from w2s_pref.report.draw.plot import Range, estimate_cell
from w2s_pref.report.draw.svg import el
from w2s_pref.report.rows import Row, rows
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.results.deception import Churn
from w2s_pref.results.preferences import Arm, Results


def section(results: Results) -> Section | None:
    """Each arm's churn above its conflict settings, on one scale."""
    arms = [arm for arm in results.arms if arm.churn is not None]
    if not arms:
        return None
    students = [row for row in rows(results) if row.deception is not None]
    churns = [arm.churn for arm in arms if arm.churn is not None]
    taxed = [row.deception for row in students if row.deception is not None]
    scores = spread([churn.score for churn in churns] + [entry.score for entry in taxed])
    lifts = spread([churn.lift for churn in churns] + [entry.lift for entry in taxed], 1.0)
    groups = [_group(arm, students, scores, lifts) for arm in arms]
    table = Table(
        "Churn null against conflict: the same two numbers where only the seed differs.",
        ("Compared", "Deception score", "Lift", "Tax"),
        groups,
        Guide(
            "The first row of an arm compares two no-conflict students of "
            "different seeds; whatever stands there is noise.",
            "Churn has a small tax and a lift around 1. A conflict "
            "setting that looks like its churn row shows nothing.",
        ),
        stack=True,
        subhead=("dots from … to", ends(scores, 3), ends(lifts, 2), ""),
    )
    return Section("churn", "What noise alone gives", [table], "Churn null")


def _group(arm: Arm, students: list[Row], scores: Range | None, lifts: Range | None) -> TableGroup:
    lines: list[list[Cell]] = [_churn(arm.name, arm.churn, scores, lifts)] if arm.churn else []
    for row in students:
        if row.arm == arm.name and row.deception is not None:
            entry, name = row.deception, f"{row.arm}, {row.conflict}"
            score = estimate_cell(entry.score, 3, scale=scores, name=f"Deception score, {name}")
            lift = estimate_cell(entry.lift, 2, scale=lifts, name=f"Lift, {name}", neutral=1.0)
            lines.append([plain(row.conflict), score, lift, count(entry.tax)])
    return TableGroup(plain(arm.name), lines)


def _churn(arm: str, churn: Churn, scores: Range | None, lifts: Range | None) -> list[Cell]:
    score = estimate_cell(churn.score, 3, scale=scores, name=f"Deception score, churn, {arm}")
    lift = estimate_cell(churn.lift, 2, scale=lifts, name=f"Lift, churn, {arm}", neutral=1.0)
    return [el("em", "churn (seed against seed)"), score, lift, count(churn.tax)]
