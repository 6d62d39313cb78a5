"""Results in a terminal: the verdict first, then tables that hold at 80 columns and join up where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from w2s_pref.report.draw.blocks import Fold, Table
from w2s_pref.report.draw.terminal import section_parts
from w2s_pref.report.sections import SectionBuilder, build
from w2s_pref.results.preferences import Results

#: What the terminal shows unless told otherwise, in its order; the page has every section.
SHOWN: Final = (
    "verdict", "comparison", "own-metrics", "deception", "methods", "speech", "risk", "monitor", "hops", "paired",
    "length", "ladder", "warnings",
)  # fmt: skip


def show(
    results: Results, console: Console, sections: Iterable[str] = SHOWN, extra: Iterable[SectionBuilder] = ()
) -> None:
    """Print everything a reader of the terminal needs; ``extra`` are builders of further sections."""
    for part in parts(results, sections, extra):
        console.print(part)


def parts(
    results: Results, sections: Iterable[str] = SHOWN, extra: Iterable[SectionBuilder] = ()
) -> Iterator[RenderableType]:
    """The same, piece by piece."""
    gap = False  # tables end with an empty line of their own
    for section in build(results, sections, extra):
        if blocks := section.shown("terminal"):
            yield from [Text("")] * gap
            yield from section_parts(section)
            gap = not isinstance(blocks[-1], Table | Fold)
