"""What trainings read and write: labels joined by id, answers of every item, evaluations on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.build import Builder
from w2s_pref.stages.rewards_labels_scores import Stage
from w2s_pref.studies.generalization.stages import Split

#: The checkpoints of one training: the last one, the best by weak validation labels, the best by truth (an oracle).
SELECTIONS = ("final", "best_weak", "best_truth")


class Targets(NamedTuple):
    """Labels of the training items, P(y = 1), shape (n,); which of them are kept; labels of the validation items."""

    p: np.ndarray
    keep: np.ndarray
    validation_p: np.ndarray


def targets(builder: Builder, split: Split) -> Targets:
    """Labels of one training in the order of its items. Ground truth is read only where it is the label."""
    train, validation = split.train.frame, split.validation.frame
    if not isinstance(split.labels, Stage):
        everything = np.ones(len(train), dtype=bool)
        return Targets(train["truth"].to_numpy(float), everything, validation["truth"].to_numpy(float))
    labels = builder.table(split.labels).set_index("id")
    missing = [identity for identity in (*train["id"], *validation["id"]) if identity not in labels.index]
    if missing:
        raise W2SError(f"{split.labels.name}: no label for {len(missing)} items, such as {missing[0]}")
    own = labels.loc[train["id"]]
    keep = own["keep"].to_numpy(bool)
    if not keep.any():
        raise W2SError(f"{split.labels.name}: no item is left to train on; lower threshold, or drop the filter")
    return Targets(own["p"].to_numpy(float), keep, labels.loc[validation["id"], "p"].to_numpy(float))


def picked(builder: Builder, split: Split, ids: pd.Series) -> np.ndarray:
    """The ids under which these items' texts stand: their own, or ``ID|0`` and ``ID|1`` where a label picks a text."""
    own = ids.to_numpy(dtype=str)
    if split.pick is None:
        return own
    label = builder.table(split.pick).set_index("id")["p"].loc[ids].to_numpy() >= 0.5
    return np.char.add(own, np.where(label, "|1", "|0"))


def write_answers(folder: Path, ids: pd.Series, margins: dict[str, np.ndarray], curve: list[dict[str, float]]) -> None:
    """``table.parquet`` (id, a column of margins for every selection) and ``curve.parquet``.

    Raises:
        W2SError: a margin that is not a number.
    """
    table = pd.DataFrame({"id": ids.to_numpy(), **{name: margins[name] for name in SELECTIONS}})
    if not np.isfinite(table[list(SELECTIONS)].to_numpy(float)).all():
        raise W2SError("an answer is not a number; the training diverged: lower learning_rate")
    table.to_parquet(folder / "table.parquet", index=False)
    pd.DataFrame(curve).to_parquet(folder / "curve.parquet", index=False)


def sigmoid(margin: Any) -> np.ndarray:
    """P(y = 1) from z1 - z0."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(margin, dtype=float))))
