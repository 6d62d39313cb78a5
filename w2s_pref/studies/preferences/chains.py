"""What a recipe's chains can be made of: each sentence that refuses one says what to write instead."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

from w2s_pref.labels.make import LabelConfig
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import ModelSpec
from w2s_pref.stages.arguments import TEMPLATED
from w2s_pref.stages.given import is_given
from w2s_pref.studies.preferences.config import BootstrapConfig, ConflictConfig, SpeechConfig
from w2s_pref.studies.preferences.supervisors import PROMPTED, SupervisorConfig
from w2s_pref.studies.recipe import check_chain, check_pools, check_voters, check_weighed, refuse_signs, refuse_unknown
from w2s_pref.training.methods import ALGORITHMS, ON_TRUTH, Method, MethodConfig, Node, node


class Chained(Protocol):
    """What the checks read of a recipe."""

    @property
    def models(self) -> dict[str, ModelSpec]:
        """Name → model."""
        ...

    @property
    def supervisors(self) -> dict[str, SupervisorConfig]:
        """Name → judge of arguments."""
        ...

    @property
    def methods(self) -> dict[str, MethodConfig]:
        """Name → how a node is trained."""
        ...

    @property
    def students(self) -> list[str]:
        """Methods of last nodes that name none."""
        ...

    @property
    def speech(self) -> SpeechConfig:
        """What students write and how it is drawn."""
        ...

    @property
    def loss(self) -> LossSpec:
        """Of students whose method names none."""
        ...

    @property
    def training(self) -> dict[str, Any]:
        """Training arguments of all models."""
        ...

    @property
    def conflict(self) -> ConflictConfig:
        """The conflict settings."""
        ...

    @property
    def bootstrap(self) -> BootstrapConfig:
        """How chains are matched."""
        ...

    def method(self, place: Node) -> Method:
        """How the node is trained."""

    def label_config(self, place: Node) -> LabelConfig:
        """How labels are made for what is trained there."""


def check_names(recipe: Chained, chain: list[Node], where: str) -> None:
    """Raise ValueError for a place that names no model, no supervisor or no method.

    Args:
        where: the key that holds the chain; the ``ladder`` has models only.
    """
    if not chain:
        return
    check_pools([[str(each) for each in place.members] or str(place) for place in chain], where)
    given = [each.model for each in chain[0].each if _is_source(recipe, each)] if where != "ladder" else []
    check_chain([each.model for place in chain for each in place.each], [*recipe.models, *given], where)
    for place in chain:
        for each in place.each:
            refuse_unknown(each.method, [*ALGORITHMS, *recipe.methods], where, "method")


def _is_source(recipe: Chained, place: Node) -> bool:
    """Whether a node is no model that is trained, but labels that are given or a judge of arguments."""
    return is_given(place.model) or (place.model in recipe.supervisors and place.method == "reward")


def check_judges(recipe: Chained) -> None:
    """Raise ValueError for a judge or arguer that is no model, or a name that a chain could not tell from one."""
    refuse_signs(recipe.supervisors)
    if same := sorted(recipe.supervisors.keys() & recipe.models.keys()):
        raise ValueError(f"supervisors: {same[0]!r} is a model, too; chains could not tell them apart")
    for name, config in recipe.supervisors.items():
        where = f"supervisors.{name}"
        if not is_given(config.judge):
            judge = node(config.judge)
            refuse_unknown(judge.model, recipe.models, f"{where}.judge", "model")
            refuse_unknown(judge.method, [*ALGORITHMS, *recipe.methods, PROMPTED], f"{where}.judge", "method")
            if judge.method != PROMPTED and recipe.method(judge).policy:
                raise ValueError(f"{where}.judge: {judge} is a policy; a judge is a reward model, or MODEL@{PROMPTED}")
        if config.arguers not in {None, TEMPLATED}:
            refuse_unknown(str(config.arguers), recipe.models, f"{where}.arguers", "model")


def check_supervision(recipe: Chained, chain: list[Node]) -> None:
    """Raise ValueError for a chain whose places cannot be trained as asked, or not by what stands before them."""
    for place in (each for found in chain for each in found.each if each.model in recipe.models):
        _check_training(recipe, chain, place)
    if first := [str(each) for each in chain[0].each if recipe.method(each).by_token or recipe.method(each).mutual]:
        raise ValueError(
            f"arms: {first[0]} stands first, but it learns from a weaker policy, not from ground truth; give it "
            f"another method, such as {ON_TRUTH}"
        )
    for before, place in pairwise(chain):
        _check_supervisor(recipe, before, place)
        _check_policy_before(recipe, before, place)
        _check_labels(recipe, before, place)
        _check_weights(recipe, before, place)
    if recipe.method(chain[-1]).mutual:
        _check_no_conflict(recipe, chain[-1], "the labelled pairs of")


def _check_training(recipe: Chained, chain: list[Node], place: Node) -> None:
    """What one method cannot be combined with: a backbone without adapters, lengthened on-policy training."""
    found, model = recipe.method(place), recipe.models[place.model]
    if found.policy and model.freeze_backbone:
        raise ValueError(f"models.{place.model}.freeze_backbone: a policy has no new head to train; drop it")
    if found.online and model.freeze_layers is not None:
        raise ValueError(
            f"models.{place.model}.freeze_layers: {found.algorithm} trains all layers; drop it (lora in its "
            "place trains few weights, in every layer)"
        )
    if (found.online or found.decoding or found.mutual) and recipe.bootstrap.match_compute:
        raise ValueError(f"bootstrap.match_compute: the cost of {found.algorithm} is not known beforehand")
    arguments = (recipe.training, model.training, found.config.training, found.config.sft)
    if recipe.bootstrap.match_compute and any(each.get("max_steps", -1) > 0 for each in arguments):
        raise ValueError("bootstrap.match_compute lengthens epochs, and max_steps stands above them; drop one of them")
    if found.decoding:
        _check_decoding(recipe, chain, place)
    unread = (found.online or found.mutual) and recipe.loss.name != "soft_bce"
    if unread and place is chain[-1] and len(recipe.students) == 1:
        what = "rewards" if found.online else "what two policies write"
        raise ValueError(f"loss.name {recipe.loss.name}: {found.algorithm} learns from {what}, not from labels")


def _check_supervisor(recipe: Chained, before: Node, place: Node) -> None:
    """Several supervisors and judges of arguments label pairs; Dawid and Skene's model needs enough of them."""
    if (before.members or before.model in recipe.supervisors) and any(recipe.method(e).online for e in place.each):
        raise ValueError(
            f"arms: {place} learns from rewards of its own answers, which {before} cannot give: it "
            "labels pairs; name one model in its place, or train the student on pairs"
        )
    check_voters(before.combine, len(before.members), str(before), "labels.combine")


