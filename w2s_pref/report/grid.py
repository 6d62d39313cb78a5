"""Terminal tables: foreign text kept harmless, numbers never broken over lines, reasons as footnotes."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

from w2s_pref.report.draw.format import NO_INTERVAL, UNDEFINED, interval, number, one_line, reason
from w2s_pref.results.estimates import Estimate

#: Least width of the first column (with its indent) and of columns of words, before numbers are broken instead.
LEAST: Final = 12
LEAST_WORDS: Final = 14


def text(value: str, style: str = "") -> Text:
    """Text as it is: neither markup nor control characters do anything."""
    indent = len(value) - len(value.lstrip(" "))
    return Text(" " * indent + one_line(value, 2000), style=style)


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
            why = reason(value.note)
            mark = f" {self.mark(why)}" if why else ""
            return text(UNDEFINED + mark, "yellow")
        if not bounds:
            return text(number(value.estimate, digits))
        there = interval(value.interval, digits) or self.mark(reason(value.note) or NO_INTERVAL)
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
    groups: list[tuple[str, list[list[Text]]]] = field(default_factory=lambda: [("", [])])

    def group(self, title: str) -> None:
        """A heading inside the table; it may be wider than the first column."""
        self.groups.append((title, []))

    def add(self, first: str, cells: Iterable[Text]) -> None:
        """A row."""
        title, rows = self.groups[-1]
        rows.append([text(f"  {first}" if title else first), *cells])

    @property
    def rows(self) -> list[list[Text]]:
        """All rows of all groups."""
        return [row for _, rows in self.groups for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, heading, groups, footnotes. Where numbers do not fit beside their intervals, these go beneath."""
        yield text(self.title, "bold underline")
        widths = self._widths(options.max_width, split=False)
        split = widths[0] < min(LEAST, self._longest(0, False))
        if split:
            widths = self._widths(options.max_width, split=True)
        yield self._table([], widths, split)
        for title, rows in self.groups:
            if title:
                yield text(title, "bold")
            if rows:
                yield self._table(rows, widths, split)
        yield from self.notes.lines()
        yield Text("")

    def _wraps(self, place: int) -> bool:
        return place == 0 or self.head[place] in self.words

    def _longest(self, place: int, split: bool) -> int:
        """Width a column asks for."""
        head = self.head[place].split() if split else [self.head[place]]
        there = [row[place] for row in self.rows if place < len(row)]
        cells = [_under(cell) if split else cell for cell in there]
        lines = [line for cell in cells for line in cell.plain.split("\n")]
        return max(cell_len(line) for line in (*head, *lines))

    def _widths(self, most: int, split: bool) -> list[int]:
        """Numbers get what they ask for, the other columns share the rest, the first one last."""
        widths = [self._longest(place, split) for place in range(len(self.head))]
        over = sum(widths) + 3 * (len(widths) - 1) - most
        for place in range(len(widths) - 1, -1, -1):
            if over > 0 and self._wraps(place):
                least = LEAST_WORDS if place else 1
                cut = max(0, min(over, widths[place] - least))
                widths[place] -= cut
                over -= cut
        return widths

    def _table(self, rows: Sequence[Sequence[Text]], widths: Sequence[int], split: bool) -> Table:
        """The heading with its rule (no rows), or rows without a heading, in the same columns."""
        look = box.SIMPLE_HEAD
        table = Table(box=look, show_edge=False, pad_edge=False, padding=(0, 1), show_header=not rows)
        for place, title in enumerate(self.head):
            side: JustifyMethod = "left" if self._wraps(place) else "right"
            table.add_column(Text(title), justify=side, width=widths[place], overflow="fold")
        for row in rows:
            table.add_row(*(_under(cell) if split else cell for cell in row))
        return table


def _under(cell: Text) -> Text:
    """``0.812 [0.790, 0.834]`` over two lines."""
    place = cell.plain.find(" [")
    return cell if place < 0 else Text("\n").join((cell[:place], cell[place + 1 :]))
