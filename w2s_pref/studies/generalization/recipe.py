"""The laboratory's recipe: tasks in the place of preference data, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from w2s_pref.core.strict import Section, Seed, StudySection
from w2s_pref.data.tasks.config import TaskConfig
from w2s_pref.labels.make import FilterName, LabelConfig, LabelerName
from w2s_pref.labels.noise import STRUCTURES, Structure
from w2s_pref.labels.supervisors import CombinationName
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import Head, ModelSpec
from w2s_pref.studies.generalization.probes import Pooling
from w2s_pref.studies.recipe import ResamplingConfig, check_chain, refuse_signs, refuse_unknown, training_problems
from w2s_pref.training.arguments import check
from w2s_pref.training.probe_settings import ProbeSettings


class StudyConfig(Section):
    """Where a study runs."""

    tasks: list[str] = Field(default_factory=list, description="default: all")
    chains: list[list[str]] = Field(default_factory=list, description="weak, strong; default: every direct pair")
    method: str = Field("", description="of the student; default the first of students")


class SaliencyConfig(StudyConfig):
    """Five bars: probe on weak labels, on truth; fine-tuning on weak labels, then a probe on truth; on truth."""

    probe: str = Field(description="the method that probes")
    finetune: str = Field(description="the method that fine-tunes")


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
    ensemble: int = Field(1, ge=1, description="weak supervisors (seeds) whose combined probability is the label")
    combine: CombinationName = Field(
        "mean", description="how those give one probability, as labels.combine of a preference study"
    )
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
        if self.combine != "mean" and self.ensemble == 1:
            raise ValueError("combine: there is one supervisor; give ensemble a number of seeds")
        if self.combine == "accuracy":
            raise ValueError("combine: accuracy goes by held-out ground truth, which no method of the laboratory sees")
        return self

    @property
    def on_truth(self) -> MethodConfig:
        """The same method where labels are ground truth: what ceilings and floors are trained with."""
        weak = {"loss", "labels", "filter", "threshold", "two_stage", "ensemble", "combine", "ground_truth"}
        return MethodConfig.model_validate({name: getattr(self, name) for name in self.model_fields_set - weak})

    @property
    def label_config(self) -> LabelConfig:
        """How scores of the supervisor become labels."""
        keep = "high_confidence" if self.two_stage else self.filter
        return LabelConfig(form=self.labels, filter=keep, threshold=self.threshold, combine=self.combine)


#: Which kinds of methods a study can work on: study → key → algorithms.
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "saliency": {"probe": ("probe",), "finetune": ("finetune",)},
    "imitation": {"method": ("probe", "finetune")},
    "truncated": {"method": ("probe",)},
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


class TaskEntry(TaskConfig):
    """A task with its own sizes, where it has some."""

    sizes: SizesConfig | None = Field(None, description="of this task only; default the recipe's")


class AnalysisConfig(ResamplingConfig):
    """Choices of the analysis; none of them trains anything."""

    resamples: int = Field(1000, ge=100, description="bootstrap resamples over items and seeds")


class Recipe(StudySection):
    """One laboratory study."""

    tasks: dict[str, TaskEntry] = Field(min_length=1, description="names of tasks, or name → {task, path, sizes}")
    sizes: SizesConfig = SizesConfig()
    data_seed: Seed = Field(0, description="decides which group goes where")
    max_length: int = Field(256, ge=8, description="longest item in tokens; longer ones lose their start")
    models: dict[str, ModelSpec]
    ladder: list[str] = Field(default_factory=list, description="models, smallest first: every weak < strong pair")
    chains: list[list[str]] = Field(default_factory=list, description="weakest first; middle models are bootstrapped")
    inputs: Literal["same", "split"] = Field(
        "same", description="chains: every hop re-labels half B, or a slice of half B per hop"
    )
    methods: dict[str, MethodConfig] = Field(default_factory=lambda: {"probe": MethodConfig()})
    supervisor: str = Field("", description="method of weak and middle models; default the first one")
    students: list[str] = Field(default_factory=list, description="methods of the last model; default all of them")
    ceiling: Literal["w2s", "gt"] = Field(
        "w2s", description="ground truth of half B (the student's items), or of half A"
    )
    selection: Selection = Field("final", description="which model of a training counts; ground truth never picks it")
    training: dict[str, Any] = Field(default_factory=dict, description="trainer arguments of every fine-tuning")
    studies: StudiesConfig = StudiesConfig()
    analysis: AnalysisConfig = AnalysisConfig()

    @field_validator("tasks", mode="before")
    @classmethod
    def _as_mapping(cls, tasks: Any) -> Any:
        """``tasks: [boolq, cola]`` and ``boolq:`` without a value are short for ``boolq: {task: boolq}``."""
        if isinstance(tasks, list):
            if odd := [name for name in tasks if not isinstance(name, str)]:
                raise ValueError(f"a list holds names of tasks, but this holds {odd[0]!r}; write name: {{task: …}}")
            tasks = dict.fromkeys(tasks)
        if not isinstance(tasks, dict):
            return tasks
        return {
            name: {"task": name, **(given or {})} if isinstance(given, dict | None) else given
            for name, given in tasks.items()
        }

    @model_validator(mode="after")
    def _names_fit(self) -> Recipe:
        refuse_signs((*self.tasks, *self.models, *self.methods))
        for place, names in [("ladder", self.ladder), *((f"chains[{n}]", c) for n, c in enumerate(self.chains))]:
            if names:
                check_chain(names, self.models, place)
        if not self.ladder and not self.chains:
            raise ValueError("ladder: name the models smallest first (every pair is studied), or give chains")
        for name in (*self.students, *([self.supervisor] if self.supervisor else [])):
            refuse_unknown(name, self.methods, "supervisor" if name not in self.students else "students", "method")
        self._supervisor_trains()
        self._studies_fit()
        return self

    def _studies_fit(self) -> None:
        """Names in studies must be the recipe's."""
        for name, study in self.studies:
            if study is None:
                continue
            methods = [value for key, value in study if key in {"method", "probe", "finetune"} and value]
            for noun, given, known in [
                ("task", study.tasks, list(self.tasks)),
                ("method", methods, list(self.methods)),
                ("model", [model for chain in study.chains for model in chain], list(self.models)),
            ]:
                for each in given:
                    refuse_unknown(each, known, f"studies.{name}", noun)
            if odd := [chain for chain in study.chains if len(set(chain)) != 2 or len(chain) != 2]:
                raise ValueError(f"studies.{name}.chains: a chain here is a weak and a strong model; got {odd[0]}")
            self._study_can(name, study)
        study = self.studies.bootstrapping
        if study is not None and not any(self._passes(chain) for chain in study.chains or self.pairs()):
            raise ValueError(
                "studies.bootstrapping: no chain passes a model between its ends; name three models or more in ladder, "
                "or leave the study out"
            )

    def _passes(self, chain: Sequence[str]) -> bool:
        """Whether the ladder has models between the chain's ends."""
        places = [self.ladder.index(name) for name in chain if name in self.ladder]
        return len(places) == len(chain) == 2 and places[1] - places[0] > 1

    def _study_can(self, name: str, study: StudyConfig) -> None:
        """A study's methods must be of the kind that it works on."""
        for key, algorithms in NEEDS.get(name, {}).items():
            method = getattr(study, key) or self.student_methods[0]
            found = self.methods[method].algorithm
            if found not in algorithms:
                raise ValueError(
                    f"studies.{name}.{key}: {method!r} is a {found} method, and this study needs "
                    f"{' or '.join(algorithms)}; name another"
                )

    def _supervisor_trains(self) -> None:
        """A weak model needs nobody above it."""
        config = self.methods[self.weak_method]
        if config != config.on_truth:
            raise ValueError(
                f"supervisor: {self.weak_method!r} has settings for weak labels (loss, filter, ensemble, …), which a "
                "supervisor trained on ground truth does not read; name a plain method"
            )

    @property
    def weak_method(self) -> str:
        """Method of weak and middle models."""
        return self.supervisor or next(iter(self.methods))

    @property
    def student_methods(self) -> list[str]:
        """Methods of last models."""
        return self.students or list(self.methods)

    def pairs(self) -> list[tuple[str, ...]]:
        """Chains of the grid: given ones, and every pair of the ladder."""
        found = [tuple(chain) for chain in self.chains]
        found += [(low, high) for n, low in enumerate(self.ladder) for high in self.ladder[n + 1 :]]
        return list(dict.fromkeys(found))

    def problems(self) -> list[str]:
        """Sentences about training arguments that transformers does not know."""
        problems = training_problems(self.models, self.training, "reward")
        for name, config in self.methods.items():
            problems += check(config.training, f"methods.{name}.training") if config.algorithm == "finetune" else []
            problems += check(config.pre.training, f"methods.{name}.pre.training") if config.pre else []
        return problems
