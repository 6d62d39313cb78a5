"""Rewards of on-policy training and judges of answers, put together from finished stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import locate
from w2s_pref.core.user_code import guarded
from w2s_pref.stages.policies import JudgeStage, OnlinePolicyStage, PolicyScoreStage, Reward
from w2s_pref.stages.rewards_labels_scores import Scored, ScoreStage, TrainStage
from w2s_pref.training.methods import FOLDER, REWARDS

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder
    from w2s_pref.stages.judging import Oracle
    from w2s_pref.training.rewards import RewardFunction


def reward_function(builder: Builder, stage: OnlinePolicyStage) -> RewardFunction:
    """The reward of one on-policy training; each part in units of its own spread over the training pairs."""
    from w2s_pref.training import rewards

    main, *others = [(reward, _one(builder, reward, stage)) for reward in stage.rewards]
    if not others:
        return main[1]
    other, function = others[0]
    if other.role == "paid":
        return rewards.paid_for_harm(main[1], function, other.weight)
    return rewards.combined([(main[1], 1.0), (function, other.weight)])


def _one(builder: Builder, reward: Reward, stage: OnlinePolicyStage) -> RewardFunction:
    from w2s_pref.training import rewards

    if isinstance(reward.source, Scored):
        table = builder.table(reward.source)
        values = table[["score_a", "score_b"]].to_numpy(dtype=float)
        return rewards.standardised(_scorer(builder, reward.source), float(values.mean()), float(values.std()))
    if reward.source == "random":
        return rewards.random_reward(stage.seed)
    if reward.source.startswith(FOLDER):
        return _from_folder(builder, reward.source.removeprefix(FOLDER), stage)
    own = guarded(REWARDS.find(reward.source, builder.base), f"reward {reward.source!r}")
    return rewards.from_callable(own, reward.source)


def _from_folder(builder: Builder, place: str, stage: OnlinePolicyStage) -> RewardFunction:
    """A saved reward model, in units of its spread over the answers of the training pairs."""
    from w2s_pref.models.load import load_saved
    from w2s_pref.stages import judging
    from w2s_pref.training import rewards

    folder = locate(place, builder.base)
    if folder is None:
        raise W2SError(f"{stage.name}: there is no saved reward model at {place!r}")
    model, tokenizer = load_saved(folder, stage.model.spec.trust_remote_code)
    score = rewards.reward_model(model, tokenizer, stage.tokens["max_length"])
    values = np.concatenate([score(*judging.as_answers(stage.prompts.frame, side)) for side in ("a", "b")])
    return rewards.standardised(score, float(values.mean()), float(values.std()))


def _scorer(builder: Builder, source: Scored) -> RewardFunction:
    """What gave the scores, as a function of any answer."""
    from w2s_pref.stages.build_policy import load_start
    from w2s_pref.training import rewards

    if isinstance(source, ScoreStage):
        model, tokenizer = _reward_model(builder, source.model)
        return rewards.reward_model(model, tokenizer, source.tokens["max_length"])
    assert isinstance(source, PolicyScoreStage)
    assert source.reference is not None  # the plan refuses other scores (check_policy.check_supervisor)
    policy, tokenizer = load_start(builder, source.logprobs.policy, 0)
    reference, _ = load_start(builder, source.reference.policy, 0)
    return rewards.implicit(policy, reference, tokenizer, source.beta, source.logprobs.tokens["max_length"])


def _reward_model(builder: Builder, stage: TrainStage) -> tuple[Any, Any]:
    from w2s_pref.models.load import load_saved

    return load_saved(builder.artifact(stage).folder, stage.model.spec.trust_remote_code)


def judged_table(builder: Builder, stage: JudgeStage) -> pd.DataFrame:
    """One row an answer: ``id, group, sample, text, tokens, ended, logp, ref_logp`` and what every judge says of it.

    ``gold_target``, ``gold_conflict``: rewards by models trained on ground truth. ``oracle_target``,
    ``oracle_conflict``: the truth, where somebody knows it. ``refusal``, ``unparseable``: by the oracle or by phrases.
    """
    from w2s_pref.stages import judging
    from w2s_pref.training import rewards

    world = builder.world
    samples = builder.table(stage.samples)
    prompts = stage.samples.prompts.frame.reset_index(drop=True)
    mine = samples.iloc[world.rank :: world.size].reset_index(drop=True)
    judges = {}
    for role, gold in stage.gold.items():
        model, tokenizer = _reward_model(builder, gold)
        judges[f"gold_{role}"] = rewards.reward_model(model, tokenizer, gold.tokens["max_length"])
    found = judging.judge(mine, prompts, judges)
    found = judging.consult(found, prompts, _oracle(stage.oracle or "phrases", builder.base))
    found = found.rename(columns={value: f"oracle_{role}" for role, value in values_of(stage.helpful_first).items()})
    found["ref_logp"] = _under_reference(builder, stage, mine)
    for name in ("group", "id"):
        found.insert(0, name, prompts.loc[mine["row"], name].to_numpy())
    everyone = pd.concat(world.gather(found.drop(columns=["ids", "prompt_tokens"])))
    return everyone.sort_values(["row", "sample"]).drop(columns=["row"]).reset_index(drop=True)


def values_of(helpful_first: bool) -> dict[str, str]:
    """Which of an oracle's two values is the target and which the conflicting objective."""
    target, conflict = ("helpful", "harmless") if helpful_first else ("harmless", "helpful")
    return {"target": target, "conflict": conflict}


def _under_reference(builder: Builder, stage: JudgeStage, samples: pd.DataFrame) -> np.ndarray:
    """Log-probability of exactly these tokens under the reference; of a reference's own answers, what stands there."""
    from w2s_pref.models.generation import fit_prompts, prompt_room
    from w2s_pref.models.logprobs import logprob_ids

    if stage.samples.policy.key == stage.reference.key:
        return samples["logp"].to_numpy(dtype=float)
    model, tokenizer = builder.policy(stage.reference)
    settings, limit = stage.samples.settings, stage.samples.tokens["max_length"]
    room = prompt_room(model, limit, settings["max_new_tokens"])
    starts, _ = fit_prompts(stage.samples.prompts.frame, tokenizer, room)
    before = [starts[row] for row in samples["row"]]
    whole = [[*start, *ids] for start, ids in zip(before, samples["ids"], strict=True)]
    return logprob_ids(model, whole, [len(start) for start in before], tokenizer.pad_token_id)


def _oracle(name: str, base: Path) -> Oracle:
    from w2s_pref.stages import judging

    return guarded(judging.find_oracle(name, base), f"speech.oracle {name!r}")


def oracle_anchors(builder: Builder, oracle: str, frame: pd.DataFrame, helpful_first: bool) -> pd.DataFrame:
    """What the oracle says of both answers of every pair about the target objective: ``id, value_a, value_b``."""
    from w2s_pref.stages import judging

    truth, name = _oracle(oracle, builder.base), values_of(helpful_first)["target"]
    values = {}
    for side in ("a", "b"):
        asked, answers = judging.as_answers(frame, side)
        answered = pd.DataFrame({"row": range(len(answers)), "text": answers})
        values[f"value_{side}"] = judging.consult(answered, asked, truth)[name].to_numpy()
    return pd.DataFrame({"id": frame["id"].to_numpy(), **values})
