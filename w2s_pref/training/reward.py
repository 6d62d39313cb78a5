"""Reward models and classifiers on soft labels: TRL's RewardTrainer with any row, label, conflict and confidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from trl import RewardTrainer

from w2s_pref.losses import objectives
from w2s_pref.losses.spec import Checked, LossSpec
from w2s_pref.models.batches import RowBatch, read_heads
from w2s_pref.training.effective import EffectiveBatch, TrainingSet
from w2s_pref.training.methods import SUPERVISOR


@dataclass(frozen=True)
class Loss:
    """Which loss on the margin: the student's, by name, and ``alpha`` times the explicit conflict, or a user's term."""

    student: LossSpec = field(default_factory=LossSpec)
    alpha: float = 0.0
    term: Checked | None = None


class SoftRewardTrainer(EffectiveBatch, RewardTrainer):  # type: ignore[misc]
    """RewardTrainer whose loss is a named one on the margin, averaged exactly over the effective batch.

    The margin of a pair is the difference of its two rewards; that of an item is z1 - z0 of a head with two outputs.
    """

    def __init__(self, *args: Any, model: PreTrainedModel, pair_loss: Loss | None = None, **kwargs: Any) -> None:
        self.pair_loss = pair_loss or Loss()
        self.student = self.pair_loss.student
        with _one_output(model):
            super().__init__(*args, model=model, **kwargs)

    def _margin(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        outputs = read_heads(model, batch)
        if len(outputs) == 1:
            return outputs[0, :, 1] - outputs[0, :, 0]
        return outputs[0, :, 0] - outputs[1, :, 0]

    def _losses(self, model: nn.Module, batch: RowBatch, numbers: dict[str, Tensor]) -> Tensor:
        margin = self._margin(model, batch, numbers)
        loss = self._labelled(margin, numbers)
        if self.pair_loss.alpha > 0:
            loss = loss + self.pair_loss.alpha * self._conflict(margin, numbers)
        return loss

    def _conflict(self, margin: Tensor, numbers: dict[str, Tensor]) -> Tensor:
        if self.pair_loss.term is None:
            return objectives.explicit_conflict(margin, numbers["sign"])
        return self.pair_loss.term(margin, p=numbers["p"], truth=(numbers["sign"] + 1) / 2)


@contextmanager
def _one_output(model: PreTrainedModel) -> Iterator[None]:
    """TRL takes heads of one output only, though nothing that is left of it reads the head."""
    names = model.config.id2label, model.config.label2id
    model.config.num_labels = 1
    try:
        yield
    finally:
        model.config.id2label, model.config.label2id = names


def training_rows(
    a_ids: Sequence[Sequence[int]],
    b_ids: Sequence[Sequence[int]] | None,
    columns: Mapping[str, Sequence[float]],
    batch_size: int,
) -> TrainingSet:
    """Pairs, or items where ``b_ids`` is None, filled up to a multiple of the effective batch.

    Args:
        columns: ``p``, the label, ``sign``, ground truth ±1 where the explicit conflict reads it, else 0, and what each
            of several supervisors says, where their weights are learned.
    """
    texts = [a_ids] if b_ids is None else [a_ids, b_ids]
    read = {name: columns[name] for name in columns if name in {"p", "sign"} or name.startswith(SUPERVISOR)}
    return TrainingSet(texts, read, batch_size)
