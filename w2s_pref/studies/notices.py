"""What a user is told of a recipe before it runs: the one place for ``w2s plan``, ``w2s run`` and jobs of a cluster."""

from __future__ import annotations

from w2s_pref.studies.folder import replaced
from w2s_pref.studies.kind import AnyOpened


def warnings_of(opened: AnyOpened) -> list[str]:
    """What should be known before a run: of the data, of models that are not here, of a run that would be replaced."""
    away = dict.fromkeys(facts.spec.path for facts in opened.study.models.values() if facts.folder is None)
    models = [
        f"not checked: model {path!r} is neither a local folder nor in the local hub cache; a run asks the hub for it: "
        f"where there is no network, run `hf download {path}` on a machine that has one, copy the folder and give its "
        "path"
        for path in away
    ]
    old = replaced(opened)
    return opened.notes + opened.prepared.notes + _rising(opened) + models + ([old] if old is not None else [])


def _rising(opened: AnyOpened) -> list[str]:
    """Trainings that end before their learning rate has risen to what the recipe says."""
    steps = {stage.name: stage.rising for stage in opened.stages if hasattr(stage, "rising")}
    short = {name: (of, warm) for name, (of, warm) in steps.items() if warm >= of}
    if not short:
        return []
    name, (of, warm) = next(iter(short.items()))
    return [
        f"{len(short):,} of {len(steps):,} trainings end before their learning rate has risen: {name} makes {of:,} "
        f"optimizer steps, and warmup_steps are {warm:,}; lower training.warmup_steps, or train longer"
    ]
