"""What a section is made of. Each block names the template that draws it, so a new kind is one class and one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

from w2s_pref.results.preferences import Results

Cell = str | Markup


class Block:
    """Anything a section can hold."""

    template: ClassVar[str]


@dataclass(frozen=True)
class Prose(Block):
    """Paragraphs of plain text."""

    template: ClassVar[str] = "block_prose.html.j2"
    paragraphs: Sequence[Cell]


@dataclass(frozen=True)
class Points(Block):
    """Sentences that stand one by one; beyond ``shown`` of them (None: all) the rest opens on demand."""

    template: ClassVar[str] = "block_points.html.j2"
    sentences: Sequence[str]
    shown: int | None = None


@dataclass(frozen=True)
class Warnings(Block):
    """Sentences the reader must not miss; beyond ``shown`` of them the rest opens on demand."""

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
class TableGroup:
    """Rows under one heading (an empty title for none). The first cell of a row is its header."""

    title: str
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Table(Block):
    """A table. ``stack``: on a phone each row becomes a small card instead of scrolling sideways."""

    template: ClassVar[str] = "block_table.html.j2"
    caption: str
    head: Sequence[str]
    groups: Sequence[TableGroup]
    guide: Guide | None = None
    stack: bool = False
    text_columns: Sequence[int] = (0,)
    subhead: Sequence[Cell] = ()


@dataclass(frozen=True)
class Panel:
    """One small picture with its title and, where useful, one line of numbers."""

    title: str
    svg: Markup
    note: str = ""


@dataclass(frozen=True)
class Figure(Block):
    """Small multiples with a shared key and guide."""

    template: ClassVar[str] = "block_figure.html.j2"
    caption: str
    panels: Sequence[Panel]
    guide: Guide
    key: Sequence[tuple[Markup, str]] = ()
    size: str = "medium"


@dataclass(frozen=True)
class Fold(Block):
    """Blocks that open on demand."""

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
    """A part of the page with an anchor."""

    id: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    short: str = ""


Builder = Callable[[Results], Section | None]
