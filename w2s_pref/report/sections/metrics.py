"""Metrics of the user's own: one table, a row a student."""

from __future__ import annotations

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.report.students import Student, own_metrics, students
from w2s_pref.results.preferences import Results


def columns(names: list[str]) -> list[Column[Student]]:
    """A column a metric."""
    return [Column(name, lambda row, name=name: row.metrics.get(name)) for name in names]  # type: ignore[misc]


def section(results: Results) -> Section | None:
    """Arms by conflicts."""
    names = own_metrics(results)
    if not names:
        return None
    groups = [(arm.name, [row for row in students(results) if row.arm == arm.name]) for arm in results.arms]
    about = " ".join(f"{name}: {said}" for name, said in names.items() if said)
    guide = Guide(
        f"Each number is what a function of the recipe's own says of a student on the test pairs. {about}",
        "Intervals have the two readings that the whole report has.",
    )
    heads: list[Column[Student]] = [Column("Conflict", lambda row: row.conflict), *columns(list(names))]
    table = Table("Metrics of this recipe's own.", heads, groups, guide, title="Metrics of this recipe's own")
    return Section("own-metrics", "Own metrics", [table])
