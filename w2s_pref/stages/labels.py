"""Scores of pairs, the labels made from them, and the parts that trainings learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from w2s_pref.core.tables import certainty, orient
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.labels.combine import united
from w2s_pref.labels.make import ORACLE, LabelConfig, make_labels
from w2s_pref.stages.rows import Rows
from w2s_pref.training.methods import TAU

#: What a stage that labels anew says about it, among what the labels say about themselves.
REFINED = "refined"


@dataclass(frozen=True, eq=False)
class Scored(Stage):
    """Raw scores ``id, score_a, score_b`` of one model on one split, of any kind."""

    kind: ClassVar[str] = "scores"
    on: Rows

    @property
    def form(self) -> str:
        """Kind of score: a key of ``methods.TAU``. Scales are not comparable across kinds."""
        return "reward_model"


@dataclass(frozen=True, eq=False)
class LabelStage(Stage):
    """Labels ``id, p, keep`` from a supervisor's scores, and ``spread`` where several supervisors disagree.

    ``second`` labels the pairs that this one leaves out: the first student of two stages.
    """

    kind: ClassVar[str] = "labels"
    on_main: ClassVar[bool] = True
    scores: Scored
    config: LabelConfig
    calibration: Scored | None = None
    code: str = ""
    second: LabelStage | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Scores on the pairs to label and on the calibration slice where one is used; the second labels."""
        return present(scores=self.scores, calibration=self.calibration, second=self.second)

    @property
    def payload(self) -> dict[str, Any]:
        """Configuration, the source of a user's functions; ground truth only for the oracle filter."""
        return {
            "config": self.config.read(),
            "oracle": self.scores.on.truth if self._oracle else None,
            "calibration": self.calibration.on.truth if self.calibration is not None else None,
            **({"code": self.code} if self.code else {}),
        }

    @property
    def rows(self) -> int:
        """Pairs to label."""
        return len(self.scores.on)

    @property
    def _oracle(self) -> bool:
        return self.config.filter == ORACLE

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: the labels."""
        temperature = TAU[self.scores.form] if self.calibration is None else fitted(builder, self.calibration)
        truth = self.scores.on.frame.set_index("id")["truth"] if self._oracle else None
        scores = builder.table(self.scores)
        labels = make_labels(scores, self.config, temperature, truth, builder.base)
        if "spread" in scores:
            labels["spread"] = scores["spread"].to_numpy()
        if self.second is not None:
            other = builder.table(self.second).set_index("id").reindex(labels["id"])  # too long for it: not kept
            labels = united(labels, other.fillna({"p": 0.5, "keep": False}).reset_index())
        labels.to_parquet(folder / "table.parquet", index=False)
        told = {"pairs": len(labels), "kept": int(labels["keep"].sum()), "temperature": temperature}
        return told | {name: told_of for name, told_of in builder.meta(self.scores).items() if name == REFINED}


def fitted(builder: Builder, calibration: Scored) -> float:
    """The temperature at which scores of ground-truth pairs are most probable."""
    from w2s_pref.analysis.scores.calibration import fit_temperature

    frame = calibration.on.frame
    gaps = orient(builder.table(calibration), frame)
    known = certainty(frame)
    sure = None if known is None else np.asarray(known[gaps["id"]], dtype=np.float64)
    return float(fit_temperature(gaps["delta"].to_numpy(), sure))


@dataclass(frozen=True, eq=False)
class ConflictStage(Stage):
    """What a user's conflict setting says of the conflicting pairs. ``truth``, ``seed``: it asks for them."""

    kind: ClassVar[str] = "labels"
    on_main: ClassVar[bool] = True
    conflict: str
    code: str
    on: Rows
    truth: bool
    seed: int | None

    @property
    def payload(self) -> dict[str, Any]:
        """The function with its source, the texts, and the ground truth where it is read."""
        truth = self.on.truth if self.truth else None
        return {"conflict": self.conflict, "code": self.code, "rows": self.on.texts, "truth": truth, "seed": self.seed}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: the labels."""
        from w2s_pref.losses.conflict import extra_labels

        labels = extra_labels(self.conflict, builder.base, self.on.frame, self.seed or 0)
        labels.to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(labels), "kept": int(labels["keep"].sum())}


@dataclass(frozen=True, eq=False)
class Part:
    """Training pairs and where their labels come from.

    ``labels`` is "truth", "random", or a stage with labels. ``paid`` gives the loss the true sign (explicit conflict).
    ``reversed``: what the labels disprefer is preferred.
    """

    rows: Rows
    labels: Stage | str
    paid: bool = False
    reversed: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        """What decides the training, beside the label stage's key."""
        labels = self.labels if isinstance(self.labels, str) else "stage"
        seen = self.rows.truth if self.paid or labels == "truth" else None
        turned = {"reversed": True} if self.reversed else {}
        told = {"labels": labels, "truth": seen, "paid": self.paid, **turned}
        return {"rows": self.rows.texts, **told, **self.rows.order}


def label_inputs(parts: tuple[Part, ...]) -> dict[str, Stage]:
    """Label stages of the parts, as a training names them among its inputs, and what their pairs are made with."""
    labels = {f"labels{n}": part.labels for n, part in enumerate(parts) if isinstance(part.labels, Stage)}
    return labels | {f"{name}{n}": stage for n, part in enumerate(parts) for name, stage in part.rows.inputs.items()}
