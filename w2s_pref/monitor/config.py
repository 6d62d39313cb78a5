"""The recipe's ``monitor`` section. No torch here: plans are checked without it."""

from __future__ import annotations

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
