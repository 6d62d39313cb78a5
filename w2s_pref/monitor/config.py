"""The recipe's ``monitor`` section, and how often the probe is scored. No torch here: plans are checked without it.

The schedule is decided by counts of tokens before training, so a run can be repeated. Backward takes about twice a
forward pass, so a training token costs three times a scored one. The probe set is scored in batches of similar length,
which makes the true cost lower than this estimate where training batches are padded.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Annotated, Literal

from pydantic import Field, field_validator

from w2s_pref.core.strict import Section
from w2s_pref.monitor.signals import LABEL_FREE, LABELLED


class MonitorConfig(Section):
    """Watch every training on the ``probe`` split. Alarms compare with the same node's ceilings, of 3 seeds or more."""

    every: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="steps between looks; auto: about 1.5 % of the training"
    )
    watch: list[str] = Field(default_factory=lambda: ["var"], min_length=1, description="signals that raise alarms")
    action: Literal["log", "checkpoint", "stop"] = Field("log", description="on an alarm")
    level: float = Field(1.0, gt=0.0, le=1.0, description="quantile of the reference runs' own maxima: the threshold")

    @field_validator("watch")
    @classmethod
    def _known(cls, watch: list[str]) -> list[str]:
        """Refuse here what would otherwise stop a study after its ceilings; loss has no value before training."""
        known = (*LABEL_FREE, *LABELLED)
        absent = [name for name in watch if name not in known]
        if absent:
            raise ValueError(f"no signal {absent[0]!r} to raise alarms; choose from {', '.join(known)}")
        return watch


#: Part of the training time that the monitor may take at its default settings.
BUDGET = 0.015
#: How many times the budget a short training may cost before that is said.
TOLERATED = 1.5
#: Forward passes a training token is worth.
TRAINING_FORWARDS = 3.0


def affordable_scorings(probe_tokens: float, step_tokens: float, steps: int, budget: float = BUDGET) -> int:
    """How many times the probe set can be scored within the budget, at least 0.

    Args:
        probe_tokens: tokens of the probe set, both answers.
        step_tokens: tokens of one optimizer step over all processes, both answers.
        steps: optimizer steps of the training.
        budget: share of the training's cost, above 0.
    """
    return floor(budget * TRAINING_FORWARDS * step_tokens * steps / probe_tokens)


def interval(probe_tokens: float, step_tokens: float, steps: int, budget: float = BUDGET) -> int:
    """Smallest number of steps between two looks that keeps within the budget; start and end are always scored."""
    count = affordable_scorings(probe_tokens, step_tokens, steps, budget)
    return steps if count < 3 else max(1, ceil(steps / (count - 1)))


def estimated_cost(probe_tokens: float, step_tokens: float, steps: int, every: int) -> float:
    """Estimated cost of scoring at the start, every ``every`` steps and at the end, over that of the training."""
    return (1 + ceil(steps / every)) * probe_tokens / (TRAINING_FORWARDS * step_tokens * steps)


def affordable_pairs(training_pairs: float, scorings: int = 11, budget: float = BUDGET) -> int:
    """Probe pairs that can be scored ``scorings`` times; ``training_pairs``, as long as they, counts all epochs."""
    return floor(budget * TRAINING_FORWARDS * training_pairs / scorings)
