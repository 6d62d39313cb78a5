"""Length-matched results: what is left of every student's numbers where the length of an answer says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from w2s_pref.report.draw.blocks import Block, Column, Guide, Prose, Section, Table, Value, Where
from w2s_pref.report.draw.format import count, estimate, number
from w2s_pref.report.students import REFERENCE_WORDS, by_arm, has_policies
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.parts import LengthMatched, LengthRow, StudentNumbers
from w2s_pref.results.preferences import Results

Read = Callable[[StudentNumbers], Estimate | None]
GUIDE: Final = Guide(
    "The upper number is that of the matched items, with its interval; beneath stands the same on all items. Matched: "
    "among items of like length ratio the true answer is as often the longer as the shorter.",
    "Both numbers agree. Where accuracy falls on the matched items, the student had judged by length.",
)


def _matched(head: str, digits: int, read: Read) -> Column[LengthRow]:
    """The number of the matched items; on the page that of all items stands beneath."""

    def cell(row: LengthRow) -> Value:
        matched, raw = read(row.matched), read(row.raw)
        before = "n/a" if raw is None else number(raw.estimate, digits)
        return Value(matched, [] if matched is None else [f"all items {before}"], "n/a")

    where: Where = "both" if head in ("Accuracy", "Lift") else "page"
    return Column(head, cell, digits, short=f"{head}, matched", where=where)


def _tax(row: LengthRow) -> Value:
    if row.matched.tax is None or row.raw.tax is None:
        return Value("n/a", tone="missing")
    return Value(count(row.matched.tax), [f"all items {count(row.raw.tax)}"], tone="number")


COLUMNS: Final[tuple[Column[LengthRow], ...]] = (
    Column("Conflict", lambda row: row.conflict),
    Column("Accuracy, all", lambda row: row.raw.accuracy, where="terminal"),
    _matched("Accuracy", 3, lambda numbers: numbers.accuracy),
    _matched("PGR", 2, lambda numbers: numbers.pgr),
    _matched("Deception score", 3, lambda numbers: numbers.deception_score),
    _matched("Null share", 3, lambda numbers: numbers.null_share),
    Column("Lift, all", lambda row: Value(row.raw.lift_smooth, absent="n/a"), 2, where="terminal"),
    _matched("Lift", 2, lambda numbers: numbers.lift_smooth),
    _matched("Binned lift", 2, lambda numbers: numbers.lift),
    Column("Tax", _tax, where="page"),
)


def section(results: Results) -> Section | None:
    """How many items are left, then the table. Only for studies with policies."""
    found = results.length_matched
    if found is None or not has_policies(results):
        return None
    blocks: list[Block] = []
    if found.rows:
        blocks = [Prose([_about(found)], where="page"), _table(found)]
    elif found.note:
        blocks = [Prose([found.note], where="page")]
    return Section("length", "Where length says nothing", blocks, "Length-matched") if blocks else None


def _about(found: LengthMatched) -> str:
    return (
        f"{count(found.kept)} of {count(found.items)} test items are kept. To prefer the shorter answer is right on "
        f"{estimate(found.shorter_raw)} of all items and on {number(found.shorter_matched.estimate)} of the kept."
    )


def _table(found: LengthMatched) -> Table[LengthRow]:
    before, after = number(found.shorter_raw.estimate), number(found.shorter_matched.estimate)
    kept = f"{count(found.kept)} of {count(found.items)}"
    return Table(
        f"Length-matched items beside all items; tax against the {REFERENCE_WORDS[found.reference]}.",
        COLUMNS,
        by_arm(found.rows),
        GUIDE,
        stack=True,
        title=f"Length-matched items, {kept}; the shorter answer is right in {before}, matched {after}",
    )
