"""The laboratory: weak-to-strong generalization on classification tasks, with fine-tuning, probes and prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from w2s_pref.results.lab import LabBody, LabResults
from w2s_pref.results.read import read_file
from w2s_pref.studies.generalization.recipe import Recipe
from w2s_pref.studies.generalization.run import finish, open_laboratory
from w2s_pref.studies.kind import StudyKind

if TYPE_CHECKING:
    from rich.console import Console


def body(results: LabResults, folder: Path) -> LabBody:
    """The numbers of a run, which stand beside its results.json."""
    return read_file(folder / "generalization.json", LabBody, folder)


def show(results: LabResults, folder: Path, console: Console) -> None:
    """Print the verdict, medians over tasks and studies, and where pages and tables are."""
    from w2s_pref.report.lab.pages import show as show_body

    console.print(results.name, markup=False, highlight=False)
    show_body(body(results, folder), console)
    console.print(
        f"\nreport: {(folder / 'report.html').resolve().as_uri()}", soft_wrap=True, highlight=False, markup=False
    )


KIND: Final = StudyKind("tasks", Recipe, LabResults, open_laboratory, finish, show, body=body)
