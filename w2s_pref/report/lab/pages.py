"""What the laboratory shows: which pages there are and the writing of them, and its tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from w2s_pref.report.draw.blocks import Block, Points, Prose, Section, Warnings
from w2s_pref.report.draw.html import environment, write_page
from w2s_pref.report.draw.terminal import parts
from w2s_pref.report.glossary import GENERALIZATION, Linker
from w2s_pref.report.glossary import section as glossary
from w2s_pref.report.lab import grid, studies
from w2s_pref.report.lab.grid import over_tasks
from w2s_pref.report.lab.studies import bar_table
from w2s_pref.report.readings import of_lab
from w2s_pref.results.lab import LabBody, Median


@dataclass(frozen=True)
class Page:
    """One file."""

    file: str
    title: str
    sections: Sequence[Section]


def pages(body: LabBody, own: Sequence[Section] = ()) -> list[Page]:
    """The overview, with the user's own sections at its end, and a page for every study that has something to show."""
    overview = [grid.verdict(body), grid.medians(body), grid.grid(body), grid.calibration(body)]
    overview.append(grid.disagreement(body))
    found = [Page("report.html", "Overview", [*(each for each in overview if each is not None), *own])]
    confidence = (
        "The same students by another loss, method or prompt, minus the first of the same algorithm (with plain "
        "cross-entropy, where it trains) on the same items; larger students stand lower."
    )
    bootstrapping = "Chains through intermediate models minus the direct pair, on equal data and the same items."
    losses = studies.contrasts(body, "confidence", "Against the first method", confidence)
    made: list[tuple[str, str, list[Section]]] = [
        ("scaling", "Scaling", studies.scaling(body)),
        ("confidence", "Confidence loss", losses),
        ("agreement", "Agreement", studies.agreement(body)),
        ("overfitting", "Overfitting", studies.overfitting(body)),
        ("bootstrapping", "Bootstrapping",
         studies.contrasts(body, "bootstrapping", "Bootstrapped against direct", bootstrapping)),
        *((name, name.replace("_", " ").capitalize(), studies.variants(body, name)) for name in studies.VARIANTS),
    ]  # fmt: skip
    return found + [Page(f"report-{name}.html", title, sections) for name, title, sections in made if sections]


def write_pages(name: str, body: LabBody, folder: Path, own: Sequence[Section] = ()) -> list[Path]:
    """Write every page into ``folder``; the first one is the overview."""
    every, written, words = pages(body, own), [], glossary(GENERALIZATION)
    template = environment().get_template("lab.html.j2")
    for page in every:
        text = template.render(
            name=name, page=replace(page, sections=[*page.sections, words]), pages=every, schema=body.schema_version,
            linked=Linker(GENERALIZATION),
        )  # fmt: skip
        write_page(text, folder / page.file)
        written.append(folder / page.file)
    return written


def _once(medians: list[Median]) -> list[Median]:
    """Without what another study shows again: a chain's direct pair is the grid's, where both learn from the same."""
    grid = [each for each in medians if each.study == "grid"]
    return [each for each in medians if each.study == "grid" or each.model_copy(update={"study": "grid"}) not in grid]


def show(body: LabBody, console: Console) -> None:
    """Print what a reader of the terminal needs, sentences first, then tables; the pages have every cell."""
    blocks: list[Block] = [Points(body.verdict), Prose([of_lab(body)])]
    if body.medians:
        blocks.append(over_tasks(_once(body.medians), "Over tasks"))
    if body.bars:
        blocks.append(bar_table(body.bars, "Variants"))
    spread = grid.disagreement(body)
    blocks += spread.blocks if spread is not None else []
    for part in parts([*blocks, Warnings(body.warnings)]):
        console.print(part)
