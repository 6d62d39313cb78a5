"""What a laboratory study found, as ``results.json`` holds it. Undefined is null, with a sentence that says why."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

LAB_SCHEMA = 1


class Base(BaseModel):
    """Unknown keys are errors: a page must not read what nobody wrote."""

    model_config = ConfigDict(extra="forbid")


class Estimate(Base):
    """A number with its 95 % interval; null where undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Cell(Base):
    """One comparison on one task: a weak model, a student of its labels, and the ceiling.

    ``pgr`` and ``pgr_auroc`` are null without a gap (``note`` says so). ``agreement`` and ``inheritance`` hold
    ``overall, supervisor_right, supervisor_wrong`` and ``inherited, corrected, new_errors``. ``weak_at_chance`` is True
    where the weak model's accuracy is not resolved above one half.
    """

    study: str
    task: str
    chain: str
    method: str
    weak: str
    student: str
    ceiling: str
    items: int
    seeds: int
    accuracy: dict[str, Estimate]
    auroc: dict[str, Estimate]
    ece: dict[str, Estimate]
    brier: dict[str, Estimate]
    gap: Estimate
    pgr: Estimate
    pgr_fieller: tuple[float, float] | None
    pgr_auroc: Estimate
    agreement: dict[str, Estimate]
    inheritance: dict[str, Estimate]
    note: str | None
    weak_at_chance: bool


class Median(Base):
    """Over tasks: the median PGR of one chain and method, with the number of tasks that have a gap."""

    study: str
    chain: str
    method: str
    pgr: Estimate
    pgr_auroc: Estimate
    accuracy: dict[str, Estimate]
    tasks: int
    without_gap: int


class Selection(Base):
    """Over tasks: accuracy of one chain and method at the last step and at two best ones; the oracle read the truth."""

    chain: str
    method: str
    tasks: int
    final: Estimate
    best_weak: Estimate
    oracle_best_truth: Estimate
    gained: Estimate
    lost_to_oracle: Estimate


class Bar(Base):
    """Over tasks: the accuracy of one variant between its weak model's and its ceiling's, and over the reference's."""

    study: str
    chain: str
    variant: str
    tasks: int
    weak: Estimate
    accuracy: Estimate
    ceiling: Estimate
    agreement: Estimate
    over: str | None
    difference: Estimate


class Difficulty(Base):
    """Over tasks: accuracy on thirds of the test items, from those that the weak model finds easiest to the hardest."""

    chain: str
    variant: str
    tasks: int
    thirds: list[Estimate]


class Contrast(Base):
    """Over tasks, item by item: the accuracy of one method or chain minus that of another."""

    study: str
    chain: str
    method: str
    against: str
    tasks: int
    difference: Estimate
    strong_parameters: int | None


class Trend(Base):
    """How a share changes with the student's size: slope per tenfold parameters, over tasks."""

    weak: str
    method: str
    quantity: str
    sizes: list[int]
    values: list[Estimate]
    slope: Estimate


class CurvePoint(Base):
    """Means over tasks and seeds at one point of training; ``progress`` in [0, 1]."""

    progress: float
    weak_agreement: float | None
    truth_accuracy: float | None


class LearningCurve(Base):
    """Evaluations of one student (or variant) while it trained."""

    study: str
    chain: str
    method: str
    runs: int
    points: list[CurvePoint]


class LabBody(Base):
    """Everything the analysis computed."""

    schema_version: int = LAB_SCHEMA
    settings: dict[str, Any]
    cells: list[Cell]
    medians: list[Median]
    selections: list[Selection]
    bars: list[Bar]
    difficulties: list[Difficulty]
    contrasts: list[Contrast]
    trends: list[Trend]
    curves: list[LearningCurve]
    verdict: list[str]
    warnings: list[str]
