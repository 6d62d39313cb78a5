"""The section ``supervisors`` of a recipe: judges of arguments that stand in a chain's first place."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.references import is_reference
from w2s_pref.core.strict import Section, Seed
from w2s_pref.labels.transcripts import Protocol, Transcripts
from w2s_pref.stages.arguments import TEMPLATED
from w2s_pref.stages.given import PREFIX, is_given

#: Method of a judge that is a causal model as it is, asked for its choice.
PROMPTED = "prompted"


class SupervisorConfig(Section):
    """A judge, and who argues before it."""

    judge: str = Field(
        description="a model (a reward model trained on gt); model@prompted (a causal model as it is, asked A or B); "
        "or labels:file.py:function"
    )
    protocol: Protocol = Field(
        "debate",
        description="debate (both answers are defended), consultancy (a or b at even odds), open_consultancy (what the "
        "arguer prefers), critique (of each answer), naive (nothing is said)",
    )
    arguers: str | None = Field(None, description="model that argues, as it is; templated: facts of the testbed")
    turns: int = Field(1, ge=1, le=3, description="of a debate between models: how often both speak")
    transcripts: Transcripts = Field(
        "own", description="what the judge reads: own; shuffled (another pair's) or blank (no content), the nulls"
    )
    trained_on: Literal["transcripts", "pairs"] = Field(
        "transcripts", description="of a reward model: trained on gt with transcripts in view, or without"
    )
    question: str = Field("Which answer is better?", min_length=1, description="what models are asked")
    max_new_tokens: int = Field(64, ge=1, description="longest argument of a model in tokens")
    temperature: float = Field(0.7, ge=0.0, description="of the arguers' sampling; 0 takes the most likely token")
    batch_size: int = Field(16, ge=1, description="arguments written together; each batch has a seed of its own")
    seed: Seed = Field(0, description="of the arguments, which all seeds of the study share")
    honest: float = Field(
        0.5, ge=0.0, le=1.0, description="of templated arguers: share that is true where a false claim would serve"
    )

    @property
    def sampling(self) -> dict[str, Any]:
        """How a model's arguments are drawn."""
        return self.model_dump(include={"max_new_tokens", "temperature", "batch_size"})

    @model_validator(mode="after")
    def _go_together(self) -> SupervisorConfig:
        if self.protocol != "naive" and self.arguers is None:
            raise ValueError(f"arguers: {self.protocol} needs somebody who speaks; name a model, or templated")
        if is_given(self.judge) and not is_reference(self.judge.removeprefix(PREFIX)):
            raise ValueError(
                f"judge: {self.judge} is a file, which reads no transcripts; name it in arms, or a function here"
            )
        if unread := sorted(self._unread() & self.changed):
            raise ValueError(f"{unread[0]}: not read by {self._kind()}; take it out")
        return self

    def _kind(self) -> str:
        return f"protocol {self.protocol}, arguers {self.arguers}, judge {self.judge}"

    def _unread(self) -> set[str]:
        """Keys without effect."""
        prompted, function = self.judge.endswith(f"@{PROMPTED}"), is_given(self.judge)
        templated, speaks = self.arguers == TEMPLATED, self.protocol != "naive"
        models = speaks and not templated
        read = {
            "arguers": speaks,
            "transcripts": speaks,
            "seed": speaks,
            "trained_on": speaks and not prompted and not function,
            "turns": models and self.protocol == "debate",
            "question": prompted or models,
            "max_new_tokens": models,
            "temperature": models,
            "batch_size": models,
            "honest": templated and self.protocol != "open_consultancy",
        }
        return {name for name, effect in read.items() if not effect}
