"""The recipe: the few keys of this toolkit. Training arguments keep TRL's and transformers' own names."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from w2s_pref.core.strict import StudySection
from w2s_pref.data.config import DataConfig
from w2s_pref.labels.make import LabelConfig
from w2s_pref.losses.conflict import MIXED
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import ModelSpec
from w2s_pref.monitor.config import MonitorConfig
from w2s_pref.studies.preferences.chains import check_judges, check_names, check_supervision
from w2s_pref.studies.preferences.config import AnalysisConfig, BootstrapConfig, ConflictConfig, SpeechConfig
from w2s_pref.studies.preferences.folders import check_folders
from w2s_pref.studies.preferences.supervisors import SupervisorConfig
from w2s_pref.studies.recipe import refuse_unknown, training_problems
from w2s_pref.training.method_checks import method_problems
from w2s_pref.training.methods import ALGORITHMS, Method, MethodConfig, Node, method, node

#: Keys of a method that only say how it learns from weak labels; ground truth takes none of them.
SUPERVISED = ("labels", "loss", "patience", "raven")
#: A chain as a recipe writes it: nodes, and lists of nodes that supervise together.
Chain = list[str | list[str]]


class Recipe(StudySection):
    """One study."""

    data: DataConfig
    models: dict[str, ModelSpec]
    ladder: list[str] = Field(default_factory=list, description="models, smallest first: every weak < strong pair")
    arms: dict[str, Chain] = Field(
        default_factory=dict,
        description="name → chain of nodes (model or model@method), weakest first; a list in the place of a node pools "
        "several supervisors; in the first place labels:FILE or labels:file.py:function is a supervisor of your own, "
        "or a name of supervisors; empty: every pair of the ladder, else weak to strong, and once more through the "
        "models between them",
    )
    supervisors: dict[str, SupervisorConfig] = Field(
        default_factory=dict,
        description="name → a judge of arguments, see below, and [labels](labels.md#judges-of-arguments)",
    )
    methods: dict[str, MethodConfig] = Field(default_factory=dict, description="name → how a node is trained")
    students: list[str] = Field(
        default_factory=lambda: ["reward"], min_length=1, description="methods of last nodes that name none"
    )
    labels: LabelConfig = LabelConfig()
    loss: LossSpec = LossSpec()
    conflict: ConflictConfig = ConflictConfig()
    bootstrap: BootstrapConfig = BootstrapConfig()
    training: dict[str, Any] = Field(default_factory=dict, description="RewardConfig arguments; batch_size is global")
    speech: SpeechConfig = SpeechConfig()
    monitor: MonitorConfig | None = Field(None, description="watch every training on the probe split")
    analysis: AnalysisConfig = AnalysisConfig()

    @model_validator(mode="before")
    @classmethod
    def _expand_ladder(cls, value: Any) -> Any:
        """``models.ladder: [a, b, c]`` is short for naming each model and listing them in ``ladder``."""
        models = value.get("models") if isinstance(value, dict) else None
        if not isinstance(models, dict) or not isinstance(models.get("ladder"), list):
            return value
        specs = [{"path": item} if isinstance(item, str) else item for item in models["ladder"]]
        if not all(isinstance(spec, dict) and isinstance(spec.get("path"), str) for spec in specs):
            raise ValueError("models.ladder: a list of model paths, or of mappings with a path")
        names = [spec["path"].rstrip("/").rsplit("/", 1)[-1] for spec in specs]
        rest = {name: spec for name, spec in models.items() if name != "ladder"}
        return {**value, "models": {**dict(zip(names, specs, strict=True)), **rest}, "ladder": names}

    @model_validator(mode="after")
    def _names_fit(self) -> Recipe:
        chains: list[tuple[str, Chain]] = [("ladder", [*self.ladder])]
        for place, names in [*chains, *((f"arms.{n}", chain) for n, chain in self.arms.items())]:
            check_names(self, [node(name) for name in names], place)
        check_judges(self)
        if odd := [name for name in self.arms if "@" in name]:
            raise ValueError(f"arms: the name {odd[0]!r} holds '@', which stands between an arm and a method")
        if not self._raw_chains():
            raise ValueError("arms: name at least one chain, or call two models 'weak' and 'strong'")
        for name in self.students:
            refuse_unknown(name, [*ALGORITHMS, *self.methods], "students", "method")
        if len(set(self.students)) != len(self.students):
            raise ValueError("students names a method twice")
        for name, config in self.methods.items():
            if config.reference is not None:
                refuse_unknown(config.reference, self.models, f"methods.{name}.reference", "model")
        self._check_thresholds()
        self._check_placebos(self.analysis.placebos())
        if self.monitor is not None and self.data.overlong == "drop":
            raise ValueError(
                "monitor: data.overlong: drop may leave out pairs of the probe for one model and not for another; "
                "write overlong: truncate"
            )
        if self.speech.gold:
            refuse_unknown(self.speech.gold, self.models, "speech.gold", "model")
        for chain in self.chains().values():
            check_supervision(self, chain)
        check_folders(self.chains(), self.conflict.names, max(self.seeds))
        needs = MIXED & set(self.conflict.settings)
        if needs and self.data.conflict is None:
            raise ValueError(
                f"conflict.settings: {', '.join(sorted(needs))}: pairs of data.conflict are mixed in, and there are "
                "none; name them, or write conflict: {settings: [none]} for a study without conflicting data"
            )
        return self

    def _check_thresholds(self) -> None:
        """A threshold is that of a filter or of two stages, of all methods or of one."""
        own = {f"methods.{name}.labels": each.labels for name, each in self.methods.items() if each.labels is not None}
        read = {where: self.labels.under(each).confident for where, each in own.items()}
        read["labels"] = self.labels.confident or any(read.values())
        for where, each in {"labels": self.labels, **own}.items():
            if "threshold" in each.changed and not read[where]:
                raise ValueError(f"{where}.threshold: only filter and two_stage read it, and there is neither; drop it")

    def _check_placebos(self, names: list[str]) -> None:
        for name in names:
            refuse_unknown(name, self.models, "analysis.placebo", "model")
        for arm, chain in self.chains().items():
            if names and not set(names) - {each.model for each in chain[0].each}:
                raise ValueError(
                    f"analysis.placebo: {names[0]!r} is the weak model of arm {arm!r} itself; name another model that "
                    "knows other things (another architecture, say), or drop the key: the other seeds' weak models "
                    "serve"
                )

    def method(self, place: Node) -> Method:
        """How the node is trained."""
        return method(place.method, self.methods)

    def label_config(self, place: Node) -> LabelConfig:
        """How labels are made for what is trained there: the method's own keys over ``labels``."""
        return self.labels.under(self.method(place.each[0]).config.labels)

    def chains(self) -> dict[str, list[Node]]:
        """Every arm as nodes. A last node that names no method is trained by each of ``students``.

        Several supervisors are combined as the model that learns from them asks for.
        """
        found = {}
        for arm, names in self._raw_chains().items():
            chain = [node(name) for name in names]
            methods = [chain[-1].method] if "@" in names[-1] else self.students
            for name in methods:
                last = Node(chain[-1].model, name)
                full = arm if name == "reward" or "@" in names[-1] else f"{arm}@{name}"
                found[full] = self._combined([*chain[:-1], last])
        return found

    def _combined(self, chain: list[Node]) -> list[Node]:
        configs = [self.label_config(place) for place in chain[1:]]
        pooled = [
            place._replace(combine=config.combine, calibrate=config.calibrate) if place.members else place
            for place, config in zip(chain, configs, strict=False)
        ]
        return [*pooled, chain[-1]]

    def ends(self, arm: str) -> tuple[str, str]:
        """Weak and strong model of an arm, equal for arms that differ only by how the one supervises the other.

        Several supervisors count as the weak model of the first arm that has one of them in this place, a judge of
        arguments as itself without them, and methods that are the same on ground truth as one.
        """
        chains = self.chains()
        chain = chains[arm]
        judges = self.supervisors
        behind = [node(judges[each.model].judge) if each.model in judges else each for each in chain[0].each]
        weak = [each[0] for each in chains.values() if each[0] in behind]
        return str((weak or (behind if len(behind) == 1 else chain))[0]), str(self._alike(chain[-1]))

    def _alike(self, place: Node) -> Node:
        """The first method that is the same on ground truth."""

        def plain(name: str) -> tuple[str, dict[str, Any]]:
            found = method(method(name, self.methods).on_truth, self.methods)
            return found.algorithm, found.config.model_dump(exclude={"algorithm", *SUPERVISED})

        same = next(other for other in (*ALGORITHMS, *self.methods) if plain(other) == plain(place.method))
        return Node(place.model, same)

    def supervision(self, arm: str) -> str:
        """The arm's name without the method of its student."""
        return arm.rpartition("@")[0] or arm

    def _raw_chains(self) -> dict[str, Chain]:
        """Given arms, else all pairs of the ladder, else direct and (with a middle) bootstrapped."""
        if self.arms:
            return dict(self.arms)
        if self.ladder:
            return _ladder_arms(self.ladder)
        if {"weak", "strong"} <= set(self.models):
            middle = [name for name in self.models if name not in {"weak", "strong"}]
            chains: dict[str, Chain] = {"direct": ["weak", "strong"]}
            return {**chains, "bootstrapped": ["weak", *middle, "strong"]} if middle else chains
        return {}

    def problems(self) -> list[str]:
        """Sentences about training arguments that neither TRL nor transformers knows."""
        dropping = any(each.training.get("disable_dropout") is False for each in self.methods.values())
        training = {**self.training, "disable_dropout": False} if dropping else self.training
        return training_problems(self.models, training, "reward", "dpo") + method_problems(self.methods)


def _ladder_arms(ladder: list[str]) -> dict[str, Chain]:
    arms: dict[str, Chain] = {}
    for low in range(len(ladder)):
        for high in range(low + 1, len(ladder)):
            arms[f"direct:{ladder[low]}>{ladder[high]}"] = [ladder[low], ladder[high]]
            if high > low + 1:
                arms[f"bootstrapped:{ladder[low]}>{ladder[high]}"] = [*ladder[low : high + 1]]
    return arms
