"""The laboratory's stages: representations, classifiers of every kind, and labels that something was done to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

from w2s_pref.core.tables import canonical, digest
from w2s_pref.models.info import ModelFacts
from w2s_pref.results.lab import LAB_SCHEMA
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.rewards_labels_scores import LabelStage, Rows, Scored, Stage, model_payload

Pooling = Literal["last", "mean", "first"]
Head = Literal["zeros", "normal", "unembedding"]

#: Where labels come from: ground truth, or a stage with a table ``id, p, keep``.
Labels = Stage | Literal["truth"]


@dataclass(frozen=True, eq=False)
class ActivationStage(Stage):
    """The last layer of a frozen model, pooled, for every item: computed once per model and items."""

    kind: ClassVar[str] = "activations"
    model: ModelFacts | FinetuneStage
    on: Rows
    pooling: Pooling | None
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The model, where it was fine-tuned here."""
        return {"model": self.model} if isinstance(self.model, Stage) else {}

    @property
    def payload(self) -> dict[str, Any]:
        """Model, texts (no ground truth), pooling, token limits."""
        model = None if isinstance(self.model, Stage) else model_payload(self.model)
        return {"model": model, "rows": self.on.texts, "pooling": self.pooling, "tokens": self.tokens}

    @property
    def rows(self) -> int:
        """Items."""
        return len(self.on)


