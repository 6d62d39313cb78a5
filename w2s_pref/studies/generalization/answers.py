"""What every classifier reads and writes: labels joined by id, answers to every item, evaluations on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage, payloads, present
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.labels import LabelStage, Scored
from w2s_pref.stages.members import Raven
from w2s_pref.stages.rows import Rows

#: Where labels come from: ground truth, or a stage with a table ``id, p, keep``.
Labels = Stage | Literal["truth"]
#: The checkpoints of one training: the last one, the best by weak validation labels, the best by truth (an oracle).
SELECTIONS = ("final", "best_weak", "best_truth")


@dataclass(frozen=True, eq=False)
class Split:
    """What one training learns from, and what picks its stopping point.

    ``labels`` cover the training and the validation items. ``pick`` is set where every item has two texts (ids
    ``ID|0`` and ``ID|1``) and a weak label says which of them is read. ``raven``: the training items' labels are a mean
    of several supervisors' whose weights are learned.
    """

    train: Rows
    validation: Rows
    labels: Labels
    pick: LabelStage | None = None
    raven: Raven | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Label stages."""
        raven = self.raven.inputs if self.raven is not None else {}
        return {**present(labels=self.labels if isinstance(self.labels, Stage) else None, pick=self.pick), **raven}

    @property
    def payload(self) -> dict[str, Any]:
        """Items, and the ground truth that is read.

        Ground truth of the training items only where it is the label. That of the validation items is always in: it
        marks the checkpoint ``best_truth``, an oracle that no label and no main table reads.
        """
        truth = self.train.truth if self.labels == "truth" else None
        return {
            "train": self.train.texts,
            **self.train.order,
            "truth": truth,
            "validation": self.validation.texts,
            "oracle": self.validation.truth,
            **payloads(raven=self.raven),
        }


@dataclass(frozen=True, eq=False)
class Classified(Scored):
    """A classifier trained on items, and its answers: margins z1 - z0 of every item at three points of the training.

    Its table has columns ``id, final, best_weak, best_truth``; ``curve.parquet`` holds the evaluations on the way.
    """

    kind: ClassVar[str] = "classifier"
    split: Split
    model: ModelFacts
    seed: int
    settings: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Labels."""
        return self.split.inputs

    @property
    def payload(self) -> dict[str, Any]:
        """Items, settings, seed."""
        return {"on": self.on.texts, "split": self.split.payload, "settings": self.settings, "seed": self.seed}

    @property
    def rows(self) -> int:
        """Training items."""
        return len(self.split.train)


class Targets(NamedTuple):
    """Labels of the training items, P(y = 1), shape (n,); which of them are kept; labels of the validation items."""

    p: Floats
    keep: Bools
    validation_p: Floats


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


def heard(builder: Builder, split: Split) -> pd.DataFrame | None:
    """What each of several supervisors says of the training items, a column each; None where no weights are learned."""
    if split.raven is None:
        return None
    return builder.table(split.raven.labels).set_index("id").loc[split.train.frame["id"]]


def picked(builder: Builder, split: Split, ids: pd.Series) -> np.ndarray:
    """The ids under which these items' texts stand: their own, or ``ID|0`` and ``ID|1`` where a label picks a text."""
    own = ids.to_numpy(dtype=str)
    if split.pick is None:
        return own
    label = builder.table(split.pick).set_index("id")["p"].loc[ids].to_numpy() >= 0.5
    return np.char.add(own, np.where(label, "|1", "|0"))


def write_answers(folder: Path, ids: pd.Series, margins: dict[str, Floats], curve: list[dict[str, float]]) -> None:
    """``table.parquet`` (id, a column of margins for every selection) and ``curve.parquet``.

    Raises:
        W2SError: a margin that is not a number.
    """
    table = pd.DataFrame({"id": ids.to_numpy(), **{name: margins[name] for name in SELECTIONS}})
    if not np.isfinite(table[list(SELECTIONS)].to_numpy(float)).all():
        raise W2SError("an answer is not a number; the training diverged: lower learning_rate")
    table.to_parquet(folder / "table.parquet", index=False)
    pd.DataFrame(curve).to_parquet(folder / "curve.parquet", index=False)


def sigmoid(margin: Any) -> Floats:
    """P(y = 1) from z1 - z0."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -np.asarray(margin, dtype=float))))
