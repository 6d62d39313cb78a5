"""What a node is trained on: pairs with their labels, and what a conflict setting adds to pairs and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import short_name
from w2s_pref.losses import conflict
from w2s_pref.stages.labels import ConflictStage, Part
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.studies.preferences.check import check_vocabulary
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.arguments import merged, only
from w2s_pref.training.methods import Method, Node


@dataclass(frozen=True)
class Task:
    """What a node is trained on.

    ``target`` holds the pairs and their labels; ``supervisor`` is the name of the model that made these (empty: ground
    truth). ``conflict`` is None for all but final students. ``scale`` lengthens the training.
    """

    target: Part
    supervisor: str = ""
    conflict: str | None = None
    scale: float = 1.0

    @property
    def student(self) -> bool:
        """False for ceilings."""
        return bool(self.supervisor)


def conflict_parts(study: Study, task: Task, seed: int) -> tuple[Part, ...]:
    """Training parts of the student under one setting (spec: none, explicit, implicit, placebo, gold)."""
    setting, rows, labels = task.conflict, task.target.rows, task.target.labels
    if setting in study.recipe.conflict.own:
        return _own_parts(study, task, setting, seed)
    if setting in {None, "none", "explicit"}:
        return (Part(rows, labels, paid=setting == "explicit"),)
    target = Part(rows, "truth" if setting == "gold" else labels)
    return (target, Part(study.rows["conflict"], "random" if setting == "placebo" else "truth"))


def _own_parts(study: Study, task: Task, setting: str, seed: int) -> tuple[Part, ...]:
    """Training parts under a user's setting: the weak labels, paid by its term or beside the pairs that it labels."""
    asks = conflict.own(setting, study.base)
    if "pairs" not in asks:
        return (Part(task.target.rows, task.target.labels, paid="truth" in asks),)
    if "conflict" not in study.rows:
        raise W2SError(f"conflict.settings: {setting} labels pairs of data.conflict; name it, and give it rows")
    code, rows = conflict.CONFLICTS.code(setting, study.base), study.rows["conflict"]
    own_seed = seed if "seed" in asks else None
    title = f"{short_name(setting)} of {rows.name}{f' · seed {seed}' if 'seed' in asks else ''}"
    return (
        Part(task.target.rows, task.target.labels),
        Part(rows, ConflictStage(title, setting, code, rows, "truth" in asks, own_seed)),
    )


def loss_terms(study: Study, task: Task, used: Method) -> dict[str, Any]:
    """Terms of the student's loss beside the method's own; ceilings have none."""
    if not task.student:
        return {}
    recipe, student = study.recipe, (used.config.loss or study.recipe.loss).keyed(study.base)
    found: dict[str, Any] = {"student": student} if student else {}
    if task.conflict == "explicit":
        return found | {"alpha": recipe.conflict.alpha}
    if task.conflict in recipe.conflict.own and "pairs" not in conflict.own(task.conflict, study.base):
        term = {"name": task.conflict, "code": conflict.CONFLICTS.code(task.conflict, study.base)}
        return found | {"alpha": recipe.conflict.alpha, "term": term}
    return found


def scaled(arguments: dict[str, Any], task: Task) -> dict[str, Any]:
    """Training arguments, lengthened as the task asks for."""
    if task.scale == 1.0:
        return arguments
    return {**arguments, "num_train_epochs": arguments["num_train_epochs"] * task.scale}


def reference_of(study: Study, node: Node, seed: int, found: Method) -> StartStage | None:
    """The reference where the method names one: another model of the recipe, as it is, with the same vocabulary."""
    name = found.config.reference
    if name is None:
        return None
    check_vocabulary(study, f"methods.{found.name}.reference", study.models[node.model], study.models[name])
    return StartStage(f"{name} as it is", study.models[name], seed)


def pair_arguments(recipe: Recipe, node: Node, own: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a training on pairs of answers: the recipe's, the model's, and ``own`` over both."""
    layers = [only(layer, "dpo") for layer in (recipe.training, recipe.models[node.model].training)]
    return merged(*layers, own)


def reward_arguments(recipe: Recipe, node: Node) -> dict[str, Any]:
    """Arguments of a reward model's training: the recipe's, the model's, the method's."""
    layers = (recipe.training, recipe.models[node.model].training, recipe.method(node).config.training)
    return merged(*(only(layer, "reward") for layer in layers))


#: Methods whose loss reads the preferred answer alone.
ONE_ANSWER = frozenset({"sft", "wspo"})


def passes(recipe: Recipe, node: Node) -> tuple[float, float]:
    """How often a training reads its pairs, and what comes before it does: half where it reads one of two answers."""
    found = recipe.method(node)
    own = pair_arguments(recipe, node, found.config.training) if found.policy else reward_arguments(recipe, node)
    before = pair_arguments(recipe, node, found.config.sft)["num_train_epochs"] if found.pre_stage else 0.0
    half = 0.5 if found.algorithm in ONE_ANSWER else 1.0
    return half * own["num_train_epochs"], float(before / 2 if found.policy else before)
