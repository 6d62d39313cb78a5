"""What a run of the laboratory writes: results.json about itself, generalization.json with the numbers.

Undefined is null, with a sentence that says why.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_serializer, model_validator

from w2s_pref.results import estimates
from w2s_pref.results.estimates import Interval, Model
from w2s_pref.results.parts import Third
from w2s_pref.results.trainings import ModelInfo, Provenance, SplitInfo

LAB_SCHEMA: Final = 2


class Headline(Model):
    """One sentence for lists of runs."""

    headline: str


class LabResults(Model):
    """What a run of the laboratory says about itself."""

    kind: Literal["generalization"] = "generalization"
    schema_version: Literal[2] = LAB_SCHEMA
    name: str
    seeds: list[int]
    tasks: dict[str, dict[str, SplitInfo]]
    models: dict[str, ModelInfo]
    verdict: Headline
    recipe: dict[str, Any]
    provenance: Provenance


class Estimate(estimates.Estimate):
    """An estimate as this file writes it: ``value``, ``low``, ``high``, without seeds; a cell has its own note.

    ``low_in_seeds`` and ``high_in_seeds`` hold for other items and these very models; files of schema 1 have none.
    """

    @model_validator(mode="before")
    @classmethod
    def _read(cls, found: Any) -> Any:
        names = ("low", "high", "low_in_seeds", "high_in_seeds")
        if not isinstance(found, dict) or "value" not in found or not found.keys() <= {"value", *names}:
            return found
        low, high, low_in, high_in = (found.get(name) for name in names)
        return {
            "estimate": found["value"],
            "interval": None if low is None or high is None else (low, high),
            "interval_in_seeds": None if low_in is None or high_in is None else (low_in, high_in),
        }

    @model_serializer
    def _write(self) -> dict[str, float | None]:
        low, high = self.interval or (None, None)
        low_in, high_in = self.interval_in_seeds or (None, None)
        ends = {"low": low, "high": high, "low_in_seeds": low_in, "high_in_seeds": high_in}
        return {"value": self.estimate, **ends}

    @property
    def value(self) -> float | None:
        """The number itself."""
        return self.estimate

    @property
    def low(self) -> float | None:
        """Lower end of the interval."""
        return None if self.interval is None else self.interval[0]

    @property
    def high(self) -> float | None:
        """Upper end of the interval."""
        return None if self.interval is None else self.interval[1]


class Cell(Model):
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
    pgr_fieller: Interval | None
    pgr_auroc: Estimate
    agreement: dict[str, Estimate]
    inheritance: dict[str, Estimate]
    note: str | None
    weak_at_chance: bool


class Median(Model):
    """Over tasks: the median PGR of one chain and method, with the number of tasks that have a gap."""

    study: str
    chain: str
    method: str
    pgr: Estimate
    pgr_auroc: Estimate
    accuracy: dict[str, Estimate]
    tasks: int
    without_gap: int


class Selection(Model):
    """Over tasks: accuracy of one chain and method at the last step and at two best ones; the oracle read the truth."""

    chain: str
    method: str
    tasks: int
    final: Estimate
    best_weak: Estimate
    oracle_best_truth: Estimate
    gained: Estimate
    lost_to_oracle: Estimate


class Bar(Model):
    """Over tasks: the accuracy of one variant between its weak model's and its ceiling's, and over the reference's.

    ``over`` names the reference, null for itself; ``difference`` is null where the two are not of the same tasks.
    """

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


class Difficulty(Model):
    """Over tasks: accuracy on thirds of the test items, from those that the weak model finds easiest to the hardest."""

    chain: str
    variant: str
    tasks: int
    thirds: list[Estimate]


class Contrast(Model):
    """Over tasks, item by item: the accuracy of one method or chain minus that of another."""

    study: str
    chain: str
    method: str
    against: str
    tasks: int
    difference: Estimate
    strong_parameters: int | None


class Trend(Model):
    """How a share changes with the student's size: slope per tenfold parameters, over tasks."""

    weak: str
    method: str
    quantity: str
    sizes: list[int]
    values: list[Estimate]
    slope: Estimate


class CurvePoint(Model):
    """Means over tasks and seeds at one point of training; ``progress`` in [0, 1]."""

    progress: float
    weak_agreement: float | None
    truth_accuracy: float | None


class LearningCurve(Model):
    """Evaluations of one student (or variant) while it trained."""

    study: str
    chain: str
    method: str
    runs: int
    points: list[CurvePoint]


class SpreadPart(Model):
    """A third of the items by the spread of several supervisors: the standard deviation of their probabilities.

    ``difference``: where they disagree most minus where they disagree least. Thirds are cut seed by seed, of the
    labelled items for the labels, of the test items for ``spread`` (its mean there) and student.
    """

    task: str
    student: str
    part: Third | Literal["difference"]
    spread: float | None
    label_accuracy: Estimate
    student_accuracy: Estimate


class StudentWeights(Model):
    """How much a student believed each of its supervisors at the end of its last epoch; ``weights`` add up to 1."""

    task: str
    student: str
    seed: int
    supervisors: list[str]
    weights: list[float]


class LabBody(Model):
    """Everything the analysis computed."""

    schema_version: Literal[2] = LAB_SCHEMA
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
    disagreement: list[SpreadPart] = Field(
        default_factory=list, description="only there where several supervisors are combined"
    )
    supervisor_weights: list[StudentWeights] = Field(
        default_factory=list, description="only there where a method learns them (raven)"
    )
