"""The laboratory's results in a terminal: verdict, medians over tasks, variants, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.table import Table

from w2s_pref.report.grid import text
from w2s_pref.report.lab.forest import words
from w2s_pref.results.lab import LabBody


def show(body: LabBody, console: Console) -> None:
    """Print what a reader of the terminal needs; the pages have every cell."""
    for part in parts(body):
        console.print(part)


def parts(body: LabBody) -> Iterator[RenderableType]:
    """Sentences first, then tables."""
    for sentence in body.verdict:
        yield text(f"- {sentence}")
    if body.medians:
        yield _table(
            "Over tasks",
            ("chain", "method", "median PGR", "weak", "student", "ceiling", "gaps"),
            [
                (each.chain, each.method, words(each.pgr) if each.pgr.value is not None else "no gap",
                 *(words(each.accuracy[role]).split(" ")[0] for role in ("weak", "student", "ceiling")),
                 f"{each.tasks - each.without_gap}/{each.tasks}")
                for each in body.medians
            ],
        )  # fmt: skip
    for study in dict.fromkeys(each.study for each in body.bars):
        own = [each for each in body.bars if each.study == study]
        rows = [(each.chain, each.variant, words(each.accuracy), words(each.agreement)) for each in own]
        yield _table(study.replace("_", " "), ("chain", "variant", "accuracy", "agreement"), rows)
    for warning in body.warnings:
        yield text(f"! {warning}", "yellow")


def _table(title: str, head: tuple[str, ...], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*head, title=title, box=None, title_justify="left")
    for row in rows:
        table.add_row(*(text(value) for value in row))
    return table