def _check_labels(recipe: Chained, before: Node, place: Node) -> None:
    """Ways of making labels fit what learns from them; several models in one place learn the same ones."""
    found, config = recipe.method(place.each[0]), recipe.label_config(place)
    if found.config.patience is not None and before.combine == "accuracy":
        raise ValueError(
            f"methods.{found.name}.patience: labels.combine: accuracy weighs the supervisors by the truth of the "
            "calibration pairs, whose labels would end the training; take another of the two"
        )
    if (found.online or found.decoding or found.mutual) and config.two_stage:
        raise ValueError(f"labels.two_stage: {found.algorithm} does not learn from labels")
    if found.mutual and config.filter != "none":
        raise ValueError(f"labels.filter: {found.algorithm} answers every prompt and reads no labels; take it out")
    if config.refine is not None:
        refuse_unknown(config.refine.by, recipe.models, "labels.refine.by", "model")
        if found.online or found.decoding or found.mutual:
            raise ValueError(f"labels.refine: {found.algorithm} does not learn from labels")
    configs = [recipe.label_config(each) for each in place.each]
    if len(configs) > 1 and (config.two_stage or any(other != configs[0] for other in configs)):
        raise ValueError(
            f"arms: the models of {place} learn the same labels of {before}, in one stage; give them methods "
            "with the same labels, without two_stage"
        )


def _check_policy_before(recipe: Chained, before: Node, place: Node) -> None:
    """Methods that learn from token rewards, or from answers, need one policy that gives them."""
    for each in place.each:
        found = recipe.method(each)
        if not (found.by_token or found.mutual):
            continue
        given, online = is_given(before.model), found.mutual and recipe.method(before).online
        if before.members or given or online or not recipe.method(before).policy:
            what = "several supervisors" if before.members else "given labels" if given else "a reward model"
            what = "trained from rewards, so that no pairs say what its negative agent learns" if online else what
            says = "writes" if found.mutual else "says of every token over its reference"
            raise ValueError(
                f"arms: {each} learns from what a policy {says}, and {before} is "
                f"{what}; write one policy in its place, such as weak@{ON_TRUTH}"
            )


def _check_decoding(recipe: Chained, chain: list[Node], place: Node) -> None:
    """What guides a model that is not trained is one policy, and nothing else acts on it."""
    if place is not chain[-1]:
        raise ValueError(f"arms: {place} trains nothing, so it supervises nobody; put it at the end of a chain")
    if chain[-2].members or not recipe.method(chain[-2]).policy:
        raise ValueError(
            f"arms: {place} is guided by what training did to one weak policy, but {chain[-2]} before it is "
            f"{'several' if chain[-2].members else 'none'}; write {chain[-2].each[0].model}@{ON_TRUTH} there"
        )
    if recipe.method(place).algorithm == "search" and recipe.speech.temperature == 0:
        raise ValueError(f"speech.temperature: at 0 {place}, a search, has one answer to choose from; set it above 0")
    _check_no_conflict(recipe, place, "the training of")


def _check_no_conflict(recipe: Chained, place: Node, what: str) -> None:
    if others := [name for name in recipe.conflict.settings if name not in {"none", "base"}]:
        raise ValueError(
            f"conflict.settings: {', '.join(others)} would act on {what} {place}, which has none; write "
            "conflict: {settings: [none]}, and study conflicts in a recipe without it"
        )


def _check_weights(recipe: Chained, before: Node, place: Node) -> None:
    """Where weights over supervisors are learned there are several, and the loss is the plain one."""
    for found in (recipe.method(each) for each in place.each if recipe.method(each).config.raven is not None):
        where = f"methods.{found.name}.raven"
        check_weighed(len(before.members), str(before), where)
        labels = recipe.label_config(place)
        if (found.config.loss or recipe.loss).name != "soft_bce" or labels.two_stage:
            raise ValueError(f"{where}: the label it learns is that of loss soft_bce in one stage; drop the other")
        if labels.form != "soft" or labels.refine is not None:
            other = "refine" if labels.refine is not None else f"form {labels.form}"
            raise ValueError(f"{where}: it weighs the supervisors' own probabilities, not labels.{other}; drop the one")
