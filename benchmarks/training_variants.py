"""The trainings that ``training.py`` times: stock TRL, a hand-written padded loop, and this toolkit."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from pairs import DEVICE, Pairs, body, clock, model_of
from torch.nn.functional import logsigmoid
from transformers import TrainerCallback, get_scheduler
from transformers.trainer_callback import PrinterCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

from w2s_pref.losses.pairs import PairObjective
from w2s_pref.models.batches import Row
from w2s_pref.models.batches.read import last_mlp
from w2s_pref.models.scoring import row_logprobs
from w2s_pref.training.arguments import merged
from w2s_pref.training.fit import FitJob
from w2s_pref.training.policy import PolicyJob, PolicyTrainer, policy_rows
from w2s_pref.training.reward import Loss, SoftRewardTrainer, training_rows
from w2s_pref.training.trainer import Batch, callbacks, configuration

BETA = 0.1


@dataclass
class Run:
    """What all variants share, and the clock of the one that runs."""

    options: argparse.Namespace
    tokenizer: Any
    pairs: Pairs
    warm_up: int
    columns: dict[str, list[float]] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = {"p": [1.0] * len(self.pairs), "sign": [0.0] * len(self.pairs)}

    def start(self) -> None:
        """Forget the last variant, which is held by circles of references."""
        self.ends = []
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def tick(self, *_: int) -> None:
        """A step ended."""
        self.ends.append(clock(self.options.clock))

    def seconds_a_step(self) -> float:
        """Mean seconds of a step after the warm-up, data loading included."""
        return (self.ends[-1] - self.ends[self.warm_up - 1]) / (len(self.ends) - self.warm_up)

    def model(self, policy: bool) -> Any:
        """A new copy of the model that is trained."""
        return model_of(self.options.model, self.tokenizer, policy, self.options.attention)

    @cached_property
    def shapes(self) -> dict[bool, Any]:
        """The reward model (False) and the policy (True) without weights."""
        kinds = {
            policy: model_of(self.options.model, self.tokenizer, policy, device="meta") for policy in (False, True)
        }
        return kinds

    @property
    def arguments(self) -> dict[str, Any]:
        """The same updates in every variant."""
        return merged({"batch_size": self.options.batch, "learning_rate": self.options.learning_rate,
                       "logging_steps": 1, "bf16": self.options.bf16})  # fmt: skip

    @property
    def tokens(self) -> float:
        """Tokens of the texts of a batch, a prompt once for each answer."""
        texts = self.pairs.a_ids + self.pairs.b_ids
        return sum(map(len, texts)) / len(self.pairs) * self.options.batch

    def described(self) -> str:
        """Model, batch and lengths in words."""
        lengths = sorted(len(ids) for ids in self.pairs.a_ids + self.pairs.b_ids)
        half, most = (lengths[len(lengths) * tenths // 10] for tenths in (5, 9))
        prompts = sum(self.pairs.starts) * 2 / sum(lengths)
        return (
            f"{body(self.shapes[False]) / 1e6:.1f} M parameters beside the embedding, "
            f"{self.options.batch} pairs a step, texts of {half} tokens in the median and {most} at the 90th "
            f"percentile, {prompts:.0%} prompt; {self.options.rounds} rounds of {self.options.steps} steps"
        )


def useful_flops(run: Run, part: str, shared: bool) -> float:
    """FLOPs of the policy's or reward model's forward and backward passes a step, padding not counted.

    Ours (``shared``) meets a prompt once, and finishes the last layer where it is read.
    """
    model = run.shapes[part == "dpo"]
    config, n = model.config, body(model)
    tokens = visible = answers = unread = 0.0
    for a, b, start in zip(run.pairs.a_ids, run.pairs.b_ids, run.pairs.starts, strict=True):
        for own in (len(a) - start, len(b) - start):
            tokens += own if shared else own + start
            visible += own * start + own**2 / 2 + (0 if shared else start**2 / 2)
            answers += own
        tokens += start if shared else 0
        visible += start**2 / 2 if shared else 0
        own = len(a) + len(b) - 2 * start
        unread += own + start - (own - 1 if part == "dpo" else 2) if shared else 0
    head = 6 * config.hidden_size * config.vocab_size * answers if part == "dpo" else 0
    mlp = last_mlp(model)
    last = 0 if mlp is None else sum(weight.numel() for weight in mlp.parameters())
    whole = 6 * (n * tokens - last * unread) + 12 * config.num_hidden_layers * config.hidden_size * visible + head
    return float(whole / len(run.pairs) * run.options.batch)


class Clock(TrainerCallback):  # type: ignore[misc]
    """Tells the run that a step ended."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by the Trainer after every optimizer step."""
        self.run.tick()


