"""Train a policy on rewards of its own answers with TRL's RLOO and GRPO, resuming where it stopped.

TRL samples, scores and updates; this module gives it what it lacks: prompts as the exact ids that this toolkit's
policies see, rewards of texts, a batch size in completions over all processes, and checkpoints that are whole or
absent. TRL seeds its sampling per process, so results depend on the number of processes, unlike training on pairs.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from trl.import_utils import is_vllm_available

from w2s_pref.core.errors import W2SError
from w2s_pref.models.boundaries import answer_texts, eos_ids, fit_prompts, prompt_room
from w2s_pref.models.generation import generating_by
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.training.arguments import drawn, merged
from w2s_pref.training.environment import rounding_kept
from w2s_pref.training.rewards import RewardFunction, checked
from w2s_pref.training.trainer import Batch, Job, adapter, configuration, make_trainer, run

log = logging.getLogger(__name__)

Algorithm = Literal["rloo", "grpo"]
Ids = list[int]


@dataclass
class OnlineJob(Job):
    """One training on rewards; its ``batch_size``: completions an optimizer step, a multiple of ``num_generations``.

    Attributes:
        prompts: columns ``form`` and ``prompt``.
        reward: the reward of an answer; TRL subtracts ``beta`` times the KL from the start (RLOO) or adds it to the
            loss (GRPO).
        max_length: longest prompt and completion together, in tokens; None for the model's own limit.
    """

    prompts: pd.DataFrame
    reward: RewardFunction
    max_length: int | None = field(default=None, kw_only=True)
    trust_remote_code: bool = field(default=False, kw_only=True)


class _ByEpoch(Sampler):  # type: ignore[type-arg]
    """TRL's sampler in the order that it has in this epoch of an undisturbed training."""

    def __init__(self, own: Any, epoch: Callable[[], float]) -> None:
        self._own, self._epoch = own, epoch

    def __len__(self) -> int:
        return len(self._own)

    def __iter__(self) -> Iterator[int]:
        if self._own.shuffle:
            self._own.generator.manual_seed(self._own.seed)
            for _ in range(int(self._epoch())):
                torch.randperm(self._own.num_samples, generator=self._own.generator)
        return iter(self._own)


class _ExactPrompts:
    """Gives a TRL trainer the ids of every prompt instead of letting it tokenise the text."""

    prompt_ids: dict[str, Ids]
    state: Any
    model: Any
    accelerator: Any

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        """TRL's, whose order in an epoch depends on how often it was iterated: a resumed training skips epochs."""
        return _ByEpoch(super()._get_train_sampler(dataset), lambda: self.state.epoch or 0)  # type: ignore[misc]

    def _generate(self, prompts: list[str]) -> Any:
        """Sampled by the recipe's settings alone: TRL lets those through that only the model's own file names.

        Probabilities that are no numbers, which torch refuses to sample from, end with a sentence.
        """
        config = getattr(self, "generation_config", None)  # vLLM has none
        alone = nullcontext() if config is None else generating_by(self.accelerator.unwrap_model(self.model), config)
        try:
            with alone:
                return super()._generate(prompts)  # type: ignore[misc]
        except RuntimeError as error:
            if not any(words in str(error) for words in ("probability tensor", "device-side assert")):
                raise
            raise W2SError(
                f"training diverged by step {self.state.global_step}: the policy's probabilities are no numbers; "
                "lower learning_rate, or set max_grad_norm"
            ) from error

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[Ids], None, dict[str, Any]]:
        return [self.prompt_ids[prompt] for prompt in prompts], None, {}


class _RLOO(_ExactPrompts, RLOOTrainer):  # type: ignore[misc]
    pass


class _GRPO(_ExactPrompts, GRPOTrainer):  # type: ignore[misc]
    pass


_TRAINERS: dict[Algorithm, tuple[Any, Any]] = {"rloo": (_RLOO, RLOOConfig), "grpo": (_GRPO, GRPOConfig)}


@rounding_kept()
def fit_online(
    algorithm: Algorithm,
    start_folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    job: OnlineJob,
    work: Path,
    save_to: Path,
) -> dict[str, Any]:
    """Train from ``start_folder``, save to ``save_to``, return ``steps, history, world_size, prompts_truncated``.

    The start is also the reference of the KL penalty (with LoRA: the model without the adapter, or a copy of the
    adapter that training starts from). ``history`` is a list of {step, loss, reward, …}, as TRL logs it. A whole
    checkpoint under ``work`` is resumed.

    Args:
        start_folder: a saved causal language model or LoRA adapter.
        tokenizer: the policy's own.

    Raises:
        W2SError: the batch does not fit the prompts, the loss became NaN, or the reward is no finite number.
    """
    trainer_class, config_class = _TRAINERS[algorithm]
    batch = _batch(algorithm, job)
    batch.arguments.update(_vllm(batch.arguments))
    model = _start(start_folder, job)
    code = job.trust_remote_code
    loading: dict[str, Any] = {"model_init_kwargs": {"dtype": "auto"}} if isinstance(model, str) else {}
    loading["router_aux_loss_coef"] = 0.0  # a mean over a part of a batch; trainings on pairs have none
    config = configuration(config_class, job, batch, work, trust_remote_code=code, **loading)
    own = AutoConfig.from_pretrained(model, trust_remote_code=code) if isinstance(model, str) else model.config
    room = prompt_room(own, job.max_length, config.max_completion_length)
    ids, truncated = fit_prompts(job.prompts, tokenizer, room)
    trainer = make_trainer(
        trainer_class,
        job,
        config,
        tokenizer,
        adapter(job.lora, "CAUSAL_LM", set()) if isinstance(model, str) else None,
        model=model,
        reward_funcs=_reward(job, tokenizer, ids),
        train_dataset=Dataset.from_dict({"prompt": job.prompts["prompt"].tolist(), "row": list(range(len(ids)))}),
    )
    _end_by(trainer, eos_ids(trainer.model, tokenizer, job.prompts["form"]))
    trainer.prompt_ids = dict(zip(job.prompts["prompt"], ids, strict=True))
    done = run(trainer, tokenizer, job, batch, save_to)
    if trainer.accelerator.is_main_process:  # TRL's copy of the adapter that training started from
        shutil.rmtree(save_to / "ref", ignore_errors=True)
    return {**done, "history": _history(done["history"]), "prompts_truncated": truncated}


