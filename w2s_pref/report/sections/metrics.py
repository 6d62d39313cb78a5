"""Metrics of the user's own: one table, a row a student."""

from __future__ import annotations

from w2s_pref.report.draw.blocks import Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import estimate, plain
from w2s_pref.report.rows import own_metrics, rows
from w2s_pref.results.results import Results

DIGITS = 3


def section(results: Results) -> Section | None:
    """Arms by conflicts, a column a metric."""
    names = own_metrics(results)
    if not names:
        return None
    groups = []
    for arm in results.arms:
        mine = [row for row in rows(results) if row.arm == arm.name]
        lines: list[list[Cell]] = [
            [plain(row.conflict), *(estimate(row.metrics.get(name), DIGITS) for name in names)] for row in mine
        ]
        groups.append(TableGroup(plain(arm.name), lines))
    about = " ".join(f"{plain(name)}: {plain(said)}" for name, said in names.items() if said)
    guide = Guide("Each number is what the recipe's own function says of a student on the test pairs. " + about,
                  "Intervals are 95 %, over prompts and seeds, as everywhere in this report.")  # fmt: skip
    table = Table("Metrics of this recipe's own.", ("Conflict", *map(plain, names)), groups, guide)
    return Section("own-metrics", "Own metrics", [table])
