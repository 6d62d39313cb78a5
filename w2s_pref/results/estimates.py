"""Numbers with their intervals, which every other part of ``results.json`` is made of.

A number that does not exist is ``null`` with a ``note`` that says why, never 0. Intervals are 95 %, over prompts and
training seeds where there are several seeds, over prompts alone where there is one; a second one is always over prompts
alone.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float]
#: One-sided level of a family of verdicts, after Holm's correction.
LEVEL: Final = 0.025


class Model(BaseModel):
    """Base of all parts: unknown fields are errors, so a report never reads a field nobody writes."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Estimate(Model):
    """A number, its intervals, and the value of each seed (null where undefined for that seed).

    ``interval`` holds for other prompts and, where ``over`` is "seeds", for other training seeds; ``interval_in_seeds``
    for other prompts and these very models. ``over`` is null where there is no interval, and in files of schema 1.
    """

    estimate: float | None
    interval: Interval | None = None
    interval_in_seeds: Interval | None = None
    over: Literal["seeds", "items"] | None = None
    seeds: list[float | None] = Field(default_factory=list)
    note: str | None = None

    def side(self, neutral: float = 0.0) -> int:
        """1 where the whole interval is above ``neutral``, -1 where below, 0 where it is not resolved."""
        if self.interval is None or self.interval[0] <= neutral <= self.interval[1]:
            return 0
        return 1 if self.interval[0] > neutral else -1


class Bin(Model):
    """One bar of a reliability diagram. Confidence and accuracy in [.5, 1]: max(p, 1-p) against how often right."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class Calibration(Model):
    """Calibration of max(p, 1-p) on the target test set, seeds pooled."""

    ece: Estimate
    brier: Estimate
    reliability: list[Bin]


class Performance(Model):
    """How one model does: accuracy on the target and on the conflicting test set, and its calibration."""

    accuracy: Estimate
    conflict_accuracy: Estimate | None = None
    calibration: Calibration
