"""Sections of one's own: a function of the results, shown in the report and in the terminal.

A section asks by name for ``results``, the study's results as ``results.json`` holds them, and returns what it is made
of, in order: text, tables (a ``pandas.DataFrame``) and blocks of ``report.draw.blocks``; or one of these alone. The
first line of its docstring is its heading. It is in no key: a report is drawn anew at every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import Registry, short_name
from w2s_pref.core.user_code import asked, by_name

if TYPE_CHECKING:
    from rich.console import RenderableType

    from w2s_pref.report.draw.blocks import Block, Section

SECTIONS = Registry("section")

#: Register a function as a section: ``report.sections: [NAME]`` then shows what it returns.
section = SECTIONS.register

#: What it may ask for.
OFFERED = ("results",)


def check(names: Sequence[str], base: Path) -> None:
    """The sections are there.

    Raises:
        W2SError: one is not, or asks for what is not offered.
    """
    for name in names:
        try:
            asked(SECTIONS.find(name, base), OFFERED, f"section {name!r}")
        except W2SError as error:
            raise W2SError([f"report.sections: {problem}" for problem in error.problems]) from None


def own_sections(results: Any, names: Sequence[str], base: Path) -> list[Section]:
    """What the user's sections make of the results.

    Raises:
        W2SError: one fails, or returns something that is no block.
    """
    from w2s_pref.report.draw.blocks import Section

    found = []
    for name in names:
        function, what = SECTIONS.find(name, base), f"section {name!r}"
        made = by_name(function, OFFERED, what)(results=results)
        parts = made if isinstance(made, list | tuple) else [made]
        found.append(Section(f"own-{short_name(name)}", _title(function, name), [_block(part, what) for part in parts]))
    return found


def _title(function: Callable[..., Any], name: str) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0] or short_name(name)


def _block(part: Any, what: str) -> Block:
    import pandas as pd

    from w2s_pref.report.draw.blocks import Block, Prose, Table, TableGroup

    if isinstance(part, Block):
        return part
    if isinstance(part, str):
        return Prose([part])
    if isinstance(part, pd.DataFrame):
        words = [place for place, kind in enumerate(part.dtypes) if not pd.api.types.is_numeric_dtype(kind)]
        rows = [[_cell(value) for value in row] for row in part.itertuples(index=False)]
        return Table("", [str(name) for name in part.columns], [TableGroup("", rows)], text_columns=words)
    raise W2SError(f"{what} returned something of type {type(part).__name__}; return text, DataFrames and blocks")


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def printed(sections: Sequence[Section]) -> Iterator[RenderableType]:
    """The same sections for a terminal."""
    from w2s_pref.report.draw.blocks import Prose, Table
    from w2s_pref.report.grid import Grid, text

    for one in sections:
        yield text(one.title, "bold underline")
        for block in one.blocks:
            if isinstance(block, Prose):
                yield from (text(str(paragraph)) for paragraph in block.paragraphs)
            elif isinstance(block, Table):
                head = list(block.head)
                grid = Grid(block.caption, head, words=[head[place] for place in block.text_columns if place])
                for group in block.groups:
                    if group.title:
                        grid.group(group.title)
                    for first, *rest in group.rows:
                        grid.add(str(first), [text(str(cell)) for cell in rest])
                yield grid
            else:
                yield text(f"({type(block).__name__}: see the report)", "dim")
