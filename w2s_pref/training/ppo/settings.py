"""What a recipe says about PPO: TRL 1.12's names where it had them. No torch here: plans are checked without it."""

from __future__ import annotations

from math import ceil
from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.strict import Section

#: Furthest that one update's KL counts from its target (Ziegler et al. 2019, section 2.2).
KL_ERROR_CLIP = 0.2

#: Settings that change memory, files or when a run gives up, but no weight: in no stage's key.
NOT_IN_KEY = frozenset({"per_device_forward_batch_size", "save_steps", "kl_tolerance"})


class PPOSettings(Section):
    """PPO's settings. The learning rate falls linearly from its value at the first update to zero after the last.

    ``temperature`` is 1.0 and not TRL's 0.7, so that the KL is that of the policies themselves and not of sharpened
    ones. ``kl_tolerance``: where samples do come from the policy, a mean of n log-ratios with KL k has mean k and
    standard deviation sqrt(2k/n) (k small), so at z deviations it is at least -z²/2n, whatever k is: 1 nat is four
    deviations at 8 rollouts, more at the usual sizes. Below that, samples and log-probs disagree.
    """

    total_episodes: int = Field(4096, ge=1, description="rollouts in all; rounded up to whole updates")
    batch_size: int = Field(64, ge=2, description="rollouts per update, over all processes")
    num_ppo_epochs: int = Field(4, ge=1, description="passes over each update's rollouts")
    num_mini_batches: int = Field(1, ge=1, description="optimizer steps per pass")
    learning_rate: float = Field(3e-6, gt=0, description="AdamW's rate for the policy at the first update")
    value_learning_rate: float | None = Field(None, gt=0, description="the value model's rate; null: learning_rate")
    response_length: int = Field(53, ge=1, description="longest answer in tokens, its end included")
    temperature: float = Field(1.0, gt=0, description="sampling temperature; log-probs and KL are taken at it as well")
    gamma: float = Field(1.0, ge=0, le=1, description="discount per token")
    lam: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantage estimation")
    cliprange: float = Field(0.2, gt=0, description="how far the probability ratio counts from 1")
    cliprange_value: float = Field(0.2, gt=0, description="how far a value counts from the one at rollout")
    vf_coef: float = Field(0.1, ge=0, description="weight of the value loss")
    kl_coef: float = Field(0.05, ge=0, description="price of a nat of KL to the reference; where it starts if adapted")
    kl_target: float | None = Field(None, gt=0, description="KL per answer to steer kl_coef to; null: fixed kl_coef")
    kl_horizon: int = Field(10000, ge=1, description="rollouts over which kl_coef adapts (Ziegler et al. 2019)")
    kl_estimator: Literal["k1", "k3"] = Field("k1", description="k1: log-ratio; k3: lower variance, never negative")
    whiten_rewards: bool = Field(False, description="scale the token rewards of an update to variance one")
    missing_eos_penalty: float | None = Field(None, ge=0, description="taken off the score of an answer without an end")
    max_grad_norm: float | None = Field(1.0, gt=0, description="clip policy and value gradient, each; null: never")
    per_device_forward_batch_size: int = Field(64, ge=1, description="sequences in memory at once; changes no result")
    save_steps: int = Field(20, ge=1, description="updates from one checkpoint to the next")
    kl_tolerance: float = Field(1.0, gt=0, description="stop where the mean log-ratio of an update is below minus this")

    @model_validator(mode="after")
    def _go_together(self) -> PPOSettings:
        if self.batch_size % self.num_mini_batches:
            raise ValueError(
                f"batch_size {self.batch_size} is no multiple of num_mini_batches {self.num_mini_batches}; make it one"
            )
        if self.kl_target is not None and (self.kl_coef == 0 or KL_ERROR_CLIP * self.batch_size >= self.kl_horizon):
            raise ValueError(
                f"kl_target: kl_coef changes by up to {KL_ERROR_CLIP:g} * batch_size / kl_horizon of itself at each "
                "update; start it above 0, and give kl_horizon more rollouts, so that it stays there"
            )
        return self

    @property
    def updates(self) -> int:
        """Updates in all: rollout and its passes, each."""
        return ceil(self.total_episodes / self.batch_size)

    def keyed(self) -> dict[str, Any]:
        """The settings that change weights: what a stage's key contains."""
        return {name: value for name, value in self.model_dump().items() if name not in NOT_IN_KEY}
