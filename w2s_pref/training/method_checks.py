"""What is wrong with the methods of a recipe: arguments no trainer knows, keys that a method would not read."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from w2s_pref.core.strict import nearest, sentences
from w2s_pref.training.arguments import check, drawn, merged
from w2s_pref.training.fields import Kind
from w2s_pref.training.methods import ALGORITHMS, Method, MethodConfig, method


def method_problems(methods: dict[str, MethodConfig]) -> list[str]:
    """Sentences about the trainer arguments of every method."""
    problems = []
    for name, config in methods.items():
        where = f"methods.{name}"
        found = method(name, methods)
        if not found.built_in and not config.algorithm:
            problems.append(f"{where}: say which algorithm it is; {nearest(name, list(ALGORITHMS))}")
        problems += _arguments(found, f"{where}.training")
        problems += check(config.sft, f"{where}.sft", "dpo")
        problems += check(config.negative, f"{where}.negative", "dpo")
        problems += _unread(found, where)
    return problems


def _arguments(found: Method, where: str) -> list[str]:
    if found.family == "ppo":
        return ppo_problems(found.config.training, where)
    kinds: dict[str, Kind] = {"reward": "reward", "rloo": "rloo", "grpo": "grpo"}
    kind = kinds.get(found.algorithm, "dpo")
    problems = check(found.config.training, where, kind)
    if found.family == "trl" and not problems:
        try:
            drawn(merged(found.config.training), kind)
        except ValueError as error:
            problems.append(f"{where}: {error}")
    return problems


def ppo_problems(arguments: dict[str, Any], where: str) -> list[str]:
    """Sentences about the arguments of PPO."""
    if "kl_coef" in arguments:
        return [f"{where}.kl_coef: not set here; set beta for the method"]
    from w2s_pref.training.ppo.settings import PPOSettings

    try:
        PPOSettings.model_validate(arguments)
    except ValidationError as error:
        return sentences(error, where)
    return []


def _unread(found: Method, where: str) -> list[str]:
    """Keys that this method would not read: a key without effect is an error, not a silence."""
    by_labels = not (found.online or found.decoding or found.mutual)
    rules = [
        (not by_labels, "gamma labels explicit options loss patience raven"),
        (found.mutual, "pre_stage"),
        (not found.mutual, "rounds sft_weight candidates keep negative"),
        (not found.online, "reward conflict_weight"),
        (found.decoding, "reference training"),
        (found.algorithm == "search", "score"),  # it ranks as the weak policy does
        (found.algorithm != "search", "beams successors chunk"),
        (found.built_in, "options"),
        (not found.policy, "beta gamma score explicit reference"),
        (found.family == "trl", "reference"),  # TRL's trainers load the reference from the policy's own folder
        (found.algorithm == "sft", "beta gamma pre_stage sft labels explicit raven"),
        (found.by_token, "gamma raven"),
        (found.algorithm == "sepo", "beta"),  # the authors' code has none
        (found.algorithm != "sepo", "share"),
        (found.algorithm == "ipo", "gamma"),  # its square has a target of its own, 1/2β
        (not found.pre_stage, "sft"),
    ]
    unread = {key for holds, keys in rules if holds for key in keys.split()} & found.config.changed
    return [f"{where}.{key}: {found.algorithm} does not read it; take it out" for key in sorted(unread)]
