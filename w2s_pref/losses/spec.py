"""Which loss a student is trained with, and its constants. No torch here: recipes are checked with this."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.strict import Section

LossName = Literal["soft_bce", "aux_confidence", "product", "kl", "entropy", "window"]

#: Every loss and the constants that it reads.
LOSSES: dict[str, tuple[str, ...]] = {
    "soft_bce": (),
    "aux_confidence": ("a_max", "warmup", "prior", "mode"),
    "product": ("alpha", "beta"),
    "kl": (),
    "entropy": ("a_max", "warmup"),
    "window": ("radius",),
}

#: Other names of the same thing: in the public code, and in the paper.
ALIASES = {"xent": "soft_bce", "naive": "soft_bce"}


class LossSpec(Section):
    """A loss by name. A constant that the loss does not read changes nothing."""

    name: LossName = Field(
        "soft_bce", description="loss of students; ceilings use soft_bce, which is also called xent and naive"
    )
    a_max: float = Field(
        0.5, ge=0.0, le=1.0, description="aux_confidence, entropy: final weight of the student's own opinion"
    )
    warmup: float = Field(
        0.2, ge=0.0, le=1.0, description="aux_confidence, entropy: share of training until a_max is reached"
    )
    prior: Literal["half", "mean"] = Field("half", description="aux_confidence: share hardened to 1: ½ or mean label")
    mode: Literal["paper", "openai"] = Field(
        "paper", description="aux_confidence: openai copies the warm-up and the threshold of OpenAI's code"
    )
    alpha: float = Field(1.0, gt=0.0, description="product: exponent of the label")
    beta: float = Field(1.0, ge=0.0, description="product: exponent of the student's own probability")
    radius: float = Field(
        0.15, gt=0.0, le=0.5, description="window: train where the student's confidence is < ½ + this"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("name") in ALIASES:
            return {**value, "name": ALIASES[value["name"]]}
        return value

    @property
    def ranks(self) -> bool:
        """True where the loss needs the student's margins on the whole effective batch before it trains on any."""
        return self.name == "aux_confidence" and self.a_max > 0

    def read(self) -> dict[str, Any]:
        """What the loss depends on: its name and the constants that it reads. Nothing for ``soft_bce``."""
        names = LOSSES[self.name]
        return self.model_dump(include={"name", *names}) if self.name != "soft_bce" else {}


def with_spec(values: dict[str, Any]) -> dict[str, Any]:
    """What a stage says of its loss, with ``student`` (``LossSpec.read``, where it is there) as a ``LossSpec``."""
    return {**values, "student": LossSpec.model_validate(values.get("student", {}))}
