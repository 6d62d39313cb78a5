"""Chess puzzles as a generative weak-to-strong task: positions or games in, the first solution move out."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.kind import StudyKind

if find_spec("chess") is None:
    raise W2SError('chess studies need the package python-chess: pip install "w2s-pref[chess]"')

from w2s_pref.results.chess import ChessResults
from w2s_pref.studies.chess.analysis import finish
from w2s_pref.studies.chess.recipe import ChessRecipe
from w2s_pref.studies.chess.study import open_chess

if TYPE_CHECKING:
    from rich.console import Console


def show(results: ChessResults, folder: Path, console: Console) -> None:
    """Print the tables of a run, and where its report is."""
    from w2s_pref.studies.chess.report import show as show_tables

    show_tables(results, console)
    console.print(
        f"\nreport: {(folder / 'report.html').resolve().as_uri()}", soft_wrap=True, highlight=False, markup=False
    )


KIND: Final = StudyKind("chess", ChessRecipe, ChessResults, open_chess, finish, show)
