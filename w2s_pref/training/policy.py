"""Policies on pairs: TRL's DPOTrainer with any margin, a per-pair probability, conflict and confidence terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer

from w2s_pref.core.errors import W2SError
from w2s_pref.losses import margins, objectives
from w2s_pref.losses.margins import PairBatch
from w2s_pref.losses.pairs import PairLoss, PairObjective, prefers_a
from w2s_pref.losses.tokens import token_terms
from w2s_pref.models.batches import RowBatch, read_logprobs, read_token_logprobs, sums
from w2s_pref.models.batches.wrapped import inner
from w2s_pref.models.frozen import adapted_above
from w2s_pref.training.effective import EffectiveBatch, TrainingSet
from w2s_pref.training.environment import rounding_kept
from w2s_pref.training.methods import SUPERVISOR
from w2s_pref.training.trainer import Batch, Job, adapter, configuration, make_trainer, run

#: Columns of numbers; the reference's log-probabilities only where the margin reads them.
NUMBERS = ("p", "sign", "ref_a", "ref_b")


class PolicyTrainer(EffectiveBatch, DPOTrainer):  # type: ignore[misc]
    """DPOTrainer for every pairwise method: rows come as token ids, the reference's log-probabilities as columns.

    TRL is told that these were computed beforehand, so that it keeps no reference model.
    """

    def __init__(self, *args: Any, objective: PairObjective, base: Path = Path(), **kwargs: Any) -> None:
        self.objective, self.student = objective, objective.student
        self.pair_loss = PairLoss(objective, base)
        super().__init__(*args, **kwargs)
        # TRL copies an adapter that is trained further, as a reference; it is not needed and would be saved too.
        if "ref" in getattr(self.model, "peft_config", {}):
            self.model.delete_adapter("ref")

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """The reference's log-probabilities are columns already."""
        return dataset

    def _answers(self, model: nn.Module, batch: RowBatch) -> dict[str, Tensor]:
        """Of every answer, (K, R): ``logp``, ``tokens``, and what ``token_terms`` of its tokens sum up to."""
        there = batch.responses
        if there is None or there.values is None:
            logp, tokens = read_logprobs(model, batch)
            return {"logp": logp, "tokens": tokens}
        each = read_token_logprobs(model, batch)
        terms = token_terms(self.objective.name, each, there.values, self.objective.beta)
        return {name: sums(value, there) for name, value in ({"logp": each} | terms).items()} | {"tokens": there.counts}

    def _pairs(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> PairBatch:
        read = {f"{name}_{side}": value for name, both in self._answers(model, batch).items()
                for side, value in zip("ab", both, strict=True)}  # fmt: skip
        return PairBatch(**read, ref_a=numbers.get("ref_a"), ref_b=numbers.get("ref_b"))

    def _margin(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        return self.pair_loss.margin(self._pairs(model, batch, numbers))

    def _losses(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        if self.objective.preferred_only:
            read = {name: each[0] for name, each in self._answers(model, batch).items()}
            return read["chosen"] if "chosen" in read else objectives.mean_nll(read["logp"], read["tokens"])
        pairs = self._pairs(model, batch, numbers)
        margin = self.pair_loss.margin(pairs)
        loss = self._labelled(margin, numbers, lambda target: self.pair_loss.own(pairs, margin, target))
        return loss + self.pair_loss.conflict(pairs, margin, numbers["sign"], numbers["p"])


def policy_rows(
    lists: Mapping[str, Sequence[Any]],
    columns: Mapping[str, Sequence[float]],
    batch_size: int,
    preferred_only: bool = False,
) -> TrainingSet:
    """Pairs, filled up to a multiple of the effective batch.

    Args:
        lists: ``a_ids, b_ids, a_starts, b_starts`` and, where the loss reads single tokens, ``a_values, b_values``.
        columns: ``p, sign`` and, where the margin reads them, ``ref_a, ref_b``.
        preferred_only: rows of one text, the answer that the label prefers.
    """
    held = [[lists[f"a_{name}"], lists[f"b_{name}"]] for name in ("ids", "starts", "values") if lists.get(f"a_{name}")]
    if preferred_only:
        first = prefers_a(torch.tensor(columns["p"], dtype=torch.float)).tolist()
        held = [[_chosen(first, *both)] for both in held]
    texts, starts, *values = held
    read = {name: columns[name] for name in columns if name in NUMBERS or name.startswith(SUPERVISOR)}
    return TrainingSet(texts, read, batch_size, starts, *values)


def _chosen(first: list[bool], a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    return [x if best else y for best, x, y in zip(first, a, b, strict=True)]


@dataclass
class PolicyJob(Job):
    """One training of a policy.

    Attributes:
        a_ids, b_ids: token ids of prompt and answer; the responses begin at ``a_starts``, ``b_starts``.
        columns: ``p`` (label), ``sign`` (ground truth, ±1 where the explicit conflict reads it, else 0) and, where the
            margin reads them, ``ref_a``, ``ref_b`` (summed response log-probabilities under the reference).
        base: folder of the recipe, where the file of a user's margin is looked up.
        a_values, b_values: ``token_values`` of the responses, where the loss reads single tokens.
    """

    a_ids: Sequence[Sequence[int]]
    b_ids: Sequence[Sequence[int]]
    a_starts: list[int]
    b_starts: list[int]
    columns: dict[str, list[float]]
    objective: PairObjective
    base: Path = field(default=Path(), kw_only=True)
    a_values: Sequence[np.ndarray] = field(default=(), kw_only=True)
    b_values: Sequence[np.ndarray] = field(default=(), kw_only=True)


@rounding_kept()
def fit_policy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, job: PolicyJob, work: Path, save_to: Path
) -> dict[str, Any]:
    """Train, save to ``save_to``, and say how it went, as ``fit`` does.

    Checkpoints are kept under ``work``; a whole one found there is resumed, bit for bit.

    Raises:
        W2SError: the loss became NaN or infinite, the margin is none, or its reference log-probabilities are missing.
    """
    if margins.needs_reference(job.objective.name, job.base) and "ref_a" not in job.columns:
        raise W2SError(f"margin {job.objective.name!r} reads reference log-probabilities, but there are none")
    if job.objective.by_token and not len(job.a_values):
        raise W2SError(f"{job.objective.name} reads rewards of single tokens, but there are none")
    batch = Batch.of(job.arguments, by_layer=True)
    lists = {f"{side}_{name}": getattr(job, f"{side}_{name}") for side in "ab" for name in ("ids", "starts", "values")}
    trainer = make_trainer(
        PolicyTrainer,
        job,
        configuration(DPOConfig, job, batch, work, max_length=None, precompute_ref_log_probs=True, **batch.whole),
        tokenizer,
        None if hasattr(model, "get_base_model") else adapter(adapted_above(job.lora, model), "CAUSAL_LM", set()),
        model=model,
        objective=job.objective,
        base=job.base,
        rows=policy_rows(lists, job.columns, batch.size, job.objective.preferred_only),
        at_once=batch.at_once,
        raven=job.raven,
    )
    done = run(trainer, tokenizer, job, batch, save_to)
    # Undo TRL's change of the model's forward: the model is as it will be loaded.
    inner(trainer.accelerator.unwrap_model(trainer.model)).__dict__.pop("forward", None)
    return done
