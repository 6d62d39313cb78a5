"""What a section is made of: neutral blocks. ``draw.html`` turns them into a page, ``draw.terminal`` into text.

A section is written once. What only one of the two outputs shows says so: ``where`` of a block or of a column. Text is
given as it is; the renderers escape it and take out what could drive a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar, cast

from markupsafe import Markup

from w2s_pref.report.draw.format import NOT_MEASURED
from w2s_pref.results.results import Estimate

#: Who shows it.
Where = Literal["both", "page", "terminal"]
#: How words in a cell look: missing (a number that is not there), number, verdict, code, strong, emphasis.
Tone = Literal["", "missing", "number", "verdict", "code", "strong", "emphasis"]
Range = tuple[float, float]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Value:
    """A cell that needs more than plain words or a plain estimate.

    ``absent`` stands where there is no estimate at all. ``notes`` are small lines beneath, on the page only.
    ``neutral`` (the value that means nothing) and ``digits`` are those of this one cell where it differs from its
    column.
    """

    of: Estimate | str | None
    notes: Sequence[str] = ()
    absent: str = NOT_MEASURED
    neutral: float | None = None
    tone: Tone = ""
    digits: int | None = None


@dataclass(frozen=True)
class Strip:
    """A cell with a picture: interval, mean and seeds of an estimate on a scale of its own. The page only."""

    of: Estimate
    scale: Range
    digits: int
    name: str
    neutral: float
    width: float


Cell = str | Estimate | Value | Strip | None


@dataclass(frozen=True)
class Column(Generic[T]):
    """A heading and how to read the cell off a row; the first column of a table names the row.

    Args:
        head: the heading; ``short`` instead of it in a terminal, ``title`` in full where the column is described.
        digits: decimals.
        words: text, which stands left and may wrap; numbers stand right and are never broken.
        axis: draws the seeds beside each number; columns of the same axis share one scale.
        neutral: the value that means "nothing there", drawn as a dashed line.
        bounds: whether the terminal shows the interval with the number.
        part: a narrow terminal makes a table of its own, under this title, of the columns of each part.
    """

    head: str
    get: Callable[[T], Cell]
    digits: int = 3
    words: bool = False
    axis: str = ""
    neutral: float | None = None
    short: str = ""
    title: str = ""
    bounds: bool = True
    where: Where = "both"
    part: str = ""

    def within(self, read: Callable[[U], T | None], missing: str) -> Column[U]:
        """The same column for rows that hold such an item, and these words where a row holds none."""

        def get(row: U) -> Cell:
            item = read(row)
            return Value(missing, tone="missing") if item is None else self.get(item)

        found: Column[U] = replace(cast(Any, self), get=get)
        return found


@dataclass(frozen=True, kw_only=True)
class Block:
    """Anything a section can hold. A new kind is a class, a template for the page, a branch in ``draw.terminal``."""

    template: ClassVar[str]
    where: Where = "both"


@dataclass(frozen=True)
class Prose(Block):
    """Paragraphs of plain text."""

    template: ClassVar[str] = "block_prose.html.j2"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Points(Block):
    """Sentences that stand one by one; beyond ``shown`` of them (None: all) the rest opens on demand on the page."""

    template: ClassVar[str] = "block_points.html.j2"
    sentences: Sequence[str]
    shown: int | None = None


@dataclass(frozen=True)
class Warnings(Block):
    """Sentences the reader must not miss; beyond ``shown`` of them the rest opens on demand on the page."""

    template: ClassVar[str] = "block_warnings.html.j2"
    sentences: Sequence[str]
    title: str = "Warnings"
    shown: int = 5


@dataclass(frozen=True)
class Guide:
    """One line that says how to read a table or figure, and one that says what healthy looks like."""

    read: str
    healthy: str


@dataclass(frozen=True)
class Table(Block, Generic[T]):
    """Columns by rows, in groups under headings (an empty heading for none).

    ``stack``: on a phone each row becomes a small card instead of scrolling sideways. ``title`` stands over it in a
    terminal, the caption otherwise.
    """

    template: ClassVar[str] = "block_table.html.j2"
    caption: str
    columns: Sequence[Column[T]]
    groups: Sequence[tuple[str, Sequence[T]]]
    guide: Guide | None = None
    stack: bool = False
    title: str = ""


def plain_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], **options: Any) -> Table[Any]:
    """A table of rows that are already cells; all of its columns are words."""
    columns = [Column[Sequence[Cell]](name, lambda row, at=at: row[at], words=True) for at, name in enumerate(head)]  # type: ignore[misc]
    return Table(caption, columns, [("", rows)], **options)


@dataclass(frozen=True)
class Panel:
    """One small picture with its title and, where useful, one line of numbers."""

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True)
class Figure(Block):
    """Small multiples with a shared key and guide; the page only."""

    template: ClassVar[str] = "block_figure.html.j2"
    caption: str
    panels: Sequence[Panel]
    guide: Guide
    key: Sequence[tuple[Markup, str]] = ()
    size: str = "medium"
    where: Where = field(default="page", kw_only=True)


@dataclass(frozen=True)
class Fold(Block):
    """Blocks that open on demand on the page; the terminal prints those that it shows."""

    template: ClassVar[str] = "block_fold.html.j2"
    summary: str
    blocks: Sequence[Block]
    open: bool = False


@dataclass(frozen=True)
class Facts(Block):
    """Names and values, two columns."""

    template: ClassVar[str] = "block_facts.html.j2"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code(Block):
    """Text as it is, in a box that scrolls."""

    template: ClassVar[str] = "block_code.html.j2"
    text: str
    label: str


@dataclass(frozen=True)
class Section:
    """A part of the report: an anchor, a title (``short`` in the menu), blocks."""

    id: str
    title: str
    blocks: Sequence[Block] = ()
    short: str = ""

    def shown(self, where: Where) -> list[Block]:
        """The blocks that the page or the terminal shows."""
        return [block for block in self.blocks if block.where in (where, "both")]