def _end_by(trainer: Any, ends: list[int]) -> None:
    """End answers as ``generation.sample`` does: TRL knows the eos, and not what closes a turn of a chat."""
    trainer.eos_token_ids = ends
    if getattr(trainer, "generation_config", None) is not None:  # vLLM has none
        trainer.generation_config.eos_token_id = ends


def _vllm(arguments: dict[str, Any]) -> dict[str, Any]:
    """vLLM in the same process generates where a GPU and a supported version are there, unless the recipe decides.

    Raises:
        W2SError: the recipe asks for vLLM, and it is not installed, or in a version that TRL does not support.
    """
    asked = arguments.get("use_vllm")
    if asked is False or (asked is None and not (torch.cuda.is_available() and find_spec("vllm"))):
        return {}
    why_not = _no_vllm()
    if asked:
        if why_not is not None:
            raise W2SError(f"use_vllm: {why_not}; install one of those, or leave use_vllm out")
        return {}
    if why_not is not None:
        log.warning("%s; transformers generates the answers, which takes longer", why_not)
        return {}
    log.info("vLLM generates the answers, colocated; use_vllm: false turns it off")
    return {"use_vllm": True, "vllm_mode": "colocate"}


def _no_vllm() -> str | None:
    """Why vLLM cannot be used: absent, or, as TRL warns, of a version that it does not support."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        there = is_vllm_available()
    unsupported = next((str(each.message) for each in said if "vLLM" in str(each.message)), None)
    if unsupported is not None:
        return unsupported.split(" We recommend")[0].rstrip(".")
    return None if there else "vLLM is not installed"


def _history(logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """TRL's log of training; where no answers were drawn since the last entry, the reward is still that of those."""
    history: list[dict[str, Any]] = []
    for entry in logged:
        history.append({**({"reward": history[-1]["reward"]} if history else {}), **entry})
    return history


def _batch(algorithm: Algorithm, job: OnlineJob) -> Batch:
    """The effective batch, with checkpoints only where new answers are drawn next: old ones are not in a checkpoint."""
    batch = Batch.of(merged(job.arguments))
    period = _period(algorithm, batch, len(job.prompts))
    batch.arguments["save_steps"] = ceil(max(1, batch.arguments["save_steps"]) / period) * period
    return batch


def _period(algorithm: Algorithm, batch: Batch, prompts: int) -> int:
    """Optimizer steps from one drawing of answers to the next.

    Raises:
        W2SError: the batch is no multiple of the answers per prompt, or asks for more prompts than there are.
    """
    arguments = batch.arguments
    if arguments.get("steps_per_generation") is not None:
        raise W2SError(
            "training.steps_per_generation: its meaning changes with the number of processes; set "
            "generation_batch_size, the completions drawn at a time (a multiple of batch_size)"
        )
    try:
        group, at_once = drawn({**arguments, "batch_size": batch.size}, algorithm)
    except ValueError as error:
        raise W2SError(f"training: {error}") from error
    if prompts < at_once // group:
        raise W2SError(
            f"training: {at_once} completions drawn at a time, {group} a prompt, need {at_once // group} prompts, but "
            f"there are {prompts}; lower batch_size or raise num_generations"
        )
    return int(at_once // batch.size * arguments.get("num_iterations", 1))


def _reward(job: OnlineJob, tokenizer: PreTrainedTokenizerBase, ids: Sequence[Ids]) -> Callable[..., list[float]]:
    """The job's reward as TRL calls it: on the texts that the completions add to their prompts."""

    def reward(completion_ids: list[Ids], row: list[int], **others: Any) -> list[float]:
        asked = job.prompts.iloc[row][["form", "prompt"]].reset_index(drop=True)
        answers = answer_texts(tokenizer, asked["form"].tolist(), [ids[at] for at in row], completion_ids)
        rewards: list[float] = checked(job.reward(asked, answers), len(answers), "reward").tolist()
        return rewards

    return reward


def _start(folder: Path, job: OnlineJob) -> str | PreTrainedModel:
    """What TRL starts from: a folder, from which it loads policy and reference alike, or a model with an adapter."""
    if not (folder / "adapter_config.json").is_file():
        return str(folder)
    model, _ = load_saved_policy(folder, trust_remote_code=job.trust_remote_code, trainable=True)
    return model
