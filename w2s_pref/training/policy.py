"""Policies on pairs: TRL's DPOTrainer with any margin, a per-pair probability, conflict and confidence terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from trl import DPOTrainer

from w2s_pref.losses import objectives
from w2s_pref.losses.margins import PairBatch
from w2s_pref.losses.pairs import PairLoss, PairObjective, prefers_a
from w2s_pref.models.batches import RowBatch, read_logprobs
from w2s_pref.training.effective import EffectiveBatch
from w2s_pref.training.training_set import TrainingSet

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

    def _pairs(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> PairBatch:
        (logp_a, logp_b), (tokens_a, tokens_b) = read_logprobs(model, batch)
        return PairBatch(logp_a, logp_b, tokens_a, tokens_b, numbers.get("ref_a"), numbers.get("ref_b"))

    def _margin(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        return self.pair_loss.margin(self._pairs(model, batch, numbers))

    def _losses(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        if self.objective.preferred_only:
            logp, tokens = read_logprobs(model, batch)
            return objectives.mean_nll(logp[0], tokens[0])
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
        lists: ``a_ids, b_ids, a_starts, b_starts``.
        columns: ``p, sign`` and, where the margin reads them, ``ref_a, ref_b``.
        preferred_only: rows of one text, the answer that the label prefers.
    """
    texts, starts = [lists["a_ids"], lists["b_ids"]], [lists["a_starts"], lists["b_starts"]]
    if preferred_only:
        first = prefers_a(torch.tensor(columns["p"], dtype=torch.float)).tolist()
        texts, starts = [_chosen(first, *texts)], [_chosen(first, *starts)]
    return TrainingSet(texts, {name: columns[name] for name in NUMBERS if name in columns}, batch_size, starts)


def _chosen(first: list[bool], a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    return [x if best else y for best, x, y in zip(first, a, b, strict=True)]
