"""What a node is trained on: pairs with their labels, and what a conflict setting adds to pairs and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import short_name
from w2s_pref.losses import conflict
from w2s_pref.stages.labels import ConflictStage, Part
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.methods import Method


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
