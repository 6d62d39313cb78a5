"""Blocks in a terminal: foreign text kept harmless, numbers never broken over lines, reasons as footnotes."""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from w2s_pref.report.draw.blocks import (
    Block,
    Code,
    Column,
    Content,
    Facts,
    Fold,
    Points,
    Prose,
    Section,
    Strip,
    Table,
    Value,
    Warnings,
)
from w2s_pref.report.draw.format import NO_INTERVAL, UNDEFINED, interval, number, one_line, plain, reason, second

#: From this width on one table holds all columns, whatever parts they belong to.
WIDE: Final = 146
#: Least width of the first column (with its indent) and of columns of words, before numbers are broken instead.
LEAST: Final = 12
LEAST_WORDS: Final = 14


def text(value: str, style: str = "") -> Text:
    """Text as it is: neither markup nor control characters do anything."""
    indent = len(value) - len(value.lstrip(" "))
    return Text(" " * indent + one_line(value, 2000), style=style)


def letter(index: int) -> str:
    """a, b, … z, aa, ab, …"""
    first, last = divmod(index, 26)
    return (letter(first - 1) if first else "") + string.ascii_lowercase[last]


def section_parts(section: Section) -> Iterator[RenderableType]:
    """What the terminal shows of a section: under its title, unless a table with a title of its own comes first."""
    blocks = section.shown("terminal")
    if not blocks:
        return
    if not isinstance(blocks[0], Table | Fold):
        yield text(section.title, "bold")
    yield from parts(blocks)


def parts(blocks: Iterable[Block]) -> Iterator[RenderableType]:
    """Blocks one by one; what only the page shows is left out, and so are pictures."""
    for block in blocks:
        if block.where == "page":
            continue
        match block:
            case Table():
                yield Grid(block)
            case Fold():
                yield from parts(block.blocks)
            case Prose():
                yield from map(text, block.paragraphs)
            case Points():
                yield from (text(f"- {sentence}") for sentence in block.sentences)
            case Warnings():
                yield from (text(f"! {sentence}", "yellow") for sentence in block.sentences)
            case Facts():
                yield from (text(f"{name}: {value}") for name, value in block.items)
            case Code():
                yield Text(plain(block.text))


@dataclass
class Notes:
    """Footnotes of one table: each reason once, with a letter."""

    reasons: list[str] = field(default_factory=list)

    def mark(self, reason: str) -> str:
        """The mark of a reason, new or already there."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"({letter(self.reasons.index(reason))})"

    def lines(self) -> list[Text]:
        """What the marks mean."""
        return [text(f"({letter(index)}) {reason}", "dim") for index, reason in enumerate(self.reasons)]

    def cell(self, content: Content, column: Column[Any]) -> Text:
        """``0.812 [0.790, 0.834]`` over its second reading, words, or "undefined" with the mark of its reason."""
        if isinstance(content, Strip):
            return text("")
        value = content if isinstance(content, Value) else Value(content)
        if value.of is None:
            return text(value.absent, "dim")
        if isinstance(value.of, str):
            return text(value.of, "dim" if value.tone == "missing" else "")
        found, digits = value.of, column.digits if value.digits is None else value.digits
        if found.estimate is None:
            why = reason(found.note)
            return text(UNDEFINED + (f" {self.mark(why)}" if why else ""), "yellow")
        shown = number(found.estimate, digits)
        if not column.bounds:
            return text(shown)
        bounds = interval(found.interval, digits) or self.mark(reason(found.note) or NO_INTERVAL)
        line = text(f"{shown} {bounds}")
        line.stylize("bold", 0, len(shown))
        inner = second(found, digits)
        return Text("\n").join((line, text(inner, "dim"))) if inner else line


@dataclass(frozen=True)
class Grid:
    """A table in a terminal. Where it is narrow, the columns of each part stand in a table of their own."""

    table: Table[Any]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One table or several, one below the other."""
        first, *rest = (column for column in self.table.columns if column.where != "page")
        title = self.table.title or self.table.caption
        if options.max_width >= WIDE or not any(column.part for column in rest):
            yield from self._one(title, [first, *rest], options.max_width)
            return
        for part, columns in groupby(rest, lambda column: column.part):
            own = [replace(column, short=column.alone or column.short) for column in columns]
            yield from self._one(part or title, [first, *own], options.max_width)

    def _one(self, title: str, columns: Sequence[Column[Any]], width: int) -> Iterator[RenderableType]:
        """Title, heading, groups, footnotes. A table without a title is set close, without a rule."""
        notes = Notes()
        groups = [
            (group, [[notes.cell(column.get(item), column) for column in columns] for item in items])
            for group, items in self.table.groups
        ]
        for group, rows in groups:
            for row in rows if group else ():
                row[0] = Text("  ") + row[0]
        layout = Layout.fitting(columns, [row for _, rows in groups for row in rows], width)
        if layout.squeezed and len(columns) > 2:  # even so: two tables, names in both
            half = (len(columns) + 1) // 2
            yield from self._one(title, columns[:half], width)
            yield Text("")
            yield from self._one(title, [columns[0], *columns[half:]], width)
            return
        if not title:
            yield layout.table([row for _, rows in groups for row in rows], None)
            return
        yield text(title, "bold underline")
        yield layout.table([], box.SIMPLE_HEAD)
        for group, rows in groups:
            if group:
                yield text(group, "bold")
            if rows:
                yield layout.table(rows, box.SIMPLE_HEAD, show_header=False)
        yield from notes.lines()
        yield Text("")


