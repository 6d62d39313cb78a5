"""Fit one policy with PPO: from prompts and a reward function to a saved policy, resuming where it stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import PartialState
from accelerate.utils import gather, gather_object, set_seed
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.errors import W2SError
from w2s_pref.models.boundaries import answer_texts, eos_ids, fit_prompts, prompt_room
from w2s_pref.models.policies import save_policy
from w2s_pref.training import callbacks
from w2s_pref.training.callbacks import Progress
from w2s_pref.training.ppo import draws, maths, position
from w2s_pref.training.ppo.learner import Learner
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.position import Position
from w2s_pref.training.ppo.rollout import PassInputs, Rollouts, answered, clock, generate, measure, prepare
from w2s_pref.training.ppo.settings import PPOSettings
from w2s_pref.training.rewards import RewardFunction, checked

log = logging.getLogger(__name__)

#: Called with (updates done, policy, whether it is inside the next one already); True ends the training.
Watch = Callable[[int, nn.Module, bool], bool]


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
    trainer = Trainer(players, tokenizer, job)
    end = trainer.train(work)
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


class Trainer:
    """Players, learner and prompts of one run.

    Attributes:
        truncated: prompts that lost their start, so that an answer fits behind them.
    """

    def __init__(self, players: Players, tokenizer: PreTrainedTokenizerBase, job: PPOJob) -> None:
        self.players, self.tokenizer, self.job = players, tokenizer, job
        self.settings, self.seed, self.prompts = job.settings, job.seed, job.prompts.reset_index(drop=True)
        room = prompt_room(players.policy.config, job.max_length, job.settings.response_length)
        self.ids, self.truncated = fit_prompts(self.prompts, tokenizer, room)
        self.ends = eos_ids(players.policy, tokenizer, self.prompts["form"])
        self.learner = Learner(players, job.settings, tokenizer.pad_token_id)
        self.state = PartialState()
        self.device = players.head.weight.device

    def train(self, work: Path) -> Position:
        """Train to the end from the newest whole checkpoint under ``work``, or from the start."""
        checkpoint, watch = callbacks.agreed_on(work), self.job.watch
        with callbacks.resuming(checkpoint):
            here = Position(self.settings.kl_coef) if checkpoint is None else position.read(checkpoint, self.learner)
        stopped = watch is not None and watch(here.update, self.players.policy, here.rollouts is not None)
        while here.update < self.settings.updates and not stopped:
            rows = draws.rows_of_update(len(self.ids), self.settings.batch_size, self.seed, here.update)
            if here.rollouts is None:
                self._collect(here, rows)
                self._save(work, here)
            self._passes(here, rows, work)
            self._close(here)
            self._save(work, here, after=True)
            if self.job.progress is not None:
                self.job.progress(here.update, self.settings.updates)
            stopped = watch is not None and watch(here.update, self.players.policy, False)
        return here

    def _save(self, work: Path, here: Position, after: bool = False) -> None:
        """Write a checkpoint where ``save_steps`` asks for one: within every such update, and after it."""
        update = here.update if after else here.update + 1
        if update % self.settings.save_steps:
            return
        if self.state.is_main_process:
            position.write(work, here, self.learner)
        self.state.wait_for_everyone()

    def _collect(self, here: Position, rows: list[int]) -> None:
        """Fill the buffer: every process answers and scores equally many rows, then all hold everything."""
        count = len(rows) // self.state.num_processes
        mine = slice(self.state.process_index * count, (self.state.process_index + 1) * count)
        uniforms = draws.uniforms(len(rows), self.settings.response_length, self.seed, here.update)[mine]
        prompts, pad_id = [self.ids[row] for row in rows[mine]], self.tokenizer.pad_token_id
        at_once, start = self.settings.per_device_forward_batch_size, clock(self.device)
        responses, lengths, ended = generate(self.players, prompts, uniforms, self.ends, pad_id, at_once)
        generated = clock(self.device)
        measured = measure(self.players, prompts, responses, lengths, pad_id, at_once)
        scores = self._scores(rows[mine], responses, lengths, here.update)
        parts = {"responses": responses, "lengths": lengths, "ended": ended, "scores": scores, **measured}
        if self.state.num_processes > 1:
            parts = {name: gather(part.contiguous()) for name, part in parts.items()}
        here.rollouts = Rollouts(**parts)
        here.facts = {"seconds_generate": generated - start, "seconds_score": clock(self.device) - generated}

    def _scores(self, rows: list[int], responses: Tensor, lengths: Tensor, update: int) -> Tensor:
        """(n,) rewards of the answers as text. A reward that draws random numbers draws the same after a resume."""
        frame = self.prompts.iloc[rows].reset_index(drop=True)
        ids = [self.ids[row] for row in rows]
        words = answer_texts(self.tokenizer, list(frame["form"]), ids, answered(responses, lengths))
        set_seed(draws.derived(self.seed, "reward", update, self.state.process_index))
        values = self._rewards(frame, words, update + 1)
        return torch.tensor(values, dtype=torch.float32, device=self.device)

    def _rewards(self, prompts: pd.DataFrame, answers: list[str], update: int) -> np.ndarray:
        """(n,) float64. Where one process fails, every process ends with the same sentence.

        Raises:
            W2SError: not one number for each answer, or one that is not finite.
        """
        values, problem, failure = np.zeros(len(answers)), None, None
        try:
            values = np.asarray(self.job.reward(prompts, answers), dtype=np.float64)
            checked(values, len(answers), f"ppo, update {update}")
        except W2SError as error:
            problem = str(error)
        except Exception as error:  # every process must know before this one leaves
            failure, problem = error, f"ppo: the reward function failed in update {update}: {error}"
        problems = gather_object([problem]) if self.state.num_processes > 1 else [problem]
        if failure is not None:
            raise failure
        if found := [each for each in problems if each is not None]:
            raise W2SError(found[0])
        return values

    def _passes(self, here: Position, rows: list[int], work: Path) -> None:
        """The passes over the buffer that are still to do."""
        assert here.rollouts is not None
        prepared = prepare(here.rollouts, self.settings, here.kl_coef)
        self._check_kl(here, prepared)
        prompts, settings = [self.ids[row] for row in rows], self.settings
        self.learner.set_rate(here.update)
        for epoch in range(here.epoch, settings.num_ppo_epochs):
            start, steps = clock(self.device), []
            batches = draws.mini_batches(len(rows), settings.num_mini_batches, self.seed, here.update, epoch)
            for number, batch in enumerate(batches):
                where = f"update {here.update + 1}, pass {epoch + 1}, minibatch {number + 1}"
                steps.append(self.learner.step(prompts, here.rollouts, prepared, batch, where))
            mean = {name: sum(step[name] for step in steps) / len(steps) for name in steps[0]}
            here.passes.append({**mean, "seconds_update": clock(self.device) - start})
            here.epoch = epoch + 1
            if here.epoch < settings.num_ppo_epochs:
                self._save(work, here)

    def _check_kl(self, here: Position, prepared: PassInputs) -> None:
        assert here.rollouts is not None
        ratio = maths.token_kl(here.rollouts.logprobs, here.rollouts.ref_logprobs, "k1")
        mean = float(ratio.masked_fill(~prepared.mask, 0.0).sum(dim=1).mean())
        if not mean >= -self.settings.kl_tolerance:
            raise W2SError(
                f"ppo: in update {here.update + 1} the KL from the reference is estimated at {mean:.3g} nats an "
                f"answer, below -kl_tolerance (-{self.settings.kl_tolerance:g}). A KL is never negative: the sampled "
                "tokens and their log-probs do not belong to one policy, or a model gives numbers that are none. Check "
                "the policy and its dtype, lower learning_rate, or, with few rollouts an update, raise kl_tolerance"
            )

    def _close(self, here: Position) -> None:
        """Write the update's line of history, adapt kl_coef, and move on."""
        assert here.rollouts is not None
        settings, rollouts = self.settings, here.rollouts
        prepared = prepare(rollouts, settings, here.kl_coef)
        line = {"step": here.update + 1, **_measured(rollouts, prepared, here.kl_coef)}
        learned = {name: sum(each[name] for each in here.passes) for name in here.passes[0]}
        seconds = {**here.facts, "seconds_update": learned.pop("seconds_update")}
        line.update({name: value / len(here.passes) for name, value in learned.items()})
        rows = draws.rows_of_update(len(self.ids), settings.batch_size, self.seed, here.update)
        written = int(rollouts.lengths.sum())
        read = written + sum(len(self.ids[row]) for row in rows)
        tokens = {"generate": written, "score": read, "update": read * settings.num_ppo_epochs}
        for phase, count in tokens.items():
            line[f"seconds_{phase}"] = seconds[f"seconds_{phase}"]
            line[f"tokens_per_second_{phase}"] = count / seconds[f"seconds_{phase}"]
        here.history.append(line)
        here.kl_coef = maths.adapted(
            here.kl_coef, line["kl"], settings.kl_target, settings.kl_horizon, settings.batch_size
        )
        here.update, here.epoch, here.rollouts = here.update + 1, 0, None
        here.passes, here.facts = [], {}


def _measured(rollouts: Rollouts, prepared: PassInputs, kl_coef: float) -> dict[str, float]:
    """What the buffer says: means over answers, ``entropy`` over tokens, ``kl`` in nats an answer.

    ``score`` is what the reward function gave, ``reward`` that less the missing-eos penalty and the KL's price.
    """
    kl = prepared.kl.sum(dim=1)
    found = {
        "reward": (prepared.scores - kl_coef * kl).mean(),
        "score": rollouts.scores.mean(),
        "kl": kl.mean(),
        "entropy": maths.masked_mean(rollouts.entropy, prepared.mask),
        "length": rollouts.lengths.float().mean(),
        "ended": rollouts.ended.float().mean(),
    }
    return {**{name: float(value) for name, value in found.items()}, "kl_coef": kl_coef}
