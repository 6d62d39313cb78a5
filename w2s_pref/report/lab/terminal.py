"""The laboratory's results in a terminal: verdict, medians over tasks, variants, warnings."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType

from w2s_pref.report.draw import terminal
from w2s_pref.report.draw.blocks import Block, Points, Warnings
from w2s_pref.report.lab.grid import over_tasks
from w2s_pref.report.lab.studies import bar_table
from w2s_pref.results.lab import LabBody


def show(body: LabBody, console: Console) -> None:
    """Print what a reader of the terminal needs; the pages have every cell."""
    for part in parts(body):
        console.print(part)


def parts(body: LabBody) -> Iterator[RenderableType]:
    """Sentences first, then tables."""
    blocks: list[Block] = [Points(body.verdict)]
    if body.medians:
        blocks.append(over_tasks(body.medians, "Over tasks"))
    if body.bars:
        blocks.append(bar_table(body.bars, "Variants"))
    yield from terminal.parts([*blocks, Warnings(body.warnings)])
