"""Sections of the laboratory's recipe, and how its chains are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.strict import Section
from w2s_pref.labels.make import FilterName, LabelConfig, LabelerName
from w2s_pref.labels.noise import STRUCTURES, Structure
from w2s_pref.labels.supervisors import CombinationName
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import Head
from w2s_pref.studies.generalization.probes import Pooling
from w2s_pref.training.methods import RavenConfig
from w2s_pref.training.probe_settings import ProbeSettings

#: A chain as a recipe writes it: models, and lists of models that supervise together.
Written = list[str | list[str]]
#: The same in the graph; its last place is one model, the student.
Chain = tuple[str | tuple[str, ...], ...]


def members(place: str | Sequence[str]) -> tuple[str, ...]:
    """The models of one place of a chain."""
    return (place,) if isinstance(place, str) else tuple(place)


def chain_name(chain: Sequence[str | Sequence[str]]) -> str:
    """``a>b``, and ``(a, b)>c`` where several supervise together."""
    return ">".join(place if isinstance(place, str) else f"({', '.join(place)})" for place in chain)


def frozen(chain: Written) -> Chain:
    """A chain of a recipe as the graph has it."""
    return tuple(place if isinstance(place, str) else tuple(place) for place in chain)


class StudyConfig(Section):
    """Where a study runs."""

    tasks: list[str] = Field(default_factory=list, description="default: all")
    chains: list[Written] = Field(default_factory=list, description="weak, strong; default: every direct pair")
    method: str = Field("", description="of the student; default the first of students")


class SaliencyConfig(StudyConfig):
    """Five bars: probe on weak labels, on truth; fine-tuning on weak labels, then a probe on truth; on truth."""

    probe: str = Field(description="the method that probes")
    finetune: str = Field(description="the method that fine-tunes")

    @model_validator(mode="after")
    def _two_methods(self) -> SaliencyConfig:
        if self.method:
            raise ValueError("method: this study reads probe and finetune, not method; take it out")
        return self


class NoiseConfig(StudyConfig):
    """The supervisor's number of wrong labels, placed by six rules."""

    structures: list[Structure] = Field(list(STRUCTURES), min_length=1, description="which labels are wrong")


class EasyConfig(StudyConfig):
    """Ground truth of the items that the weak model finds easiest, against as many random ones."""

    share: float = Field(0.5, gt=0.0, lt=1.0, description="share of half B that counts as easy")


class TruncatedConfig(StudyConfig):
    """Weak supervisors that see only the first principal components of the student's own representation."""

    components: list[int] = Field(default_factory=lambda: [2, 8, 32], min_length=1)


