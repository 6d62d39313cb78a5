"""Results in a terminal: the verdict first, then tables that hold at 80 columns and join up where there is room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.text import Text

from w2s_pref.report.draw.blocks import Fold, Table
from w2s_pref.report.draw.terminal import section_parts
from w2s_pref.report.sections import SectionBuilder, build
from w2s_pref.results.preferences import Results

#: What the terminal shows unless told otherwise, in its order; the page has every section.
SHOWN: Final = (
    "verdict", "comparison", "own-metrics", "parts", "deception", "controls", "methods", "costs", "speech", "risk",
    "monitor", "hops", "rounds", "arguments", "disagreement", "paired", "length", "ladder", "warnings",
)  # fmt: skip


def show(
    results: Results, console: Console, sections: Iterable[str] = SHOWN, extra: Iterable[SectionBuilder] = ()
) -> None:
    """Print everything a reader of the terminal needs; ``extra`` are builders of further sections."""
    gap = False  # tables end with an empty line of their own
    for section in build(results, sections, extra):
        if blocks := section.shown("terminal"):
            for part in (*[Text("")] * gap, *section_parts(section)):
                console.print(part)
            gap = not isinstance(blocks[-1], Table | Fold)
