"""Where several supervisors disagree: accuracy of their labels and of the student, by thirds of the spread."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_pref.analysis.preferences.disagreement import THIRDS, thirds
from w2s_pref.analysis.stats.basics import credit


def by_spread(labels: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """``task, name, third, spread, label_accuracy, student_accuracy``, means over seeds.

    Thirds are cut seed by seed: of the labelled items for the labels, of the test items for ``spread`` and student.

    Args:
        labels: ``task, name, seed, split, id, p_true, spread`` of w2s and test items; ``name`` is the student's.
        predictions: ``task, name, seed, split, id, truth, p``, the answers of every classifier.
    """
    answers = predictions.loc[predictions["split"] == "test", ["task", "name", "seed", "id", "truth", "p"]]
    test = labels[labels["split"] == "test"].merge(answers, on=["task", "name", "seed", "id"], validate="one_to_one")
    margin = (test["p"] - 0.5) * (2 * test["truth"] - 1)
    test = test.assign(student_accuracy=credit(margin.to_numpy(float)))
    w2s = labels[labels["split"] == "w2s"]
    w2s = w2s.assign(label_accuracy=credit(w2s["p_true"].to_numpy(float) - 0.5))
    means = [_means(w2s, ["label_accuracy"]), _means(test, ["spread", "student_accuracy"])]
    found = means[0].merge(means[1], on=["task", "name", "third"])
    return found[["task", "name", "third", "spread", "label_accuracy", "student_accuracy"]]


def _means(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Means of the columns by task, name and third, over the seeds."""
    groups = table.groupby(["task", "name", "seed"], observed=True)["spread"]
    place = groups.transform(lambda spread: thirds(spread.to_numpy()[np.newaxis])[0])
    each = table.assign(third=place.map(dict(enumerate(THIRDS))))
    seeds = each.groupby(["task", "name", "third", "seed"], observed=True)[columns].mean()
    return seeds.groupby(["task", "name", "third"], observed=True).mean().reset_index()
