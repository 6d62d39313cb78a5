"""Labels: which checkpoint's scores they come from, and what studies do to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.tables import digest
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.labels.combine import two_stage, united
from w2s_pref.labels.make import LABELERS, LabelConfig, make_labels
from w2s_pref.labels.noise import Structure, noise_labels, oracle_budget
from w2s_pref.labels.supervisors import combined
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.pooled import TIED, Several, scores_together, share_right
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Classified, sigmoid

#: The probability that several classifiers give together is at least so far from 0 and 1.
NEAREST = 1e-12


@dataclass(frozen=True, eq=False)
class ChosenStage(Several):
    """One selection of a classifier as raw scores, of several supervisors combined: what labels are made from.

    ``held`` are the items of known truth by which a combination weighs the supervisors, where it asks for them.
    """

    on_main: ClassVar[bool] = True
    models: tuple[Classified, ...]
    selection: str
    combine: str = "mean"
    code: str = ""
    held: Rows | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """The supervisors."""
        return {f"model{number}": model for number, model in enumerate(self.models)}

    @property
    def payload(self) -> dict[str, Any]:
        """Which of the checkpoints, the items, and how several are combined."""
        how = {} if self.combine == "mean" else {"combine": self.combine, "code": self.code}
        held = {} if self.held is None else {"held": [self.held.texts, self.held.truth]}
        return {"selection": self.selection, "rows": self.on.texts, **how, **held, **TIED.get(self.combine, {})}

    @property
    def count(self) -> int:
        """Supervisors."""
        return len(self.models)

    @property
    def each(self) -> dict[str, Any]:
        """Which of the checkpoints, and the items."""
        return {"selection": self.selection, "rows": self.on.texts}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Raw scores z1, z0 of one checkpoint; of several supervisors, of their combined p, and their ``spread``."""
        margins, told = self._margins(builder), {}
        if len(margins) > 1:
            shares = self._accuracies(margins)
            p = sigmoid(margins.to_numpy(float))
            raw = scores_together(margins.columns.tolist(), p, combined(self.combine, p, shares, builder.base), NEAREST)
            told = {} if shares is None else {"accuracies": shares.tolist()}
        else:
            own = margins.iloc[0].to_numpy(float)
            raw = pd.DataFrame({"id": margins.columns, "score_a": own / 2, "score_b": -own / 2})
        raw.to_parquet(folder / "table.parquet", index=False)
        return {"items": len(raw), "models": len(margins), **told}

    def probabilities(self, builder: Builder) -> tuple[list[str], Floats, list[float]]:
        """Ids (N,), each supervisor's P(y = 1), (S, N), and temperatures, which are 1."""
        margins = self._margins(builder)
        return margins.columns.tolist(), sigmoid(margins.to_numpy(float)), [1.0] * self.count

    def _margins(self, builder: Builder) -> pd.DataFrame:
        """Margins by supervisor (rows) and item (columns, in the first one's order)."""
        each = [builder.table(model).set_index("id")[self.selection] for model in self.models]
        return pd.DataFrame([margins.loc[each[0].index].to_numpy(float) for margins in each], columns=each[0].index)

    def _accuracies(self, margins: pd.DataFrame) -> Floats | None:
        """(S,) share of the held-out items that each supervisor gets right; None where none are held out."""
        if self.held is None:
            return None
        scores = [pd.DataFrame({"id": margins.columns, "score_a": own, "score_b": 0.0}) for own in margins.to_numpy()]
        return np.array([share_right(each, self.held.frame) for each in scores])


