"""The laboratory's recipe: tasks in the place of preference data, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from w2s_pref.core.references import short_name
from w2s_pref.core.strict import Seed, StudySection
from w2s_pref.data.tasks.config import TaskConfig
from w2s_pref.models.spec import ModelSpec
from w2s_pref.studies.generalization.config import (
    NEEDS,
    UNREAD,
    Chain,
    MethodConfig,
    Selection,
    SizesConfig,
    StudiesConfig,
    StudyConfig,
    Written,
    chain_name,
    frozen,
    members,
)
from w2s_pref.studies.recipe import (
    ResamplingConfig,
    check_chain,
    check_pools,
    check_voters,
    check_weighed,
    refuse_signs,
    refuse_unknown,
    training_problems,
)
from w2s_pref.training.arguments import check


class TaskEntry(TaskConfig):
    """A task with its own sizes, where it has some."""

    sizes: SizesConfig | None = Field(None, description="of this task only; what is left out is the recipe's")


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
    chains: list[Written] = Field(
        default_factory=list,
        description="weakest first; middle models are bootstrapped; a list in the place of a model pools several",
    )
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

    @model_validator(mode="before")
    @classmethod
    def _own_sizes(cls, raw: Any) -> Any:
        """What a task's own ``sizes`` leave out is as in the recipe's."""
        usual, tasks = (raw.get("sizes"), raw.get("tasks")) if isinstance(raw, dict) else (None, None)
        if not isinstance(usual, dict) or not isinstance(tasks, dict):
            return raw
        own = {
            name: {**given, "sizes": {**usual, **given["sizes"]}}
            for name, given in tasks.items()
            if isinstance(given, dict) and isinstance(given.get("sizes"), dict)
        }
        return {**raw, "tasks": {**tasks, **own}}

    @model_validator(mode="after")
    def _names_fit(self) -> Recipe:
        refuse_signs((*self.tasks, *self.models, *self.methods))
        chains: list[tuple[str, Written]] = [("ladder", [*self.ladder])]
        for place, names in [*chains, *((f"chains[{n}]", chain) for n, chain in enumerate(self.chains))]:
            if names or place != "ladder":
                check_pools(names, place)
                check_chain([each for node in names for each in members(node)], self.models, place)
        if not self.ladder and not self.chains:
            raise ValueError("ladder: name the models smallest first (every pair is studied), or give chains")
        for name in (*self.students, *([self.supervisor] if self.supervisor else [])):
            refuse_unknown(name, self.methods, "supervisor" if name not in self.students else "students", "method")
        self._supervisor_trains()
        self._combinations_fit()
        self._studies_fit()
        return self

    def _combinations_fit(self) -> None:
        """A combination needs several supervisors, Dawid and Skene's model enough of them."""
        pooled = any(len(members(place)) > 1 for chain in self._all_chains() for place in chain)
        for name in self.student_methods:
            config = self.methods[name]
            if config.combine != "mean" and config.ensemble == 1 and not pooled:
                raise ValueError(
                    f"methods.{name}.combine: there is one supervisor; give ensemble a number of seeds, or pool "
                    "several models in a list in chains"
                )
            for chain in self._all_chains():
                for number, place in enumerate(chain[:-1]):
                    seeds = config.ensemble if place is chain[-2] else 1
                    counts = [seeds * len(members(place)), *([len(members(place))] if number == 0 else [])]
                    for count in counts:  # the first place is also the floor, without an ensemble's seeds
                        check_voters(config.combine, count, chain_name([place]), f"methods.{name}.combine")
            if config.raven is not None and not any(self.suits(name, chain) for chain in self.pairs()):
                check_weighed(1, chain_name([self.pairs()[0][-2]]), f"methods.{name}.raven")

        called: dict[str, str] = {}
        for how in (self.methods[name].combine for name in self.student_methods):
            if called.setdefault(short_name(how), how) != how:
                both = f"{called[short_name(how)]!r} and {how!r} are both called {short_name(how)}"
                raise ValueError(f"methods: {both} in the tables; give one function another name")

    def suits(self, method: str, chain: Chain) -> bool:
        """Whether a method can train the last model of a chain: weights over supervisors need several."""
        config = self.methods[method]
        return config.raven is None or config.ensemble * len(members(chain[-2])) > 1

    def _all_chains(self) -> list[Chain]:
        """Those of the grid, and those that only a study names."""
        studies = [study for _, study in self.studies if study is not None]
        return [*self.pairs(), *(frozen(chain) for study in studies for chain in study.chains)]

    def _studies_fit(self) -> None:
        """Names in studies must be the recipe's."""
        for name, study in self.studies:
            if study is None:
                continue
            methods = [value for key, value in study if key in {"method", "probe", "finetune"} and value]
            for noun, given, known in [
                ("task", study.tasks, list(self.tasks)),
                ("method", methods, list(self.methods)),
                ("model", [n for chain in study.chains for place in chain for n in members(place)], list(self.models)),
            ]:
                for each in given:
                    refuse_unknown(each, known, f"studies.{name}", noun)
            for chain in study.chains:
                check_pools(chain, f"studies.{name}.chains")
                if len(chain) != 2 or chain[1] in members(chain[0]):
                    raise ValueError(f"studies.{name}.chains: a chain here is a weak and a strong model; got {chain}")
            self._study_can(name, study)
        study = self.studies.bootstrapping
        if study is not None and not any(self._passes(chain) for chain in study.chains or self.pairs()):
            raise ValueError(
                "studies.bootstrapping: no chain passes a model between its ends; name three models or more in ladder, "
                "or leave the study out"
            )

    def _passes(self, chain: Sequence[str | Sequence[str]]) -> bool:
        """Whether the ladder has models between the chain's ends."""
        places = [self.ladder.index(name) for name in chain if name in self.ladder]
        return len(places) == len(chain) == 2 and places[1] - places[0] > 1

    def _study_can(self, name: str, study: StudyConfig) -> None:
        """A study's methods must be of the kind that it works on."""
        for key, algorithms in NEEDS.get(name, {}).items():
            method = getattr(study, key) or self.student_methods[0]
            found = self.methods[method].algorithm
            if self.methods[method].raven is not None:
                raise ValueError(
                    f"studies.{name}.{key}: {method!r} learns weights over supervisors, which only the grid's students "
                    "do; name another"
                )
            if found not in algorithms:
                raise ValueError(
                    f"studies.{name}.{key}: {method!r} is a {found} method, and this study needs "
                    f"{' or '.join(algorithms)}; name another"
                )
            if unread := [each for each in UNREAD.get(name, ()) if each in self.methods[method].changed]:
                raise ValueError(
                    f"studies.{name}.{key}: {method!r} has {' and '.join(unread)}, which only the grid's students "
                    "read; name another"
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

    def pairs(self) -> list[Chain]:
        """Chains of the grid: given ones, and every pair of the ladder."""
        found = [frozen(chain) for chain in self.chains]
        found += [(low, high) for n, low in enumerate(self.ladder) for high in self.ladder[n + 1 :]]
        return list(dict.fromkeys(found))

    def problems(self) -> list[str]:
        """Sentences about training arguments that transformers does not know."""
        problems = training_problems(self.models, self.training, "reward")
        for name, config in self.methods.items():
            problems += check(config.training, f"methods.{name}.training") if config.algorithm == "finetune" else []
            problems += check(config.pre.training, f"methods.{name}.pre.training") if config.pre else []
        return problems
