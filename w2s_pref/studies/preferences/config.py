"""Sections of the recipe that studies of preferences alone have: conflicts, hops, speech, the analysis."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from w2s_pref.analysis.preferences.metrics import METRICS
from w2s_pref.core.references import short_name
from w2s_pref.core.strict import Section, Seed
from w2s_pref.losses.conflict import CONFLICTS


class ConflictConfig(Section):
    """What acts on the last student beside the weak labels."""

    settings: list[Annotated[str, AfterValidator(CONFLICTS.checked)]] = Field(
        ["none", "explicit", "implicit"],
        description=f"which students are trained: {', '.join(CONFLICTS.builtin)}, or your own",
    )
    alpha: float = Field(0.5, ge=0.0, description="weight of the explicit conflict term, and of your own terms")
    match_updates: bool = Field(True, description="mixtures enlarge the batch, so every setting makes as many updates")

    @model_validator(mode="after")
    def _has_reference(self) -> ConflictConfig:
        if "none" not in self.settings:
            raise ValueError("settings needs 'none': the no-conflict student is the reference of every other one")
        if len(set(self.names)) != len(self.names):
            raise ValueError("settings names a conflict twice (of file.py:name the name counts)")
        return self

    @property
    def names(self) -> list[str]:
        """What tables call the settings."""
        return [short_name(text) for text in self.settings]

    @property
    def own(self) -> list[str]:
        """The user's settings."""
        return [text for text in self.settings if text not in CONFLICTS.builtin]


class BootstrapConfig(Section):
    """What the hops of a chain are trained on."""

    inputs: Literal["same", "split", "paper"] = Field(
        "same", description="same: every hop re-labels w2s; split: a slice of w2s per hop; paper: w2s and gt in turn"
    )
    match_compute: bool = Field(False, description="lengthen the last training so that all arms cost the same")


class SpeechConfig(Section):
    """How policies are judged by what they say on test prompts."""

    prompts: int = Field(200, ge=0, description="test prompts that every policy answers; 0: none")
    samples: int = Field(2, ge=1, description="answers to each prompt")
    temperature: float = Field(1.0, ge=0.0, description="of the sampling; 0 is greedy")
    max_new_tokens: int = Field(64, ge=1, description="longest answer in tokens")
    batch_size: int = Field(64, ge=1, description="answers generated at once; sampling is seeded by batch")
    gold: str = Field("", description="model of the gold reward models; default: the last of the first arm")
    oracle: str | None = Field(None, description="testbed, or your function as module:attr or file.py:attr")

    @model_validator(mode="after")
    def _one_greedy_answer(self) -> SpeechConfig:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"temperature 0 writes the same answer {self.samples} times; set samples: 1")
        return self


class AnalysisConfig(Section):
    """Choices of the analysis; none of them trains anything."""

    threshold: float = Field(0.75, gt=0.5, lt=1.0, description="T: probability above which an item counts as known")
    known_rule: Literal["gt_prob", "max_prob"] = "gt_prob"
    resamples: int = Field(2000, ge=100, description="bootstrap and permutation resamples")
    seed: Seed = 0
    placebo: str | list[str] | None = Field(
        None,
        description="unrelated weak model for the placebo gate, beside the other seeds' weak models; of several, each "
        "arm takes the first that its chain does not hold",
    )
    by: str | None = Field(None, description="column of your own by which students are shown: domain, source, topic")
    metrics: list[Annotated[str, AfterValidator(METRICS.checked)]] = Field(
        default_factory=list, description="your own numbers, one for each student"
    )

    def placebos(self) -> list[str]:
        """The models named for the placebo gate."""
        return [self.placebo] if isinstance(self.placebo, str) else list(self.placebo or ())

    @model_validator(mode="after")
    def _metrics_differ(self) -> AnalysisConfig:
        if len({short_name(text) for text in self.metrics}) != len(self.metrics):
            raise ValueError("metrics names one twice (of file.py:name the name counts)")
        return self
