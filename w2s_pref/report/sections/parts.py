"""Students by a column of the test pairs: accuracies and the gap recovered, in and out of distribution."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.results.parts import PartStudent, TestPart
from w2s_pref.results.preferences import Results

PartRow = tuple[TestPart, PartStudent]

COLUMNS: Final[tuple[Column[PartRow], ...]] = (
    Column("Arm", lambda row: row[1].arm, words=True),
    Column("Conflict", lambda row: row[1].conflict, words=True),
    Column("Weak", lambda row: row[1].weak, axis="accuracy", bounds=False),
    Column("Student", lambda row: row[1].accuracy, axis="accuracy"),
    Column("Ceiling", lambda row: row[1].ceiling, axis="accuracy", bounds=False),
    Column("PGR", lambda row: row[1].pgr, axis="pgr"),
)
GUIDE: Final = Guide(
    "Accuracies of the weak model, the student and the strong ceiling on some of the test pairs, and the gap recovered "
    "there. The ceiling learned the same ground truth as the weak model: out of distribution it is no upper bound, "
    "because the student has met such pairs, with weak labels.",
    "Fewer pairs make wider intervals: two parts differ where their intervals are apart.",
)


def section(results: Results) -> Section | None:
    """A group a part of the test pairs, a row a student; none where the recipe names no column."""
    if not results.parts:
        return None
    column = results.parts[0].column
    groups = [(_title(part), [(part, student) for student in part.students]) for part in results.parts]
    title, caption = f"By {column}", f"{_shift(results.parts)} By the pairs' column {column}."
    return Section("parts", title, [Table(caption, COLUMNS, groups, GUIDE, title=title)], title)


def _title(part: TestPart) -> str:
    held = f"{part.items:,} test pairs; gt has {part.gt:,}, w2s {part.w2s:,}"
    return f"{part.part} ({held})" if part.values == [part.part] else f"{part.part}: {', '.join(part.values)} ({held})"


def _shift(parts: list[TestPart]) -> str:
    """The shift in words."""
    own = [part for part in parts if part.values == [part.part]]
    taught = ", ".join(part.part for part in own if part.gt) or "none of these"
    labelled = ", ".join(part.part for part in own if part.w2s) or "none of these"
    if taught == labelled:
        return "No shift: ground truth and weakly labelled pairs have the same values."
    return f"Ground truth: {taught}; weakly labelled pairs: {labelled}."
