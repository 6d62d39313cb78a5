"""What the terminal shows of a run of the laboratory."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from w2s_pref.report.lab.terminal import show as show_body
from w2s_pref.results.generalization import LabResults
from w2s_pref.results.lab import LabBody


def show(results: LabResults, folder: Path, console: Console) -> None:
    """Print the verdict, medians over tasks and studies, and where pages and tables are."""
    console.print(results.name, markup=False, highlight=False)
    show_body(LabBody.model_validate_json((folder / "generalization.json").read_text(encoding="utf-8")), console)
    console.print(
        f"\nreport: {(folder / 'report.html').resolve().as_uri()}", soft_wrap=True, highlight=False, markup=False
    )
