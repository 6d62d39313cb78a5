"""What the terminal shows of a run of the laboratory."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from w2s_pref.generalization.results import LabResults


def show(results: LabResults, folder: Path, console: Console) -> None:
    """Print the headline and where the tables are."""
    console.print(f"{escape(results.name)}: {escape(results.verdict.headline)}", highlight=False)
    console.print(f"tables: {escape(str(folder.resolve()))}", soft_wrap=True, highlight=False)
