"""The stages: what each is made from (its key) and how it is built. No torch is imported until one is built.

A key is the hash of the stage's kind and version, its own payload, and the keys of its inputs. Not in it: paths,
logging, workers, and how the effective batch is split.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import pandas as pd

from w2s_pref.core.tables import canonical, digest
from w2s_pref.labels.make import ORACLE, LabelConfig
from w2s_pref.models.info import ModelFacts


def rows_hash(frame: pd.DataFrame) -> str:
    """Hash of what a model may see of pairs: ids and texts, in any order. Ground truth is not in it."""
    columns = [frame[name].tolist() for name in ("id", "form", "prompt", "a", "b")]
    return digest(*sorted(digest(*row) for row in zip(*columns, strict=True)))


def truth_hash(frame: pd.DataFrame) -> str:
    """Hash of the ground truth of pairs, in any order."""
    return digest(*sorted(f"{i}={t}" for i, t in zip(frame["id"], frame["truth"].astype(int), strict=True)))


@dataclass(frozen=True, eq=False)
class Rows:
    """Pairs of one split, hashed once."""

    name: str
    frame: pd.DataFrame

    @cached_property
    def texts(self) -> str:
        """Hash without ground truth."""
        return rows_hash(self.frame)

    @cached_property
    def truth(self) -> str:
        """Hash of the ground truth."""
        return truth_hash(self.frame)

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, eq=False)
class Stage:
    """Base: a name for people, inputs, and a payload that the key hashes."""

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    name: str

    @property
    def inputs(self) -> dict[str, Stage]:
        """Stages this one reads."""
        return {}

    @property
    def payload(self) -> dict[str, Any]:
        """Everything else that decides the result."""
        return {}

    @property
    def rows(self) -> int:
        """Rows it works on, for the plan."""
        return 0

    @cached_property
    def key(self) -> str:
        """64 hex digits."""
        inputs = {name: stage.key for name, stage in self.inputs.items()}
        return digest(self.kind, str(self.version), canonical(self.payload), canonical(inputs))


@dataclass(frozen=True, eq=False)
class Part:
    """Training pairs and where their labels come from.

    ``labels`` is "truth", "random", or a stage with labels. ``paid`` gives the loss the true sign (explicit conflict).
    """

    rows: Rows
    labels: Stage | str
    paid: bool = False

    @property
    def payload(self) -> dict[str, Any]:
        """What decides the training, beside the label stage's key."""
        labels = self.labels if isinstance(self.labels, str) else "stage"
        seen = self.rows.truth if self.paid or labels == "truth" else None
        return {"rows": self.rows.texts, "labels": labels, "truth": seen, "paid": self.paid}


def model_payload(model: ModelFacts) -> dict[str, Any]:
    """What decides a model before training."""
    return {
        "weights": model.hash,
        "tokenizer": model.tokenizer_hash,
        **model.spec.model_dump(include={"dtype", "pad_token", "lora", "freeze_backbone", "trust_remote_code"}),
        "from_config": model.spec.from_config is not None,
        **({"quantization": model.spec.quantization} if model.spec.quantization is not None else {}),
    }


