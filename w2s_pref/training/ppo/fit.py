"""Fit one policy with PPO: from prompts and a reward function to a saved policy, resuming where it stopped."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import set_seed
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.errors import W2SError
from w2s_pref.models.load import save_policy
from w2s_pref.training.callbacks import Progress
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.settings import PPOSettings
from w2s_pref.training.ppo.trainer import Trainer, Watch
from w2s_pref.training.rewards import RewardFunction

log = logging.getLogger(__name__)


@dataclass
class PPOJob:
    """One PPO training.

    Attributes:
        prompts: prompts to answer, columns ``form`` and ``prompt``.
        reward: called with such rows and answers as text; one number each. It never sees token ids, so its models may
            have another tokenizer. Each process calls it with its own rows of an update.
        max_length: longest prompt and answer together, in tokens; the model's own limit counts as well.
        lora: ``peft.LoraConfig`` arguments of a new adapter, or None.
        watch: called with (updates done, policy), before the first update and after each; True ends the training.
        reference: the policy to stay near; None for the start itself (with a new adapter: the base below it).
    """

    prompts: pd.DataFrame
    reward: RewardFunction
    settings: PPOSettings
    seed: int
    max_length: int | None = None
    lora: dict[str, Any] | None = None
    base_path: str = ""
    progress: Progress | None = field(default=None, repr=False)
    watch: Watch | None = field(default=None, repr=False)
    reference: PreTrainedModel | None = field(default=None, repr=False)


def fit_ppo(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, job: PPOJob, work: Path, save_to: Path
) -> dict[str, Any]:
    """Train, save to ``save_to``, and return ``steps``, ``history``, ``world_size`` and ``prompts_truncated``.

    ``steps`` counts updates, and ``history`` has one line for each: ``step``; ``reward``, ``score``, ``kl``,
    ``kl_coef``, ``entropy``, ``length``, ``ended`` of its answers; ``policy_loss``, ``value_loss``, ``clip_fraction``,
    ``value_clip_fraction``, ``ratio`` as means over its passes; ``seconds_`` and ``tokens_per_second_`` of
    ``generate``, ``score`` (log-probs, values and rewards) and ``update``. Seconds are the main process's, tokens
    those of all.

    Checkpoints are kept under ``work``; a whole one found there is resumed, bit for bit.

    Raises:
        W2SError: a loss or reward is no number, the KL is negative beyond tolerance, policy and reference have
            different vocabularies, no prompt, an answer that leaves no room for a prompt, or a batch that the
            processes cannot share.
    """
    state = _processes(job)
    set_seed(job.seed)
    players = Players(model, job.reference, job.lora, job.settings.temperature, state.device)
    trainer = Trainer(players, tokenizer, job.prompts, job.reward, job.settings, job.seed, job.max_length)
    end = trainer.train(work, job.progress, job.watch)
    policy = players.finish()
    if state.is_main_process:
        save_policy(policy, tokenizer, save_to, job.base_path)
    state.wait_for_everyone()
    return {
        "steps": end.update,
        "history": end.history,
        "world_size": state.num_processes,
        "prompts_truncated": trainer.truncated,
    }


def _processes(job: PPOJob) -> PartialState:
    if not len(job.prompts):
        raise W2SError("ppo: there is no prompt to answer; check the data of this stage")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.num_processes != world:
        raise W2SError(f"ppo: {world} processes were launched, but accelerate formed {state.num_processes}")
    if any(os.environ.get(f"ACCELERATE_USE_{name}", "false") == "true" for name in ("FSDP", "DEEPSPEED")):
        log.warning("ppo shards no weights: every process holds whole models, whatever FSDP or DeepSpeed do elsewhere")
    if job.settings.batch_size % world:
        raise W2SError(
            f"ppo: batch_size {job.settings.batch_size} cannot be shared equally by {world} processes; use a multiple"
        )
    return state
