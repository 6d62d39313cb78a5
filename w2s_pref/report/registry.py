"""Sections of one's own: a function of the results, shown in the report and in the terminal.

A section asks by name for ``results``, the study's results as ``results.json`` holds them, and returns what it is made
of, in order: text, tables (a ``pandas.DataFrame``) and blocks of ``report.draw.blocks``; or one of these alone. The
first line of its docstring is its heading. It is in no key: a report is drawn anew at every run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import short_name
from w2s_pref.core.registry import Registry
from w2s_pref.core.user_code import asked, by_name
from w2s_pref.report.draw.blocks import Block, Column, Prose, Section, Table

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


def builders(names: Sequence[str], base: Path) -> list[Callable[[Any], Section]]:
    """What makes a section of results, for each of these names.

    Raises:
        W2SError: there is no such section; when called: it fails, or returns something that is no block.
    """
    return [_builder(SECTIONS.find(name, base), name) for name in names]


def _builder(function: Callable[..., Any], name: str) -> Callable[[Any], Section]:
    what = f"section {name!r}"
    call = by_name(function, OFFERED, what)

    def make(results: Any) -> Section:
        made = call(results=results)
        parts = made if isinstance(made, list | tuple) else [made]
        title = (function.__doc__ or "").strip().partition("\n")[0] or short_name(name)
        return Section(f"own-{short_name(name)}", title, [_block(part, what) for part in parts])

    return make


def _block(part: Any, what: str) -> Block:
    import pandas as pd

    if isinstance(part, Block):
        return part
    if isinstance(part, str):
        return Prose([part])
    if isinstance(part, pd.DataFrame):
        numeric = [pd.api.types.is_numeric_dtype(kind) for kind in part.dtypes]
        columns = [_column(at, str(head), number) for at, (head, number) in enumerate(zip(part, numeric, strict=True))]
        return Table("", columns, [("", list(part.itertuples(index=False)))])
    raise W2SError(f"{what} returned something of type {type(part).__name__}; return text, DataFrames and blocks")


def _column(at: int, head: str, numeric: bool) -> Column[Any]:
    return Column(head, lambda row: f"{row[at]:.3g}" if isinstance(row[at], float) else str(row[at]), words=not numeric)