class StudiesConfig(Section):
    """One entry a study; a study that is not named is not run."""

    bootstrapping: StudyConfig | None = Field(None, description="ladder chains through every middle model")
    saliency: SaliencyConfig | None = None
    noise: NoiseConfig | None = None
    imitation: StudyConfig | None = Field(None, description="the weak label stands in the student's input")
    easy_to_hard: EasyConfig | None = None
    truncated: TruncatedConfig | None = None


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
    ensemble: int = Field(1, ge=1, description="seeds of every supervisor whose combined probability is the label")
    combine: CombinationName = Field(
        "mean",
        description="how seeds, and supervisors in one place of a chain, give one probability, as labels.combine of a "
        "preference study",
    )
    raven: RavenConfig | None = Field(
        None, description="probe, finetune: learn with the student how much to believe each of them: rate, easy"
    )
    ground_truth: int = Field(0, ge=0, description="true labels among the weak ones")
    pre: PreConfig | None = Field(None, description="generative fine-tuning first; the ceiling gets it too")

    @model_validator(mode="after")
    def _go_together(self) -> MethodConfig:
        given = self.changed
        owners = {"head": "finetune", "pre": "finetune", "patience": "finetune", "pooling": "probe", "shots": "prompt"}
        for name, owner in owners.items():
            if name in given and self.algorithm != owner:
                raise ValueError(f"{name}: only algorithm {owner} reads it, but this is {self.algorithm}")
        if self.algorithm == "prompt" and (self.training or self.loss != LossSpec()):
            raise ValueError("training, loss: prompting trains nothing; drop them")
        if self.algorithm == "probe":
            ProbeSettings.model_validate(self.training)
        if self.raven is not None:
            self._weighs()
        labels = {"labels", "filter", "threshold", "two_stage", "ensemble", "combine", "ground_truth"}
        if self.algorithm == "prompt" and not self.shots and (unread := sorted(given & labels)):
            raise ValueError(f"{unread[0]}: shots is 0, so no label is read; show some examples, or drop it")
        if self.two_stage and self.filter != "none":
            raise ValueError("two_stage keeps confident labels itself; drop filter")
        if "threshold" in given and not self.label_config.confident:
            raise ValueError("threshold: only filter and two_stage read it, and there is neither; drop it")
        return self

    def _weighs(self) -> None:
        """What learned weights cannot be combined with."""
        if self.algorithm == "prompt":
            raise ValueError("raven: prompting trains nothing that weights could be learned with; drop it")
        if self.loss != LossSpec() or self.two_stage or self.ground_truth or self.labels != "soft":
            raise ValueError(
                "raven: the label it learns is a mean of the supervisors' probabilities, under loss xent in one stage; "
                "drop loss, labels, two_stage and ground_truth"
            )

    @property
    def on_truth(self) -> MethodConfig:
        """The same method where labels are ground truth: what ceilings and floors are trained with."""
        weak = {"loss", "labels", "filter", "threshold", "two_stage", "ensemble", "combine", "raven", "ground_truth"}
        return MethodConfig.model_validate({name: getattr(self, name) for name in self.model_fields_set - weak})

    @property
    def plain(self) -> bool:
        """Whether the weak labels are taken as they are: no filter, pool, true labels, or texts read before."""
        own = {"labels", "filter", "two_stage", "ensemble", "combine", "raven", "ground_truth", "pre"}
        return not own & self.changed

    @property
    def label_config(self) -> LabelConfig:
        """How scores of the supervisor become labels."""
        keep = "high_confidence" if self.two_stage else self.filter
        return LabelConfig(form=self.labels, filter=keep, threshold=self.threshold, combine=self.combine)


#: Which kinds of methods a study can work on: study → key → algorithms.
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "saliency": {"probe": ("probe",), "finetune": ("finetune",)},
    "noise": {"method": ("probe", "finetune", "prompt")},
    "imitation": {"method": ("probe", "finetune")},
    "truncated": {"method": ("probe",)},
}

#: What a study does not read of its method: it makes the labels itself, or trains one student on them as they are.
UNREAD: dict[str, tuple[str, ...]] = {
    "noise": ("filter", "two_stage", "ensemble", "ground_truth"),
    "imitation": ("two_stage", "ensemble", "ground_truth"),
    "truncated": ("two_stage", "ensemble", "ground_truth"),
}

Selection = Literal["final", "best_weak"]


class SizesConfig(Section):
    """Items of every split of a task: even numbers, half of them positive, cut by group."""

    gt: int = Field(500, ge=2, multiple_of=2, description="half A: ground truth for the weak supervisor")
    w2s: int = Field(500, ge=2, multiple_of=2, description="half B: weakly labelled, and truth for the ceiling")
    validation: int = Field(
        200, ge=2, multiple_of=2, description="labelled by the supervisor; picks the stopping point"
    )
    test: int = Field(500, ge=2, multiple_of=2, description="every number of the report")
    calibration: int = Field(
        0, ge=0, multiple_of=2, description="ground truth by which combine: accuracy weighs several supervisors"
    )

    @property
    def asked(self) -> dict[str, int]:
        """Splits that have items."""
        return {name: size for name, size in self if size}
