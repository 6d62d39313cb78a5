"""The study of preferences: chains of supervision on pairs, under conflict; deception, comparisons, risk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from w2s_pref.results.preferences import Results
from w2s_pref.studies.kind import Opened, StudyKind, Tested
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.run import finish, open_preferences
from w2s_pref.studies.preferences.study import Study

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def show(results: Results, folder: Path, console: Console) -> None:
    """Print the tables of a run, and where its report is."""
    from w2s_pref.report.terminal import show as show_tables

    show_tables(results, console)
    console.print(f"\nreport: {(folder / 'report.html').resolve().as_uri()}", soft_wrap=True, highlight=False)


def compare(runs: Sequence[Results]) -> Iterable[RenderableType]:
    """Runs side by side, and where they must not be compared."""
    from w2s_pref.report.compare import compare as side_by_side

    return side_by_side(runs)


def tested(opened: Opened[Recipe, Study]) -> Tested:
    """The target test set."""
    frame = opened.study.rows["test"].frame
    return Tested(len(frame), int(frame["group"].nunique()), len(opened.recipe.seeds))


KIND: Final = StudyKind("data", Recipe, Results, open_preferences, finish, show, compare, tested)
