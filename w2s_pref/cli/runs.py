"""Score tables and finished runs, as the command line names them, in one table of settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from w2s_pref.analysis.risk.settings import design_of_run, read_settings, settings_of_runs
from w2s_pref.analysis.scores.table import read_scores
from w2s_pref.core.errors import W2SError
from w2s_pref.results.preferences import Results
from w2s_pref.results.read import load_results


def read_runs_and_settings(paths: Sequence[Path], weak: str, strong: str) -> pd.DataFrame:
    """Files are score tables (see ``read_settings``), folders finished runs (see ``settings_of_runs``).

    Raises:
        W2SError: a file or folder that cannot be read, a setting or run that is there twice.
    """
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    parts = [read_settings(files)] if files or not folders else []
    if folders:
        runs = [
            (path.resolve().name, read_scores(path / "scores.parquet"), design_of_run(load_results(path)))
            for path in folders
        ]
        parts.append(settings_of_runs(runs, weak, strong))
    if len(parts) > 1:
        shared = set(parts[0]["setting"]) & set(parts[1]["setting"])
        if shared:
            raise W2SError(f"setting {min(shared)!r} is in a score table and in a run; give it another name.")
    return pd.concat(parts, ignore_index=True)


def read_runs(paths: Sequence[Path]) -> list[tuple[str, Results]]:
    """Name of the folder and results of finished runs; a path may also be the results.json itself.

    Raises:
        W2SError: a run that cannot be read.
    """
    return [((path if path.is_dir() else path.parent).resolve().name, load_results(path)) for path in paths]
