"""Methods of the laboratory: how a model becomes a classifier, from which labels, with which loss. No torch here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.strict import Section
from w2s_pref.labels.make import FilterName, LabelConfig, LabelerName
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.classifier import Head
from w2s_pref.studies.generalization.probes import Pooling
from w2s_pref.training.methods import ProbeSettings

Algorithm = Literal["probe", "finetune", "prompt"]


class PreConfig(Section):
    """Generative fine-tuning before the classifier: language modelling on the training items' texts, labels unread."""

    training: dict[str, Any] = Field(default_factory=dict, description="training arguments of that fine-tuning")


class MethodConfig(Section):
    """One method of a recipe."""

    algorithm: Algorithm = Field("probe", description="probe (frozen model), finetune, or prompt (causal models)")
    head: Head = Field("zeros", description="finetune: how the two-output head starts")
    loss: LossSpec = LossSpec()
    training: dict[str, Any] = Field(default_factory=dict, description="probe settings, or trainer arguments")
    patience: int | None = Field(
        None, ge=1, description="finetune: evaluations without better agreement with the labels until it stops"
    )
    pooling: Pooling | None = Field(
        None, description="probe: which tokens are read; default last for decoders, mean for encoders"
    )
    shots: int = Field(0, ge=0, description="prompt: labelled examples in the prompt; 0: none, and no label is read")
    labels: LabelerName = Field("soft", description="form of the weak labels")
    filter: FilterName = "none"
    threshold: float = Field(0.75, ge=0.5, le=1.0, description="confidence that the filter and two_stage keep")
    two_stage: bool = Field(False, description="train on confident labels, re-label the rest, train on the union")
    ensemble: int = Field(1, ge=1, description="weak supervisors (seeds) whose mean probability is the label")
    ground_truth: int = Field(0, ge=0, description="true labels among the weak ones")
    pre: PreConfig | None = Field(None, description="generative fine-tuning first; the ceiling gets it too")

    @model_validator(mode="after")
    def _go_together(self) -> MethodConfig:
        given = self.model_fields_set
        owners = {"head": "finetune", "pre": "finetune", "patience": "finetune", "pooling": "probe", "shots": "prompt"}
        for name, owner in owners.items():
            if name in given and self.algorithm != owner:
                raise ValueError(f"{name}: only algorithm {owner} reads it, but this is {self.algorithm}")
        if self.algorithm == "prompt" and (self.training or self.loss != LossSpec()):
            raise ValueError("training, loss: prompting trains nothing; drop them")
        if self.algorithm == "probe":
            ProbeSettings.model_validate(self.training)
        if self.two_stage and self.filter != "none":
            raise ValueError("two_stage keeps confident labels itself; drop filter")
        return self

    @property
    def on_truth(self) -> MethodConfig:
        """The same method where labels are ground truth: what ceilings and floors are trained with."""
        weak = {"loss", "labels", "filter", "threshold", "two_stage", "ensemble", "ground_truth"}
        return MethodConfig.model_validate({name: getattr(self, name) for name in self.model_fields_set - weak})

    @property
    def label_config(self) -> LabelConfig:
        """How scores of the supervisor become labels."""
        keep = "high_confidence" if self.two_stage else self.filter
        return LabelConfig(form=self.labels, filter=keep, threshold=self.threshold)
