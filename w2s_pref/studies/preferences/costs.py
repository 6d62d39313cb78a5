"""What every way of supervising costs: tokens of the student's training and of what supervises it, and seconds."""

from __future__ import annotations

from w2s_pref.core.references import short_name
from w2s_pref.engine.stage import Builder, Stage, ordered
from w2s_pref.results.trainings import ArmCost
from w2s_pref.stages.decoding import DecodedPolicy
from w2s_pref.stages.policies import PairPolicyStage, PolicyStage
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.study import Study


def costs(recipe: Recipe, study: Study, builder: Builder) -> list[ArmCost]:
    """What every way of supervising costs; nothing of one arm alone, or of chains of reward models alone."""
    nodes = [node for chain in study.chains.values() for node in chain]
    if len(study.chains) < 2 or all(node.model in recipe.models and node.method == "reward" for node in nodes):
        return []
    conflict = short_name(next((name for name in recipe.conflict.settings if name != "base"), "base"))
    names = {arm: f"{arm}/{conflict}" for arm in study.chains}
    return [
        _cost(arm, [_spent(study, builder, name, seed) for seed in recipe.seeds])
        for arm, name in names.items()
        if all((name, seed) in study.trained or (name, seed) in study.decoded for seed in recipe.seeds)
    ]


def _cost(arm: str, spent: list[dict[str, float | None]]) -> ArmCost:
    """Means over the seeds; none of what one seed does not know."""
    known = {name: [each[name] for each in spent] for name in spent[0]}
    means = {name: sum(filter(None, each)) / len(each) if None not in each else None for name, each in known.items()}
    return ArmCost.model_validate({"arm": arm, **means})


def _spent(study: Study, builder: Builder, name: str, seed: int) -> dict[str, float | None]:
    """Tokens and times of one student and of all that was built for it."""
    student = study.trained.get((name, seed)) or study.decoded[name, seed]
    built = [stage for stage in ordered([student]) if stage.kind != DecodedPolicy.kind]
    metas, own = {stage.key: builder.meta(stage) for stage in built}, {stage.key for stage in _own(student)}

    def total(what: str, keys: set[str]) -> float:
        return float(sum(metas[key].get(what, 0) for key in keys))

    processor = [meta.get("processor_seconds") for meta in metas.values()]
    return {
        "student_tokens": total("computed_tokens", own & set(metas)),
        "supervision_tokens": total("computed_tokens", set(metas) - own),
        "written_tokens": total("written_tokens", set(metas)),
        "seconds": total("seconds", set(metas)),
        "processor_seconds": None if None in processor else float(sum(filter(None, processor))),
    }


def _own(student: Stage) -> list[Stage]:
    """A student's training, and before it the start and the reference that only it needs."""
    before: list[Stage] = list(student.references) if isinstance(student, PairPolicyStage) else []
    if isinstance(student, PolicyStage) and isinstance(student.start, PolicyStage):
        before += _own(student.start)
    return [student, *before]
