"""The churn null: what the deception score reads between two no-conflict students that differ only by seed."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table, Value
from w2s_pref.report.draw.format import count
from w2s_pref.report.students import students
from w2s_pref.results.results import Arm, Churn, Deception, Results

Compared = tuple[str, Churn | Deception]
COLUMNS: Final[tuple[Column[Compared], ...]] = (
    Column("Compared", lambda row: row[0] if isinstance(row[1], Deception) else Value(row[0], tone="emphasis")),
    Column("Deception score", lambda row: row[1].score, axis="score"),
    Column("Lift", lambda row: row[1].lift, 2, axis="lift", neutral=1.0),
    Column("Tax", lambda row: count(row[1].tax)),
)
GUIDE: Final = Guide(
    "The first row of an arm compares two no-conflict students of different seeds; whatever stands there is noise.",
    "Churn has a small tax and a lift around 1. A conflict setting that looks like its churn row shows nothing.",
)


def section(results: Results) -> Section | None:
    """Each arm's churn above its conflict settings, on one scale."""
    groups = [(arm.name, _rows(results, arm, arm.churn)) for arm in results.arms if arm.churn is not None]
    if not groups:
        return None
    caption = "Churn null against conflict: the same two numbers where only the seed differs."
    table = Table(caption, COLUMNS, groups, GUIDE, stack=True)
    return Section("churn", "What noise alone gives", [table], "Churn null")


def _rows(results: Results, arm: Arm, churn: Churn) -> list[Compared]:
    mine = [(one.conflict, one.deception) for one in students(results) if one.arm == arm.name]
    return [("churn (seed against seed)", churn), *((name, entry) for name, entry in mine if entry is not None)]
