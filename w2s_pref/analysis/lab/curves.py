"""Learning curves: means over tasks and seeds of the evaluations that classifiers made while they trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.lab.studies import together
from w2s_pref.analysis.stats.basics import number
from w2s_pref.core.arrays import Floats
from w2s_pref.results.lab import CurvePoint, LearningCurve

#: Points of a mean curve; trainings that end early keep their last value.
POINTS = 41
QUANTITIES = ("weak_agreement", "truth_accuracy")


def learning_curves(curves: pd.DataFrame, entries: Sequence[dict[str, Any]]) -> list[LearningCurve]:
    """One mean curve for every study, chain and method.

    Args:
        curves: ``task, name, seed, progress, weak_agreement, truth_accuracy``; progress in [0, 1] of the longest
            training that the settings allow.
        entries: the cells; a curve belongs to the student of a cell.
    """
    if "progress" not in curves:
        return []
    runs = dict(iter(curves.groupby(["task", "name"], observed=True)))
    found = []
    for (study, chain, method), group in together(entries, "study", "chain", "method"):
        parts = [runs[entry["task"], entry["student"]] for entry in group if (entry["task"], entry["student"]) in runs]
        each = [one for part in parts for _, one in part.groupby("seed")]
        if each:
            points = _mean(each)
            found.append(LearningCurve(study=study, chain=chain, method=method, runs=len(each), points=points))
    return found


def _mean(runs: Sequence[pd.DataFrame]) -> list[CurvePoint]:
    grid = np.linspace(0.0, 1.0, POINTS)
    means = {name: np.stack([_on(run, name, grid) for run in runs]).mean(axis=0) for name in QUANTITIES}
    return [
        CurvePoint(progress=float(at), **{name: number(means[name][n]) for name in QUANTITIES})
        for n, at in enumerate(grid)
    ]


def _on(run: pd.DataFrame, name: str, grid: Floats) -> Floats:
    """The run's values on a common grid, straight between its evaluations; NaN where it has none."""
    run = run.sort_values("progress")
    if name not in run or run[name].isna().all():
        return np.full(len(grid), np.nan)
    return np.asarray(np.interp(grid, run["progress"].to_numpy(dtype=float), run[name].to_numpy(dtype=float)))