@dataclass(frozen=True, eq=False)
class AlteredLabels(Stage):
    """Labels that a study changed. ``rule`` says how; what else it reads is in ``scores`` and ``settings``.

    Rules: ``budget`` (some labels are true), ``two_stage`` (a first student re-labels what the filter left out),
    ``easy`` and ``part`` (ground truth of some items only), ``noise`` (the supervisor's number of errors elsewhere).
    Every rule but ``two_stage`` reads the ground truth of ``on``, and says so in its key. ``easy`` and ``part`` start
    from no labels: the ``validation`` items get their true ones.
    """

    kind: ClassVar[str] = "labels"
    on_main: ClassVar[bool] = True
    rule: Literal["budget", "two_stage", "easy", "part", "noise"]
    on: Rows
    labels: Stage | None
    scores: Scored | None = None
    validation: Rows | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def inputs(self) -> dict[str, Stage]:
        """The labels before, and the scores that say which ones are changed."""
        return present(labels=self.labels, scores=self.scores)

    @property
    def payload(self) -> dict[str, Any]:
        """Rule, items, and their ground truth where it is read."""
        return {
            "rule": self.rule,
            "rows": self.on.texts,
            "truth": None if self.rule == "two_stage" else self.on.truth,
            "validation": [self.validation.texts, self.validation.truth] if self.validation is not None else None,
            "settings": self.settings,
            "seed": self.seed,
        }

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Labels ``id, p, keep`` after one rule."""
        before = builder.table(self.labels) if self.labels is not None else None
        after = RULES[self.rule](builder, self, before)
        after.to_parquet(folder / "table.parquet", index=False)
        return {"items": len(self.on), "kept": int(after.loc[after["id"].isin(self.on.frame["id"]), "keep"].sum())}


def _hashed(stage: AlteredLabels) -> pd.Index:
    """Training items in an order that only the rule and the seed decide."""
    return pd.Index(sorted(stage.on.frame["id"], key=lambda identity: digest(stage.rule, str(stage.seed), identity)))


def _truth(stage: AlteredLabels) -> pd.Series:
    return stage.on.frame.set_index("id")["truth"].astype(float)


def _own(stage: AlteredLabels, labels: pd.DataFrame, change: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """The labels of the training items changed, all others (validation and test items) as they are."""
    mine = labels["id"].isin(stage.on.frame["id"])
    return pd.concat([change(labels[mine]), labels[~mine]], ignore_index=True)


def _budget(builder: Builder, stage: AlteredLabels, labels: pd.DataFrame) -> pd.DataFrame:
    """True labels for some items, kept whatever a filter said."""
    return _own(stage, labels, lambda own: oracle_budget(own, _truth(stage), stage.settings["items"], stage.seed))


def _two_stage(builder: Builder, stage: AlteredLabels, labels: pd.DataFrame) -> pd.DataFrame:
    """The first student labels what the filter left out, where it is confident; a labeler of the user's makes both."""
    assert stage.scores is not None
    scores = builder.table(stage.scores)
    p = sigmoid(scores["score_a"] - scores["score_b"])
    student = pd.DataFrame({"id": scores["id"], "p": p, "keep": True})
    form, threshold = stage.settings["form"], stage.settings["threshold"]

    def change(own: pd.DataFrame) -> pd.DataFrame:
        mine = scores["id"].isin(own["id"])
        if form not in LABELERS.builtin:
            sure = LabelConfig(form=form, filter="high_confidence", threshold=threshold)
            return united(own, make_labels(scores[mine], sure, base=builder.base)).reset_index(drop=True)
        after = two_stage(own, student[mine], threshold)
        return after if form == "soft" else after.assign(p=(after["p"] >= 0.5).astype(float))

    return _own(stage, labels, change)


def _noise(builder: Builder, stage: AlteredLabels, labels: pd.DataFrame) -> pd.DataFrame:
    """The supervisor's number of errors in other places."""
    frame = stage.on.frame
    oracle = pd.DataFrame({"truth": frame["truth"].to_numpy(), "length": frame["prompt"].str.len().to_numpy()})
    oracle.index = pd.Index(frame["id"])
    if stage.scores is not None:
        scores = builder.table(stage.scores).set_index("id").loc[frame["id"]]
        oracle["strong_margin"] = scores["score_a"] - scores["score_b"]
    structure: Structure = stage.settings["structure"]
    return _own(stage, labels, lambda own: noise_labels(structure, own, oracle, stage.seed))


def _true_labels(stage: AlteredLabels, kept: pd.Index) -> pd.DataFrame:
    """Ground truth of all items, ``kept`` ones to train on, and of the validation items."""
    assert stage.validation is not None
    frame = pd.concat([stage.on.frame, stage.validation.frame], ignore_index=True)
    keep = frame["id"].isin(kept) | frame["id"].isin(stage.validation.frame["id"])
    return pd.DataFrame({"id": frame["id"], "p": frame["truth"].astype(float), "keep": keep})


def _part(builder: Builder, stage: AlteredLabels, labels: None) -> pd.DataFrame:
    """Ground truth of a random share of the items, as many of each class."""
    return _true_labels(stage, _of_each_class(stage, pd.Series(range(len(stage.on)), index=_hashed(stage))))


def _easy(builder: Builder, stage: AlteredLabels, labels: None) -> pd.DataFrame:
    """Ground truth of the items whose true answer the scores favour most, as many of each class."""
    assert stage.scores is not None
    scores = builder.table(stage.scores).set_index("id").loc[stage.on.frame["id"]]
    sign = _truth(stage) * 2 - 1
    return _true_labels(stage, _of_each_class(stage, -(scores["score_a"] - scores["score_b"]) * sign))


def _of_each_class(stage: AlteredLabels, order: pd.Series) -> pd.Index:
    """The first share of each class by ``order``, ascending."""
    truth = _truth(stage)
    chosen: list[str] = []
    for label in (0.0, 1.0):
        own = order.loc[truth.index[truth == label]].sort_values(kind="stable")
        chosen += own.index[: max(1, round(len(own) * stage.settings["share"]))].tolist()
    return pd.Index(chosen)


RULES: dict[str, Callable[[Builder, AlteredLabels, Any], pd.DataFrame]] = {
    "budget": _budget,
    "two_stage": _two_stage,
    "easy": _easy,
    "part": _part,
    "noise": _noise,
}
