"""Length-matched results: what is left of every student's numbers where the length of an answer says nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Guide, Prose, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, estimate, number, plain
from w2s_pref.report.draw.plot import estimate_cell
from w2s_pref.report.draw.svg import el
from w2s_pref.report.rows import REFERENCE_WORDS, has_policies
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import LengthMatched, LengthRow, Results, StudentNumbers

COLUMNS: Final[Sequence[tuple[str, int, Callable[[StudentNumbers], Estimate | None]]]] = (
    ("Accuracy", 3, lambda numbers: numbers.accuracy),
    ("PGR", 2, lambda numbers: numbers.pgr),
    ("Deception score", 3, lambda numbers: numbers.deception_score),
    ("Lift", 2, lambda numbers: numbers.lift),
)
GUIDE: Final = Guide(
    "The upper number is that of the matched items, with its interval; beneath stands the same on all items. Matched: "
    "among items of like length ratio the true answer is as often the longer as the shorter.",
    "Both numbers agree. Where accuracy falls on the matched items, the student had judged by length.",
)


def section(results: Results) -> Section | None:
    """How many items are left, then the table. Only for studies with policies."""
    found = results.length_matched
    if found is None or not has_policies(results):
        return None
    if not found.rows:
        blocks: list[Block] = [Prose([plain(found.note)])] if found.note else []
    else:
        blocks = [Prose([_about(found)]), _table(found)]
    return Section("length", "Where length says nothing", blocks, "Length-matched") if blocks else None


def _about(found: LengthMatched) -> str:
    return (
        f"{count(found.kept)} of {count(found.items)} test items are kept. To prefer the shorter answer is right on "
        f"{estimate(found.shorter_raw)} of all items and on {number(found.shorter_matched.estimate)} of the kept."
    )


def _table(found: LengthMatched) -> Table:
    arms = dict.fromkeys(row.arm for row in found.rows)
    groups = [TableGroup(plain(arm), [_row(row) for row in found.rows if row.arm == arm]) for arm in arms]
    return Table(
        f"Length-matched items beside all items; tax against the {REFERENCE_WORDS[found.reference]}.",
        ("Conflict", *(title for title, _, _ in COLUMNS), "Tax"),
        groups,
        GUIDE,
        stack=True,
    )


def _row(row: LengthRow) -> list[Cell]:
    cells: list[Cell] = [plain(row.conflict)]
    for _, digits, get in COLUMNS:
        cells.append(_cell(get(row.matched), get(row.raw), digits))
    if row.matched.tax is None or row.raw.tax is None:
        return [*cells, el("span", "n/a", class_="undef")]
    before = el("span", f"all items {count(row.raw.tax)}", class_="why")
    return [*cells, el("span", count(row.matched.tax), class_="est") + before]


def _cell(matched: Estimate | None, raw: Estimate | None, digits: int) -> Markup:
    if matched is None:
        return el("span", "n/a", class_="undef")
    number_ = "n/a" if raw is None else number(raw.estimate, digits)
    return estimate_cell(matched, digits) + el("span", f"all items {number_}", class_="why")
