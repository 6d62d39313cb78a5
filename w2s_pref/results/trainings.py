"""What a run trained, on what, and where it ran: curves, splits, models, provenance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from w2s_pref.results.estimates import Model


class MonitorAlarm(Model):
    """An alarm of the live monitor and what it did: log, checkpoint, stop, or a function's name."""

    step: int
    signal: str
    action: str
    statistic: str | None = None


class MonitorCurve(Model):
    """What the live monitor saw of one training: signals by step (null where undefined), alarms, share of the time.

    ``weak``: the weak model that the signals are about; a ceiling has a curve for each that it is compared with.
    ``fractions``: shares of the planned training at the steps, of one that ended early as well; empty in older files,
    where the last step stands for the end.
    """

    name: str
    seed: int
    steps: list[int]
    signals: dict[str, list[float | None]]
    fractions: list[float] = Field(default_factory=list)
    weak: str = ""
    alarms: list[MonitorAlarm] = Field(default_factory=list)
    cost: float | None = None

    @model_validator(mode="after")
    def _aligned(self) -> MonitorCurve:
        short = [name for name, values in self.signals.items() if len(values) != len(self.steps)]
        if short:
            raise ValueError(f"{self.name}: signal {short[0]!r} has not one value for each of {len(self.steps)} steps")
        return self


class Curve(Model):
    """Training loss of one training stage against optimizer steps; of on-policy training the mean reward."""

    name: str
    seed: int
    step: list[int]
    loss: list[float]
    quantity: Literal["loss", "reward"] = "loss"


class ArmCost(Model):
    """What one way of supervising costs: an arm's student without conflict and all that was built for it.

    Means over the seeds. ``student_tokens`` went through models in the student's training, fine-tuned start and
    reference included; ``supervision_tokens`` in everything else that it needs, from the supervisors' trainings to
    scored, relabelled and refined pairs; ``written_tokens`` were drawn one by one by arguers. ``seconds`` by the clock
    and ``processor_seconds`` of building all of it, whenever that was and whatever ran beside it; null where a stage
    was built by a version that did not measure it. What several arms share counts in each of them.
    """

    arm: str
    student_tokens: float
    supervision_tokens: float
    written_tokens: float
    seconds: float
    processor_seconds: float | None = None


class SplitInfo(Model):
    """What went into one split."""

    objective: str
    rows: int
    groups: int
    hash: str
    counts: dict[str, int] = Field(default_factory=dict)


class ModelInfo(Model):
    """One model of the recipe. ``parameters`` null where unknown; ``precision`` is a file's that was dequantised."""

    path: str
    parameters: int | None
    hash: str
    revision: str | None = None
    precision: str | None = None


class Provenance(Model):
    """Enough to run it again: command, versions, hashes, keys of the stages used.

    ``seconds`` is wall-clock time of building all stages, ``processor_seconds`` time of the processors meanwhile; null
    where a stage was built by a version that did not measure it.
    """

    command: str
    created: str
    seconds: float
    processor_seconds: float | None = None
    world_size: int
    versions: dict[str, str]
    machine: dict[str, str]
    stages: dict[str, str]
