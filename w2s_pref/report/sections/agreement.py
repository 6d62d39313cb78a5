"""Agreement of student and supervisor, and what became of the supervisor's errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.results.results import Estimate, Results, Setting

COLUMNS: Final[tuple[tuple[str, Callable[[Setting], Estimate]], ...]] = (
    ("Agreement", lambda student: student.agreement.overall),
    ("… supervisor right", lambda student: student.agreement.supervisor_right),
    ("… supervisor wrong", lambda student: student.agreement.supervisor_wrong),
    ("Errors inherited", lambda student: student.inheritance.inherited),
    ("Errors corrected", lambda student: student.inheritance.corrected),
    ("New errors", lambda student: student.inheritance.new_errors),
)
GUIDE: Final = Guide(
    "Agreement where the supervisor is wrong is imitation of its errors; "
    "new errors are items the supervisor had right.",
    "High agreement where the supervisor is right, low where it is wrong; more errors corrected than made.",
)


def section(results: Results) -> Section | None:
    """One table, one row a student."""
    if not any(arm.settings for arm in results.arms):
        return None
    table = Table(
        "Agreement with the supervisor on the target test set, and its errors: repeated, corrected, and new ones.",
        [Column("Conflict", lambda student: student.conflict), *(Column(h, get, axis=h) for h, get in COLUMNS)],
        [(arm.name, arm.settings) for arm in results.arms],
        GUIDE,
        stack=True,
    )
    return Section("agreement", "Agreement and inherited errors", [table], "Agreement")
