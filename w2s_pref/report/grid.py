"""Terminal tables: foreign text kept harmless, numbers never broken over lines, reasons as footnotes."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from w2s_pref.report.format import NO_INTERVAL, UNDEFINED, interval, number, one_line
from w2s_pref.results import Estimate

#: Least width of the first column (with its indent) and of columns of words, before numbers are broken instead.
LEAST: Final = 12
LEAST_WORDS: Final = 14


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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, table, footnotes."""
        yield text(self.title, "bold underline")
        yield self._table(narrow=self._width() > options.max_width)
        yield from self.notes.lines()
        yield Text("")

    def _width(self) -> int:
        """Columns needed when no number is broken over two lines; columns of words count with their least width."""
        widths = [0] * len(self.head)
        for place, title in enumerate(self.head):
            cells = [row[place] for row in self.rows if not isinstance(row, Text) and place < len(row)]
            longest = max((cell.cell_len for cell in cells), default=0)
            least = LEAST if place == 0 else LEAST_WORDS
            wraps = place == 0 or title in self.words
            widths[place] = min(longest, least) if wraps else max(longest, cell_len(title))
        return sum(widths) + 3 * (len(self.head) - 1)

    def _table(self, narrow: bool) -> Table:
        """The table; ``narrow`` puts intervals and marks under their numbers."""
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
        grouped = any(isinstance(row, Text) for row in self.rows)
        for place, title in enumerate(self.head):
            wraps = place == 0 or title in self.words
            table.add_column(Text(title), justify="left" if wraps else "right", no_wrap=not wraps and not narrow)
        for row in self.rows:
            if isinstance(row, Text):
                table.add_row(row)
                continue
            cells = [_under(cell) if narrow else cell for cell in row[1:]]
            table.add_row(Padding(row[0], (0, 0, 0, 2)) if grouped else row[0], *cells)
        for column in table.columns:
            column.overflow = "fold"
        return table


def _under(cell: Text) -> Text:
    """``0.812 [0.790, 0.834]`` over two lines."""
    place = cell.plain.find(" [")
    return cell if place < 0 else Text("\n").join((cell[:place], cell[place + 1 :]))