@dataclass(frozen=True, eq=False)
class Watch:
    """What watches a training: the probe, the weak model's scores on it, and the trainings that alarms compare with.

    ``weak_name`` is the model that supervises the arm (of a ceiling: the first arm it belongs to). ``envelope`` holds
    the ceilings of the same node, each with the weak model's scores of its own seed; with fewer than three there are
    no alarms. ``reference`` is the policy's reference on the probe, where its score has one.
    """

    config: dict[str, Any]
    probe: Rows
    weak: Scored
    weak_name: str
    envelope: tuple[tuple[Stage, Scored], ...]
    reference: Stage | None = None
    form: str = "reward_model"
    beta: float = 1.0

    @property
    def inputs(self) -> dict[str, Stage]:
        """Scores and trainings it reads."""
        found: dict[str, Stage] = {f"watched{n}": stage for n, (stage, _) in enumerate(self.envelope)}
        weak: dict[str, Stage] = {f"probe{n}": scores for n, (_, scores) in enumerate(self.envelope)}
        return {"probe": self.weak, **found, **weak, **({"probe reference": self.reference} if self.reference else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """The settings, the form of the watched scores, and the probe with its truth, which labelled signals show."""
        return {
            "version": 2,  # of what the monitor leaves in the artifact: 2 keeps the probe's margins
            "config": self.config,
            "form": self.form,
            "probe": [self.probe.texts, self.probe.truth],
        }


@dataclass(frozen=True, eq=False)
class TrainStage(Stage):
    """A reward model: base weights plus parts. No parts: the untrained model with its new head."""

    kind: ClassVar[str] = "model"
    version: ClassVar[int] = 2  # dropout is off in every architecture, OPT's too
    model: ModelFacts
    parts: tuple[Part, ...]
    seed: int
    arguments: dict[str, Any]
    keyed: dict[str, Any]
    loss: dict[str, Any]
    tokens: dict[str, Any]
    match_updates: bool = True
    watch: Watch | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Label stages of the parts, and what the monitor reads."""
        labels = {f"labels{n}": part.labels for n, part in enumerate(self.parts) if isinstance(part.labels, Stage)}
        return {**labels, **(self.watch.inputs if self.watch is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Model, data, arguments, loss, seed."""
        return {
            "model": model_payload(self.model),
            "parts": [part.payload for part in self.parts],
            "seed": self.seed,
            **({"arguments": self.keyed, "loss": self.loss, "tokens": self.tokens} if self.parts else {}),
            **({"match_updates": self.match_updates} if len(self.parts) > 1 else {}),
            **({"watch": self.watch.payload} if self.watch is not None else {}),
        }

    @property
    def rows(self) -> int:
        """Training pairs."""
        return sum(len(part.rows) for part in self.parts)


@dataclass(frozen=True, eq=False)
class Scored(Stage):
    """Raw scores ``id, score_a, score_b`` of one model on one split, of any kind."""

    kind: ClassVar[str] = "scores"
    on: Rows

    @property
    def form(self) -> str:
        """Kind of score: a key of ``methods.TAU``. Scales are not comparable across kinds."""
        return "reward_model"

    @property
    def rows(self) -> int:
        """Pairs to score."""
        return len(self.on)


@dataclass(frozen=True, eq=False)
class ScoreStage(Scored):
    """Raw scores of a reward model."""

    model: TrainStage
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The model."""
        return {"model": self.model}

    @property
    def payload(self) -> dict[str, Any]:
        """Texts (no ground truth) and token limits."""
        return {"rows": self.on.texts, "tokens": self.tokens}


@dataclass(frozen=True, eq=False)
class LabelStage(Stage):
    """Labels from a supervisor's scores."""

    kind: ClassVar[str] = "labels"
    scores: Scored
    config: LabelConfig
    calibration: Scored | None = None
    code: str = ""

    @property
    def inputs(self) -> dict[str, Stage]:
        """Scores on the pairs to label, and on the calibration slice where one is used."""
        extra = {"calibration": self.calibration} if self.calibration is not None else {}
        return {"scores": self.scores, **extra}

    @property
    def payload(self) -> dict[str, Any]:
        """Configuration, the source of a user's functions; ground truth only for the oracle filter."""
        oracle = self.config.filter == ORACLE
        return {
            "config": self.config.model_dump(exclude={"threshold"} if self.config.filter == "none" else set()),
            "oracle": self.scores.on.truth if oracle else None,
            "calibration": self.calibration.on.truth if self.calibration is not None else None,
            **({"code": self.code} if self.code else {}),
        }

    @property
    def rows(self) -> int:
        """Pairs to label."""
        return len(self.scores.on)


@dataclass(frozen=True, eq=False)
class ConflictStage(Stage):
    """What a user's conflict setting says of the conflicting pairs. ``truth``, ``seed``: it asks for them."""

    kind: ClassVar[str] = "labels"
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

    @property
    def rows(self) -> int:
        """Pairs to label."""
        return len(self.on)


@dataclass(frozen=True, eq=False)
class AnalyzeStage(Stage):
    """All scores and labels of a study → the body of its results. ``scores`` maps (model, seed, split) to a stage."""

    kind: ClassVar[str] = "analysis"
    version: ClassVar[int] = 3
    scores: dict[tuple[str, int, str], Scored]
    labels: dict[tuple[str, int], LabelStage]
    test: Rows
    conflict_test: Rows | None
    design: dict[str, Any] = field(default_factory=dict)
    judged: dict[tuple[str, int], Stage] = field(default_factory=dict)
    anchor: Scored | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Every score, label and judged-sample stage by name, and the gold scores of the test pairs."""
        scores: dict[str, Stage] = {f"score {m} {s} {t}": stage for (m, s, t), stage in self.scores.items()}
        labels: dict[str, Stage] = {f"label {name} {seed}": stage for (name, seed), stage in self.labels.items()}
        judged = {f"judged {name} {seed}": stage for (name, seed), stage in self.judged.items()}
        return {**scores, **labels, **judged, **({"anchor": self.anchor} if self.anchor is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Design, and the ground truth of everything that is judged."""
        judged = {stage.scores.on.name: stage.scores.on.truth for stage in self.labels.values()}
        groups = sorted(zip(self.test.frame["id"], self.test.frame["group"], strict=True))
        return {
            "design": self.design,
            "test": [self.test.texts, self.test.truth, digest(*(f"{i}:{g}" for i, g in groups))],
            "conflict_test": [self.conflict_test.texts, self.conflict_test.truth] if self.conflict_test else None,
            "labelled": judged,
        }

    @property
    def rows(self) -> int:
        """Items analysed."""
        return len(self.test)


def ordered(targets: list[Stage]) -> list[Stage]:
    """Every stage the targets need, inputs first, each key once."""
    seen: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key in seen:
            return
        for parent in stage.inputs.values():
            visit(parent)
        seen[stage.key] = stage

    for target in targets:
        visit(target)
    return list(seen.values())
