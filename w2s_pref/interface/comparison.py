"""Several runs side by side, as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.interface.page import preformatted
from w2s_pref.interface.printed import printed
from w2s_pref.studies.finished import compare_runs, consistent, read_run

if TYPE_CHECKING:
    from rich.console import Console


class Comparison:
    """Runs side by side under letters A, B, … in the order given; ``print`` it for the tables of ``w2s compare``.

    Raises:
        W2SError: a run that cannot be read, runs of several kinds, or of a kind without comparison.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = list(folders)
        with consistent("compare"):
            self._parts = list(compare_runs(self.folders))

    def to_dict(self) -> dict[str, Any]:
        """``runs``, ``incomparable``, ``notices``, ``recipe_differences`` and ``rows``, JSON-ready.

        Raises:
            W2SError: a kind of study that is only shown side by side.
        """
        from w2s_pref.report.compare import document

        runs = [read_run(folder) for folder in self.folders]
        if (kind := runs[0].kind.name) != "preferences":
            raise W2SError(f"compare: studies of kind {kind} are shown side by side only; print the comparison")
        with consistent("compare"):
            return document([run.results for run in runs])

    @property
    def incomparable(self) -> list[str]:
        """Why a number of one run means something else in another; empty where the numbers can be compared."""
        return list(self.to_dict()["incomparable"])

    @property
    def rows(self) -> pd.DataFrame:
        """A row for every run and student, a column for every metric: its estimate, NaN where it is undefined."""
        rows = [
            {name: value["estimate"] if _is_estimate(value) else value for name, value in row.items()}
            for row in self.to_dict()["rows"]
        ]
        return pd.DataFrame(rows).drop(columns=["gates", "sensitivity", "metrics"], errors="ignore")

    def __repr__(self) -> str:
        def show(console: Console) -> None:
            for part in self._parts:
                console.print(part)

        return printed(show)

    def _repr_html_(self) -> str:
        return preformatted(repr(self))


def _is_estimate(value: Any) -> bool:
    return isinstance(value, dict) and "estimate" in value