def trained(trainer: Any) -> list[float]:
    """Train; the losses of all steps."""
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def settings(kind: Any, run: Run, folder: Path, micro: int | None = None, **more: Any) -> Any:
    """The configuration of a stock trainer."""
    batch = Batch.of({**run.arguments, "per_device_train_batch_size": micro})
    return configuration(kind, job_of(run), batch, folder, save_strategy="no", **more)


def job_of(run: Run) -> FitJob:
    """The reward model's training."""
    shared: dict[str, Any] = {"arguments": run.arguments, "seed": 0, "progress": run.tick}
    return FitJob(run.pairs.a_ids, run.pairs.b_ids, run.columns, Loss(), **shared)


def stock_reward(run: Run, folder: Path, micro: int | None = None) -> list[float]:
    """TRL's RewardTrainer."""
    rows = Dataset.from_dict({"chosen_ids": run.pairs.a_ids, "rejected_ids": run.pairs.b_ids})
    return trained(
        RewardTrainer(
            model=run.model(False), args=settings(RewardConfig, run, folder, micro), train_dataset=rows,
            processing_class=run.tokenizer, callbacks=[Clock(run)],
        )
    )  # fmt: skip


def padded_loop(run: Run, folder: Path) -> list[float]:
    """A loop of a few lines: batches in order, padded to their longest text, in the order that a Trainer shuffles."""
    model = run.model(False).train()
    model.config.pad_token_id = run.tokenizer.pad_token_id
    order = shuffled(run, folder)
    rate, micro = run.options.learning_rate, run.options.micro[0]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    schedule, losses = get_scheduler("cosine", optimizer, 0, len(order)), []
    for batch in order:
        total = 0.0
        for start in range(0, len(batch), micro):
            part = batch[start : start + micro]
            texts = [run.pairs.a_ids[at] for at in part] + [run.pairs.b_ids[at] for at in part]
            width = max(map(len, texts))
            ids = torch.tensor([text + [run.tokenizer.pad_token_id] * (width - len(text)) for text in texts])
            mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts])
            with torch.autocast(DEVICE, torch.bfloat16, enabled=run.options.bf16):
                logits = model(input_ids=ids.to(DEVICE), attention_mask=mask.to(DEVICE), use_cache=False).logits
            a, b = logits.squeeze(-1).float().chunk(2)
            loss = -logsigmoid(a - b).sum() / len(batch)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(total)
        run.tick()
    return losses


def shuffled(run: Run, folder: Path) -> list[list[int]]:
    """The numbers of the pairs of every batch, as the Trainer's seed shuffles them."""
    rows = Dataset.from_dict(
        {"chosen_ids": [[n] for n in range(len(run.pairs))], "rejected_ids": [[0]] * len(run.pairs)}
    )
    trainer = RewardTrainer(
        model=run.model(False), args=settings(RewardConfig, run, folder, use_cpu=True), train_dataset=rows,
        processing_class=run.tokenizer,
    )  # fmt: skip
    half = run.options.batch
    return [batch["input_ids"][:half, 0].tolist() for batch in trainer.get_train_dataloader()]


def our_reward(run: Run, folder: Path, tokens: int | None = None) -> list[float]:
    """What ``fit`` trains with; ``tokens``: of a micro-batch, where not what suits the device."""
    job = job_of(run)
    batch = Batch.of({**job.arguments, "micro_batch_tokens": tokens})
    return trained(
        SoftRewardTrainer(
            model=run.model(False), rows=training_rows(job.a_ids, job.b_ids, job.columns, batch.size),
            args=configuration(RewardConfig, job, batch, folder, save_strategy="no", **batch.whole),
            at_once=batch.at_once, processing_class=run.tokenizer, callbacks=callbacks(job),
        )
    )  # fmt: skip


