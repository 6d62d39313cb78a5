"""What watches the trainings of a study: the probe set scored by the weak model of the arm, and what is usual there."""

from __future__ import annotations

from w2s_pref.core.errors import W2SError
from w2s_pref.stages.model_stage import StartStage
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.watch import Watch
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.methods import Node


def watch_of(
    study: Study, name: str, node: Node, seed: int, reference: StartStage | PolicyStage | None
) -> Watch | None:
    """What watches the training of ``name``; None without a monitor, and for models that supervise or judge only.

    Args:
        reference: of a policy whose score has one.
    """
    config, weak = study.recipe.monitor, _weak_of(study, name)
    if config is None or weak is None:
        return None
    source = weak.removeprefix("ceiling/")
    known = (weak, seed) in study.trained or weak in study.pools or (source, seed) in study.judges
    if not (known or source in study.given):
        return None
    found, probe = study.recipe.method(node), study.rows["probe"]
    if found.online and config.action == "checkpoint":
        raise W2SError(
            f"monitor.action: checkpoint keeps what reward models and pair methods were at an alarm, but {node} is "
            "trained from rewards; use log or stop"
        )
    ceilings = [] if name.startswith("ceiling/") else [(f"ceiling/{node}", other) for other in study.recipe.seeds]
    envelope = tuple(
        (study.trained[key], study.scored(weak, probe, key[1])) for key in ceilings if key in study.trained
    )
    implicit = reference is not None and found.score == "implicit_reward"
    return Watch(
        config.model_dump(),
        probe,
        study.scored(weak, probe, seed),
        weak,
        envelope,
        study.logprobs(reference, probe, f"reference of {name}", seed) if implicit and reference else None,
        found.score if found.policy else "reward_model",
        found.beta,
    )


def _weak_of(study: Study, name: str) -> str | None:
    """The weak model of the arm that a training belongs to; of a ceiling the first such arm's; None: of no arm."""
    arm = name.rpartition("/")[0]
    if arm in study.chains:
        return f"ceiling/{study.chains[arm][0]}"
    if not name.startswith("ceiling/"):
        return None
    for weak, *others in study.chains.values():
        if name in {f"ceiling/{each}" for place in others for each in place.each}:
            return f"ceiling/{weak}"
    return None