@dataclass(frozen=True)
class Layout:
    """Headings and widths that several tables share.

    ``split``: intervals stand beneath their numbers; ``squeezed``: even then names have no room.
    """

    heads: Sequence[str]
    wraps: Sequence[bool]
    widths: Sequence[int]
    split: bool
    squeezed: bool = False

    @classmethod
    def fitting(cls, columns: Sequence[Column[Any]], rows: Sequence[Sequence[Text]], most: int) -> Layout:
        """The layout in which nothing is broken; intervals move beneath where numbers leave no room for names."""
        heads = [plain(column.short or column.head) for column in columns]
        wraps = [place == 0 or column.words for place, column in enumerate(columns)]
        wanted = [_longest(heads, rows, place, False) for place in range(len(heads))]
        whole = cls(heads, wraps, _narrowed(wanted, wraps, most), False)
        if whole.widths[0] >= min(LEAST, wanted[0]):
            return whole
        wanted = [_longest(heads, rows, place, True) for place in range(len(heads))]
        widths = _narrowed(wanted, wraps, most)
        return cls(heads, wraps, widths, True, widths[0] < min(LEAST, wanted[0]))

    def table(self, rows: Sequence[Sequence[Text]], look: box.Box | None, show_header: bool = True) -> RichTable:
        """Rows in these columns."""
        table = RichTable(box=look, show_edge=False, pad_edge=False, padding=(0, 1), show_header=show_header)
        for head, wraps, width in zip(self.heads, self.wraps, self.widths, strict=True):
            side: JustifyMethod = "left" if wraps else "right"
            table.add_column(Text(head), justify=side, width=width, overflow="fold")
        for row in rows:
            table.add_row(*(_under(cell) if self.split else cell for cell in row))
        return table


def _longest(heads: Sequence[str], rows: Sequence[Sequence[Text]], place: int, split: bool) -> int:
    """Width a column asks for."""
    cells = [_under(row[place]) if split else row[place] for row in rows]
    lines = [line for cell in cells for line in cell.plain.split("\n")]
    return max(cell_len(line) for line in (*(heads[place].split() if split else [heads[place]]), *lines))


def _narrowed(widths: Sequence[int], wraps: Sequence[bool], most: int) -> list[int]:
    """Numbers get what they ask for, columns of words share the rest, the first one last."""
    found = list(widths)
    over = sum(found) + 3 * (len(found) - 1) - most
    for place in range(len(found) - 1, -1, -1):
        if over > 0 and wraps[place]:
            cut = max(0, min(over, found[place] - (LEAST_WORDS if place else 1)))
            found[place] -= cut
            over -= cut
    return found


def _under(cell: Text) -> Text:
    """The interval of ``0.812 [0.790, 0.834]`` beneath its number."""
    place = cell.plain.find(" [")
    return cell if place < 0 else Text("\n").join((cell[:place], cell[place + 1 :]))
