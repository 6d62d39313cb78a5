"""Terminal tables: foreign text kept harmless, numbers never broken over lines, reasons as footnotes."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from w2s_pref.report.format import NO_INTERVAL, UNDEFINED, interval, number, one_line
from w2s_pref.results import Estimate


def text(value: str, style: str = "") -> Text:
    """Text as it is: neither markup nor control characters do anything."""
    return Text(one_line(value, 2000), style=style)


@dataclass
class Notes:
    """Footnotes of one table: each reason once, with a letter."""

    reasons: list[str] = field(default_factory=list)

    def mark(self, reason: str) -> str:
        """The mark of a reason, new or known."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"({letter(self.reasons.index(reason))})"

    def lines(self) -> list[Text]:
        """What the marks mean."""
        return [text(f"({letter(index)}) {reason}", "dim") for index, reason in enumerate(self.reasons)]

    def estimate(self, value: Estimate | None, digits: int, absent: str = "not measured", bounds: bool = True) -> Text:
        """``0.812 [0.790, 0.834]``, or a word with the mark of its reason."""
        if value is None:
            return text(absent, "dim")
        if value.estimate is None:
            mark = f" {self.mark(value.note)}" if value.note else ""
            return text(UNDEFINED + mark, "yellow")
        if not bounds:
            return text(number(value.estimate, digits))
        there = interval(value.interval, digits) or self.mark(value.note or NO_INTERVAL)
        shown = text(f"{number(value.estimate, digits)} {there}")
        shown.stylize("bold", 0, len(number(value.estimate, digits)))
        return shown


def letter(index: int) -> str:
    """a, b, … z, aa, ab, …"""
    first, last = divmod(index, 26)
    return (letter(first - 1) if first else "") + string.ascii_lowercase[last]


@dataclass
class Grid:
    """A table under construction. Columns named in ``words`` hold text that may wrap; the others hold numbers."""

    title: str
    head: Sequence[str]
    words: Sequence[str] = ()
    notes: Notes = field(default_factory=Notes)
    rows: list[Sequence[Text] | Text] = field(default_factory=list)

    def group(self, title: str) -> None:
        """A heading inside the table."""
        self.rows.append(text(title, "bold"))

    def add(self, first: str, cells: Iterable[Text]) -> None:
        """A row."""
        self.rows.append([text(first), *cells])

    def render(self) -> RenderableType:
        """Title, table, footnotes."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        grouped = any(isinstance(row, Text) for row in self.rows)
        for place, title in enumerate(self.head):
            if place == 0:
                table.add_column(title, overflow="fold", min_width=8, ratio=None)
            elif title in self.words:
                table.add_column(title, overflow="fold", min_width=12)
            else:
                table.add_column(title, justify="right", no_wrap=True, overflow="fold")
        for row in self.rows:
            if isinstance(row, Text):
                table.add_row(row)
            else:
                first = Padding(row[0], (0, 0, 0, 2)) if grouped else row[0]
                table.add_row(first, *row[1:])
        return Group(text(self.title, "bold underline"), table, *self.notes.lines(), Text(""))
