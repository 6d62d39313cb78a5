"""Policies trained on rewards of their own answers, and how these rewards are put together from finished stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import locate
from w2s_pref.core.user_code import guarded
from w2s_pref.data.chat import as_answers
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.stages.labels import LabelStage, Scored
from w2s_pref.stages.model_stage import check_ppo, job_facts, work_folder, write_history
from w2s_pref.stages.policies import LogProbStage, PolicyScoreStage, PolicyStage
from w2s_pref.stages.rewards import ScoreStage
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.watch import copy_record, in_own_loop, monitor
from w2s_pref.training.methods import FOLDER, REWARDS

if TYPE_CHECKING:
    from w2s_pref.monitor import RiskMonitor
    from w2s_pref.stages.model_stage import Loaded
    from w2s_pref.training.rewards import RewardFunction


@dataclass(frozen=True)
class Reward:
    """One reward of on-policy training.

    ``source`` is a reward model or policy whose scores (on the training prompts' pairs) standardise it, the folder of a
    saved reward model, the name of a Python function, or "random". ``role`` says what it is for: "target", "conflict"
    (added with ``weight``) or "paid" (explicit conflict: the target's ground truth, whose badness is rewarded with
    ``weight``).
    """

    role: str
    source: Scored | str
    weight: float = 1.0
    code: str = ""


@dataclass(frozen=True, eq=False)
class OnlinePolicyStage(PolicyStage):
    """A policy trained on rewards of its own answers: PPO, RLOO, GRPO."""

    algorithm: Literal["ppo", "rloo", "grpo"]
    prompts: Rows
    labels: LabelStage | None
    rewards: tuple[Reward, ...]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Start, labels (their filter chooses the prompts), and the scores that standardise the rewards."""
        found: dict[str, Stage] = {
            f"reward{n}": r.source for n, r in enumerate(self.rewards) if isinstance(r.source, Scored)
        }
        return {**super().inputs, **found, **present(labels=self.labels)}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, algorithm, prompts, and the rewards' roles and weights."""
        rewards = [
            {
                "role": r.role,
                "weight": r.weight,
                "source": r.source if isinstance(r.source, str) else "",
                "code": r.code,
            }
            for r in self.rewards
        ]
        told = {"algorithm": self.algorithm, "prompts": self.prompts.texts, "rewards": rewards}
        if self.algorithm != "ppo":
            told["sampling"] = "of the recipe alone"  # before, the model's own generation_config.json had a say
            told |= {"routers": "no loss"} if "router_aux_loss_coef" in self.model.config else {}
        return {**super().payload, **told, **self.prompts.order}

    @property
    def rows(self) -> int:
        """Prompts."""
        return len(self.prompts)

    def check(self, processes: int) -> None:
        """See ``check_training`` and ``check_ppo``."""
        if self.algorithm == "ppo":
            check_ppo(self)
        super().check(processes)

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """A model folder, ``history.json``, and what the monitor saw."""
        builder.forget_models()
        prompts, longest = self._prompts(builder), self.tokens["max_length"]
        told = {"prompts": prompts, "reward": reward_function(builder, self), "max_length": longest}
        told |= job_facts(builder, self)
        model, tokenizer = self.start.load(builder, trainable=True)
        work = work_folder(builder, self)
        watched = monitor(builder, self.watch, [self.prompts], tokenizer, longest, work)
        if self.algorithm == "ppo":
            trained, done = model, self._fit_ppo(builder, (model, tokenizer), told, watched, folder)
        else:
            trained, done = None, self._fit_trl(builder, (model, tokenizer), told, watched, folder)
        done |= copy_record(watched, work, folder, builder.world.main)
        write_history(builder, folder, done.pop("history"))
        difference = self.check_saved(builder, trained, tokenizer, folder, self.prompts.frame)
        return {**done, "pairs": len(prompts), "reload_difference": difference}

    def _fit_ppo(
        self, builder: Builder, start: Loaded, told: dict[str, Any], watched: RiskMonitor | None, folder: Path
    ) -> dict[str, Any]:
        from w2s_pref.training.ppo.fit import PPOJob, fit_ppo
        from w2s_pref.training.ppo.settings import PPOSettings

        settings = PPOSettings.model_validate(self.arguments)
        reference = self.other.load(builder)[0] if self.other is not None else None
        job = PPOJob(settings=settings, reference=reference, **told)
        job.watch = in_own_loop(watched, settings.updates)
        return fit_ppo(*start, job, work_folder(builder, self), folder)

    def _fit_trl(
        self, builder: Builder, start: Loaded, told: dict[str, Any], watched: RiskMonitor | None, folder: Path
    ) -> dict[str, Any]:
        """TRL's trainers load policy and reference from a folder: the start's own, or one written for them."""
        from w2s_pref.models.policies import save_policy
        from w2s_pref.training.online import OnlineJob, fit_online

        work = work_folder(builder, self)
        if builder.world.main:
            save_policy(*start, work / "start", told["base_path"])
        builder.world.barrier()
        job = OnlineJob(arguments=self.arguments, trust_remote_code=self.model.spec.trust_remote_code, **told)
        job.monitor = watched
        algorithm: Literal["rloo", "grpo"] = "rloo" if self.algorithm == "rloo" else "grpo"
        return fit_online(algorithm, work / "start", start[1], job, work, folder)

    def _prompts(self, builder: Builder) -> pd.DataFrame:
        """Distinct prompts of the training pairs whose label the filter keeps."""
        frame = self.prompts.frame
        if self.labels is not None:
            labels = builder.table(self.labels)
            frame = frame[frame["id"].isin(labels.loc[labels["keep"], "id"])]
        frame = frame.drop_duplicates(["form", "prompt"])[["form", "prompt"]].reset_index(drop=True)
        if not len(frame):
            raise W2SError("no prompt is left (the label filter took them all)")
        return frame


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
    from w2s_pref.training import rewards

    folder = locate(place, builder.base)
    if folder is None:
        raise W2SError(f"there is no saved reward model at {place!r}")
    model, tokenizer = load_saved(folder, stage.model.spec.trust_remote_code)
    score = rewards.reward_model(model, tokenizer, stage.tokens["max_length"])
    values = np.concatenate([score(*as_answers(stage.prompts.frame, side)) for side in ("a", "b")])
    return rewards.standardised(score, float(values.mean()), float(values.std()))


def _scorer(builder: Builder, source: Scored) -> RewardFunction:
    """What gave the scores, as a function of any answer."""
    from w2s_pref.training import rewards

    if isinstance(source, ScoreStage):
        return rewards.reward_model(*source.model.load(builder), source.tokens["max_length"])
    assert isinstance(source, PolicyScoreStage)
    assert source.reference is not None  # the plan refuses other scores (studies.preferences.check)
    assert isinstance(source.logprobs, LogProbStage)
    policy, tokenizer = source.logprobs.policy.load(builder)
    reference, _ = source.reference.policy.load(builder)
    return rewards.implicit(policy, reference, tokenizer, source.beta, source.logprobs.tokens["max_length"])