@dataclass(frozen=True, eq=False)
class Split:
    """What one training learns from, and what picks its stopping point.

    ``labels`` cover the training and the validation items. ``pick`` is set where every item has two texts (ids
    ``ID|0`` and ``ID|1``) and a weak label says which of them is read.
    """

    train: Rows
    validation: Rows
    labels: Labels
    pick: LabelStage | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Label stages."""
        labels = {"labels": self.labels} if isinstance(self.labels, Stage) else {}
        return {**labels, **({"pick": self.pick} if self.pick is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Items, and the ground truth that is read.

        Ground truth of the training items only where it is the label. That of the validation items is always in: it
        marks the checkpoint ``best_truth``, an oracle that no label and no main table reads.
        """
        truth = self.train.truth if self.labels == "truth" else None
        return {
            "train": self.train.texts,
            "truth": truth,
            "validation": self.validation.texts,
            "oracle": self.validation.truth,
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


@dataclass(frozen=True, eq=False)
class ProbeStage(Classified):
    """A linear classifier on activations; ``components``: on their first principal components only.

    ``batches`` lists, by ``together``, the probes that are trained at once; each comes out as it would alone.
    """

    kind: ClassVar[str] = "probe"
    activations: ActivationStage
    components: int | None = None
    batches: dict[str, list[ProbeStage]] = field(default_factory=dict, repr=False)

    @cached_property
    def together(self) -> str:
        """Probes of one hash can be trained at once: same activations, same items, same settings but the loss."""
        settings = {name: value for name, value in self.settings.items() if name != "loss"}
        split, pick = self.split, self.split.pick.key if self.split.pick is not None else None
        items = [split.train.texts, split.validation.texts, split.validation.truth, self.on.texts, pick]
        return digest(self.activations.key, canonical([settings, self.components, items]))

    @property
    def inputs(self) -> dict[str, Stage]:
        """Activations and labels."""
        return {"activations": self.activations, **super().inputs}

    @property
    def payload(self) -> dict[str, Any]:
        """What is trained on, and how much of it is seen."""
        return {**super().payload, "components": self.components}


@dataclass(frozen=True, eq=False)
class FinetuneStage(Classified):
    """A whole model fine-tuned.

    ``pre`` is its generative fine-tuning; ``keep``: the final weights are saved, because another stage reads them;
    ``texts`` holds both texts of every item where a label picks one.
    """

    kind: ClassVar[str] = "finetune"
    head: Head
    loss: dict[str, Any]
    arguments: dict[str, Any]
    tokens: dict[str, Any]
    pre: PairPolicyStage | None = None
    keep: bool = False
    texts: Rows | None = None
    patience: int | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Labels, and the generatively fine-tuned model where there is one."""
        return {**super().inputs, **({"pre": self.pre} if self.pre is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Model, head, loss, arguments, and when it stops early."""
        more = {"model": model_payload(self.model), "head": self.head, "loss": self.loss, "tokens": self.tokens}
        told = {"texts": self.texts.texts} if self.texts is not None else {}
        early = {"patience": self.patience} if self.patience is not None else {}
        return {**super().payload, **more, "keep": self.keep, **told, **early}


@dataclass(frozen=True, eq=False)
class PromptStage(Classified):
    """A causal model that answers after labelled examples; nothing is trained."""

    kind: ClassVar[str] = "prompt"
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Labels, where examples are shown."""
        return super().inputs if self.settings["shots"] else {}

    @property
    def payload(self) -> dict[str, Any]:
        """Model and token limits; examples and seed only where examples are shown."""
        shown = super().payload if self.settings["shots"] else {"on": self.on.texts, "settings": self.settings}
        return {**shown, "model": model_payload(self.model), "tokens": self.tokens}


@dataclass(frozen=True, eq=False)
class ChosenStage(Scored):
    """One selection of a classifier as raw scores, averaged over several supervisors: what labels are made from."""

    models: tuple[Classified, ...]
    selection: str

    @property
    def inputs(self) -> dict[str, Stage]:
        """The supervisors."""
        return {f"model{number}": model for number, model in enumerate(self.models)}

    @property
    def payload(self) -> dict[str, Any]:
        """Which of the checkpoints, and the items."""
        return {"selection": self.selection, "rows": self.on.texts}


@dataclass(frozen=True, eq=False)
class AlteredLabels(Stage):
    """Labels that a study changed. ``rule`` says how; what else it reads is in ``scores`` and ``settings``.

    Rules: ``budget`` (some labels are true), ``two_stage`` (a first student re-labels what the filter left out),
    ``easy`` and ``part`` (ground truth of some items only), ``noise`` (the supervisor's number of errors elsewhere).
    Every rule but ``two_stage`` reads the ground truth of ``on``, and says so in its key. ``easy`` and ``part`` start
    from no labels: the ``validation`` items get their true ones.
    """

    kind: ClassVar[str] = "labels"
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
        labels = {"labels": self.labels} if self.labels is not None else {}
        return {**labels, **({"scores": self.scores} if self.scores is not None else {})}

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

    @property
    def rows(self) -> int:
        """Items."""
        return len(self.on)


@dataclass(frozen=True, eq=False)
class FinishStage(Stage):
    """All answers of a study → tables, and the body of its results. ``named``: (task, name, seed) → classifier."""

    kind: ClassVar[str] = "analysis"
    named: dict[tuple[str, str, int], Classified]
    tests: dict[str, dict[str, Rows]]
    cells: list[dict[str, Any]]
    settings: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Every classifier by its name."""
        return {f"{task} {name} {seed}": stage for (task, name, seed), stage in self.named.items()}

    @property
    def payload(self) -> dict[str, Any]:
        """Design, and the ground truth that everything is judged by."""
        return {
            "form": f"generalization {LAB_SCHEMA}",
            "tests": {task: [_judged(rows) for rows in splits.values()] for task, splits in self.tests.items()},
            "cells": self.cells,
            "settings": self.settings,
        }

    @property
    def rows(self) -> int:
        """Test items."""
        return sum(len(splits["test"]) for splits in self.tests.values())


def _judged(rows: Rows) -> list[str]:
    """Hashes of texts, ground truth and groups: intervals resample groups."""
    groups = sorted(zip(rows.frame["id"], rows.frame["group"], strict=True))
    return [rows.texts, rows.truth, digest(*(f"{identity}:{group}" for identity, group in groups))]
