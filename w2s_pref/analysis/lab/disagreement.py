"""Where several supervisors disagree: accuracy of their labels and of the student, by thirds of the spread."""

from __future__ import annotations

import pandas as pd

from w2s_pref.analysis.lab.cells import estimate
from w2s_pref.analysis.preferences.disagreement import THIRDS, by_third, thirds
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.results.lab import SpreadPart


def by_spread(labels: pd.DataFrame, predictions: pd.DataFrame, resamples: int, seed: int) -> list[SpreadPart]:
    """For every task and student each third of the items, and what the outer thirds differ by.

    Thirds are cut seed by seed: of the labelled items for the labels, of the test items for ``spread`` and student.
    Supervisors whose disagreement says nothing about their errors have a difference of 0.

    Args:
        labels: ``task, name, seed, split, id, group, p_true, keep, spread`` of w2s and test items; ``name`` is the
            student's.
        predictions: ``task, name, seed, split, id, truth, p``, the answers of every classifier.
        resamples, seed: of the bootstrap over groups of items and seeds.
    """
    keys = ["task", "name", "seed", "id"]
    answers = predictions.loc[predictions["split"] == "test", [*keys, "truth", "p"]]
    test = labels[labels["split"] == "test"].merge(answers, on=keys, validate="one_to_one")
    test = test.assign(p_true=test["p"].where(test["truth"] == 1, 1 - test["p"]))
    students = dict(iter(test.groupby(["task", "name"], sort=False, observed=True)))
    labelled = labels[labels["split"] == "w2s"].groupby(["task", "name"], sort=False, observed=True)
    found = []
    for (task, name), rows in labelled:
        own = students[task, name]
        if min(table.groupby("seed").size().min() for table in (rows, own)) < len(THIRDS):
            continue
        said, answered = by_third(rows, resamples, seed), by_third(own, resamples, seed)
        spreads: list[float | None] = [*_spreads(own), None]
        parts = zip((*THIRDS, "difference"), spreads, _and_difference(said), _and_difference(answered), strict=True)
        for part, spread, label, student in parts:
            accuracies = {"label_accuracy": estimate(label), "student_accuracy": estimate(student)}
            found.append(SpreadPart(task=str(task), student=str(name), part=part, spread=spread, **accuracies))
    return found


def _and_difference(stats: list[Stat]) -> list[Stat]:
    """The three, and where supervisors disagree most minus where they disagree least."""
    return [*stats, stats[-1] - stats[0]]


def _spreads(rows: pd.DataFrame) -> list[float]:
    """Mean spread in each third of each seed's items."""
    spread = rows.pivot(index="seed", columns="id", values="spread").to_numpy(float)
    place = thirds(spread)
    return [float(spread[place == number].mean()) for number in range(len(THIRDS))]
