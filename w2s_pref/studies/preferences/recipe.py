"""The recipe: the few keys of this toolkit. Training arguments keep TRL's and transformers' own names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import Field, model_validator

from w2s_pref.core.strict import StudySection
from w2s_pref.data.config import DataConfig
from w2s_pref.labels.make import LabelConfig
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import ModelSpec
from w2s_pref.monitor.config import MonitorConfig
from w2s_pref.stages.arguments import TEMPLATED
from w2s_pref.stages.given import is_given
from w2s_pref.studies.preferences.config import AnalysisConfig, BootstrapConfig, ConflictConfig, SpeechConfig
from w2s_pref.studies.preferences.supervisors import PROMPTED, SupervisorConfig
from w2s_pref.studies.recipe import check_chain, refuse_signs, refuse_unknown, training_problems
from w2s_pref.training.methods import ALGORITHMS, ON_TRUTH, Method, MethodConfig, Node, method, method_problems, node

#: Keys of a method that only say how it learns from weak labels; ground truth takes none of them.
SUPERVISED = ("labels", "loss", "patience", "raven")
#: A chain as a recipe writes it: nodes, and lists of nodes that supervise together.
Chain = list[str | list[str]]
#: Supervisors below which Dawid and Skene's model has several solutions that fit the votes as well.
LEAST_VOTERS = 3


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
            places = [node(name) for name in names]
            if places:
                _check_pools(places, place)
                models = [each.model for found in places for each in found.each]
                given = [each.model for each in places[0].each if self._is_source(each)] if place != "ladder" else []
                check_chain(models, [*self.models, *given], place)
            for each in (each for found in places for each in found.each):
                self._check_method(each.method, place)
        self._check_judges()
        if odd := [name for name in self.arms if "@" in name]:
            raise ValueError(f"arms: the name {odd[0]!r} holds '@', which stands between an arm and a method")
        if not self._raw_chains():
            raise ValueError("arms: name at least one chain, or call two models 'weak' and 'strong'")
        for name in self.students:
            self._check_method(name, "students")
        if len(set(self.students)) != len(self.students):
            raise ValueError("students names a method twice")
        for name, config in self.methods.items():
            if config.reference is not None:
                refuse_unknown(config.reference, self.models, f"methods.{name}.reference", "model")
        if self.analysis.placebo is not None:
            self._check_placebo(self.analysis.placebo)
        if self.speech.gold:
            refuse_unknown(self.speech.gold, self.models, "speech.gold", "model")
        for chain in self.chains().values():
            self._check_supervisors(chain)
        needs = {"implicit", "placebo", "gold"} & set(self.conflict.settings)
        if needs and self.data.conflict is None:
            raise ValueError(
                f"conflict.settings: {', '.join(sorted(needs))}: pairs of data.conflict are mixed in, and there are "
                "none; name them, or write conflict: {settings: [none]} for a study without conflicting data"
            )
        return self

    def _check_placebo(self, name: str) -> None:
        refuse_unknown(name, self.models, "analysis.placebo", "model")
        if same := [arm for arm, chain in self.chains().items() if name in {each.model for each in chain[0].each}]:
            raise ValueError(
                f"analysis.placebo: {name!r} is the weak model of arm {same[0]!r} itself; name another model that "
                "knows other things (another architecture, say), or drop the key: the other seeds' weak models serve"
            )

    def _is_source(self, place: Node) -> bool:
        """Whether a node is no model that is trained, but labels that are given or a judge of arguments."""
        return is_given(place.model) or (place.model in self.supervisors and place.method == "reward")

    def _check_judges(self) -> None:
        """Names of supervisors, and the models that judge and argue."""
        refuse_signs(self.supervisors)
        if same := sorted(self.supervisors.keys() & self.models.keys()):
            raise ValueError(f"supervisors: {same[0]!r} is a model, too; chains could not tell them apart")
        for name, config in self.supervisors.items():
            where = f"supervisors.{name}"
            if not is_given(config.judge):
                judge = node(config.judge)
                refuse_unknown(judge.model, self.models, f"{where}.judge", "model")
                refuse_unknown(judge.method, [*ALGORITHMS, *self.methods, PROMPTED], f"{where}.judge", "method")
                if judge.method != PROMPTED and self.method(judge).policy:
                    raise ValueError(
                        f"{where}.judge: {judge} is a policy; a judge is a reward model, or MODEL@{PROMPTED}"
                    )
            if config.arguers not in {None, TEMPLATED}:
                refuse_unknown(str(config.arguers), self.models, f"{where}.arguers", "model")

    def _check_method(self, name: str, where: str) -> None:
        refuse_unknown(name, [*ALGORITHMS, *self.methods], where, "method")

    def _check_supervisors(self, chain: list[Node]) -> None:
        """What cannot be combined: adapters without a backbone to adapt, lengthened on-policy training."""
        for place in (each for found in chain for each in found.each if each.model in self.models):
            found = self.method(place)
            if found.policy and self.models[place.model].freeze_backbone:
                raise ValueError(f"models.{place.model}.freeze_backbone: a policy has no new head to train; drop it")
            if found.online and self.models[place.model].freeze_layers is not None:
                raise ValueError(
                    f"models.{place.model}.freeze_layers: {found.algorithm} trains all layers; drop it, or use lora"
                )
            if (found.online or found.decoding) and self.bootstrap.match_compute:
                raise ValueError(f"bootstrap.match_compute: the cost of {found.algorithm} is not known beforehand")
            if found.decoding:
                self._check_decoding(chain, place)
            if found.online and self.loss.name != "soft_bce" and place is chain[-1] and len(self.students) == 1:
                raise ValueError(f"loss.name {self.loss.name}: {found.algorithm} learns from rewards, not from labels")
        if first := [str(each) for each in chain[0].each if self.method(each).by_token]:
            raise ValueError(
                f"arms: {first[0]} stands first, but it learns from a weaker policy, not from ground truth; give it "
                f"another method, such as {ON_TRUTH}"
            )
        for before, place in pairwise(chain):
            found = self.method(place.each[0])
            if (before.members or before.model in self.supervisors) and any(self.method(e).online for e in place.each):
                raise ValueError(
                    f"arms: {place} learns from rewards of its own answers, which {before} cannot give: it "
                    "labels pairs; name one model in its place, or train the student on pairs"
                )
            if before.members and before.combine == "dawid_skene" and len(before.members) < LEAST_VOTERS:
                raise ValueError(
                    f"labels.combine: dawid_skene tells good supervisors from bad ones by who agrees with whom, which "
                    f"needs {LEAST_VOTERS} of them; {before} has {len(before.members)}"
                )
            self._check_token_rewards(before, place)
            if (found.online or found.decoding) and self.label_config(place).two_stage:
                raise ValueError(f"labels.two_stage: {found.algorithm} does not learn from labels")
            self._check_weights(before, place)
            if (refine := self.label_config(place).refine) is not None:
                refuse_unknown(refine.by, self.models, "labels.refine.by", "model")
                if found.online:
                    raise ValueError(f"labels.refine: {found.algorithm} learns from rewards, not from labels")
            configs = [self.label_config(each) for each in place.each]
            if len(configs) > 1 and (configs[0].two_stage or any(config != configs[0] for config in configs)):
                raise ValueError(
                    f"arms: the models of {place} learn the same labels of {before}, in one stage; give them methods "
                    "with the same labels, without two_stage"
                )

    def _check_token_rewards(self, before: Node, place: Node) -> None:
        """Methods that learn from token rewards need one policy that gives them."""
        for each in (each for each in place.each if self.method(each).by_token):
            given = is_given(before.model)
            if before.members or given or not self.method(before).policy:
                what = "several supervisors" if before.members else "given labels" if given else "a reward model"
                raise ValueError(
                    f"arms: {each} learns from what a policy says of every token over its reference, and {before} is "
                    f"{what}; write one policy in its place, such as weak@{ON_TRUTH}"
                )

    def _check_decoding(self, chain: list[Node], place: Node) -> None:
        """What guides a model that is not trained is one policy, and nothing else acts on it."""
        if place is not chain[-1]:
            raise ValueError(f"arms: {place} trains nothing, so it supervises nobody; put it at the end of a chain")
        if chain[-2].members or not self.method(chain[-2]).policy:
            raise ValueError(
                f"arms: {place} is guided by what training did to one weak policy, but {chain[-2]} before it is "
                f"{'several' if chain[-2].members else 'none'}; write {chain[-2].each[0].model}@{ON_TRUTH} there"
            )
        if others := [name for name in self.conflict.settings if name not in {"none", "base"}]:
            raise ValueError(
                f"conflict.settings: {', '.join(others)} would act on the training of {place}, which has none; write "
                "conflict: {settings: [none]}, and study conflicts in a recipe without it"
            )

    def _check_weights(self, before: Node, place: Node) -> None:
        """Where weights over supervisors are learned there are several, and the loss is the plain one."""
        for found in (self.method(each) for each in place.each if self.method(each).config.raven is not None):
            where = f"methods.{found.name}.raven"
            if not before.members:
                raise ValueError(f"{where}: it weighs several supervisors, but {before} is one; pool some in a list")
            if (found.config.loss or self.loss).name != "soft_bce" or self.label_config(place).two_stage:
                raise ValueError(f"{where}: the label it learns is that of loss soft_bce in one stage; drop the other")

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
        return training_problems(self.models, self.training, "reward", "dpo") + method_problems(self.methods)


def _check_pools(chain: list[Node], where: str) -> None:
    """Raise ValueError for a list in a chain that is no set of supervisors."""
    if chain[-1].members:
        raise ValueError(f"{where}: the last place is the student, which is one model; a list pools supervisors")
    for place in chain:
        if not place.members:
            if not place.model:
                raise ValueError(f"{where}: an empty list names no supervisor; write a model, or several")
            continue
        names = [str(each) for each in place.members]
        if len(names) == 1:
            raise ValueError(f"{where}: a list pools several supervisors, but [{names[0]}] has one; write {names[0]}")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"{where}: {twice[0]!r} stands twice among the supervisors {names}; its vote would count twice"
            )


def _ladder_arms(ladder: list[str]) -> dict[str, Chain]:
    arms: dict[str, Chain] = {}
    for low in range(len(ladder)):
        for high in range(low + 1, len(ladder)):
            arms[f"direct:{ladder[low]}>{ladder[high]}"] = [ladder[low], ladder[high]]
            if high > low + 1:
                arms[f"bootstrapped:{ladder[low]}>{ladder[high]}"] = [*ladder[low : high + 1]]
    return arms