class Ready(DPOTrainer):  # type: ignore[misc]
    """TRL's trainer as it is, except that rows come as token ids."""

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset


def stock_dpo(run: Run, folder: Path, micro: int | None = None) -> list[float]:
    """TRL's DPOTrainer, which runs the reference model in every step."""
    at = run.pairs.starts
    rows = {
        "prompt_ids": [ids[:start] for ids, start in zip(run.pairs.a_ids, at, strict=True)],
        "chosen_ids": [ids[start:] for ids, start in zip(run.pairs.a_ids, at, strict=True)],
        "rejected_ids": [ids[start:] for ids, start in zip(run.pairs.b_ids, at, strict=True)],
    }
    return trained(
        Ready(
            model=run.model(True), ref_model=run.model(True), args=settings(DPOConfig, run, folder, micro, beta=BETA),
            train_dataset=Dataset.from_dict(rows), processing_class=run.tokenizer, callbacks=[Clock(run)],
        )
    )  # fmt: skip


def reference_pass(run: Run) -> float:
    """Compute the reference's log-probabilities of all pairs, as the toolkit's stage does; its seconds."""
    model = run.model(True)
    starts = [(start, start) for start in run.pairs.starts]
    rows = [Row((a, b), at) for a, b, at in zip(run.pairs.a_ids, run.pairs.b_ids, starts, strict=True)]
    pad_id = run.tokenizer.pad_token_id
    with torch.autocast(DEVICE, torch.bfloat16, enabled=run.options.bf16):
        row_logprobs(model, rows[: ceil(len(rows) / 8)], pad_id)  # warm-up
        started = clock(run.options.clock)
        logp = row_logprobs(model, rows, pad_id)
    seconds = clock(run.options.clock) - started
    run.columns |= {"ref_a": logp[::2].tolist(), "ref_b": logp[1::2].tolist()}
    return seconds


def our_dpo(run: Run, folder: Path, tokens: int | None = None) -> list[float]:
    """What ``fit_policy`` trains with, on the reference's stored log-probabilities."""
    at = run.pairs.starts
    objective = PairObjective("dpo", beta=BETA)
    job = PolicyJob(run.pairs.a_ids, run.pairs.b_ids, at, at, run.columns, objective,
                    arguments=run.arguments, seed=0, progress=run.tick)  # fmt: skip
    batch = Batch.of({**job.arguments, "micro_batch_tokens": tokens})
    lists = {name: getattr(job, name) for name in ("a_ids", "b_ids", "a_starts", "b_starts")}
    config = configuration(
        DPOConfig, job, batch, folder, save_strategy="no", precompute_ref_log_probs=True, **batch.whole
    )
    return trained(
        PolicyTrainer(
            objective=objective, model=run.model(True), args=config, rows=policy_rows(lists, job.columns, batch.size),
            at_once=batch.at_once, processing_class=run.tokenizer, callbacks=callbacks(job),
        )
    )  # fmt: skip


def variants(part: str, options: argparse.Namespace) -> dict[str, Callable[[Run, Path], list[float]]]:
    """By name: the first is stock TRL as it comes, the last is ours as it comes; ``--variants`` picks among them."""
    stock, ours = (stock_reward, our_reward) if part == "reward" else (stock_dpo, our_dpo)
    found: dict[str, Callable[[Run, Path], list[float]]] = {f"TRL, {options.batch} pairs at once": stock}
    found |= {f"TRL, {micro} pairs at a time": partial(stock, micro=micro) for micro in options.micro}
    found["TRL, pair by pair"] = partial(stock, micro=1)
    if part == "reward":
        found[f"padded loop, {options.micro[0]} pairs at a time"] = padded_loop
    found |= {f"w2s-pref, {tokens:,} tokens at once": partial(ours, tokens=tokens) for tokens in options.tokens}
    found["w2s-pref"] = ours
    wanted = options.variants
    picked = {name: found[name] for name in found if not wanted or any(word in name for word in wanted)}
    if not picked:
        sys.exit(f"error: --variants {' '.join(wanted)}: no name holds one of these; there are: {', '.join(found)}")
    return picked
