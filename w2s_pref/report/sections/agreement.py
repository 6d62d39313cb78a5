"""Agreement of student and supervisor, and what became of the supervisor's errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from w2s_pref.report.draw.blocks import Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.plot import Range, estimate_cell
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results, Setting

COLUMNS: Final[Sequence[tuple[str, Callable[[Setting], Estimate]]]] = (
    ("Agreement", lambda setting: setting.agreement.overall),
    ("… supervisor right", lambda setting: setting.agreement.supervisor_right),
    ("… supervisor wrong", lambda setting: setting.agreement.supervisor_wrong),
    ("Errors inherited", lambda setting: setting.inheritance.inherited),
    ("Errors corrected", lambda setting: setting.inheritance.corrected),
    ("New errors", lambda setting: setting.inheritance.new_errors),
)


def section(results: Results) -> Section | None:
    """One table, one row a student."""
    settings = [setting for arm in results.arms for setting in arm.settings]
    if not settings:
        return None
    scales = [spread(get(setting) for setting in settings) for _, get in COLUMNS]
    groups = [
        TableGroup(plain(arm.name), [_row(arm.name, setting, scales) for setting in arm.settings])
        for arm in results.arms
    ]
    table = Table(
        "Agreement with the supervisor on the target test set, and its errors: repeated, corrected, and new ones.",
        ("Conflict", *(title for title, _ in COLUMNS)),
        groups,
        Guide(
            "Agreement where the supervisor is wrong is imitation of its errors; "
            "new errors are items the supervisor had right.",
            "High agreement where the supervisor is right, low where it is wrong; more errors corrected than made.",
        ),
        stack=True,
        subhead=("dots from … to", *(ends(scale, 3) for scale in scales)),
    )
    return Section("agreement", "Agreement and inherited errors", [table], "Agreement")


def _row(arm: str, setting: Setting, scales: Sequence[Range | None]) -> list[Cell]:
    cells: list[Cell] = [plain(setting.conflict)]
    for (title, get), scale in zip(COLUMNS, scales, strict=True):
        cells.append(estimate_cell(get(setting), 3, scale=scale, name=f"{title}, {arm}, {setting.conflict}"))
    return cells
