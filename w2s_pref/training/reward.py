"""Reward models on soft labels: TRL's RewardTrainer with a per-pair probability, conflict and confidence terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import RewardTrainer
from trl.trainer.reward_trainer import DataCollatorForPreference

from w2s_pref import objectives

#: Columns beside the token ids: label, ground-truth sign (explicit conflict only, else 0), weight.
EXTRA = ("p", "sign", "weight")


@dataclass(frozen=True)
class Loss:
    """Which loss on the margin. ``a_max`` 0 is plain soft BCE; ``alpha`` 0 is no explicit conflict."""

    a_max: float = 0.0
    warmup: float = 0.2
    prior: str = "half"
    alpha: float = 0.0


@dataclass
class PairCollator(DataCollatorForPreference):  # type: ignore[misc]
    """TRL's preference collator, plus the columns of ``EXTRA``, each of shape (B,)."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad to (2B, L), chosen first, as TRL does."""
        batch: dict[str, Any] = super().torch_call(examples)
        for name in EXTRA:
            batch[name] = torch.tensor([example[name] for example in examples], dtype=torch.float)
        return batch


class SoftRewardTrainer(RewardTrainer):  # type: ignore[misc]
    """RewardTrainer whose loss is soft BCE on the margin, averaged exactly over the effective batch.

    The mean runs over the pairs of all micro-batches and processes of one optimizer step (by weight), so that a batch
    of 8, 4 x 2 accumulation and 2 processes x 4 give the same gradient. The confidence loss ranks over the same pairs.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, *args: Any, pair_loss: Loss | None = None, **kwargs: Any) -> None:
        self.pair_loss = pair_loss or Loss()
        super().__init__(*args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        known: list[str] = self._signature_columns
        self._signature_columns: list[str] = [*known, *(name for name in EXTRA if name not in known)]

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor]:
        """The micro-batches of one optimizer step, and the total weight of their pairs over all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        total = torch.stack([batch["weight"].sum() for batch in batches]).sum().to(device)
        total = self.accelerator.reduce(total, reduction="sum")
        if self.pair_loss.a_max > 0:
            self._attach_hardened(batches)
        return batches, total

    @torch.no_grad()
    def _attach_hardened(self, batches: list[dict[str, Any]]) -> None:
        """Rank the student's margins over the effective batch, before any of it is trained on."""
        self.model.eval()
        margins = [self._margin(self.model_wrapped, self._prepare_inputs(dict(batch))) for batch in batches]
        local = torch.stack([torch.cat(margins), self._column(batches, "p"), self._column(batches, "weight")], dim=1)
        everyone = self.accelerator.gather(local)
        hardened = objectives.hard_predictions(everyone[:, 0], everyone[:, 1], everyone[:, 2], self.pair_loss.prior)
        start = self.accelerator.process_index * len(local)
        for batch, margin in zip(batches, margins, strict=True):
            batch["hardened"] = hardened[start : start + len(margin)]
            start += len(margin)

    def _column(self, batches: list[dict[str, Any]], name: str) -> Tensor:
        return torch.cat([batch[name] for batch in batches]).to(self.args.device)

    def _margin(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        output = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        rewards_a, rewards_b = output.logits.squeeze(-1).float().chunk(2)
        margin: Tensor = rewards_a - rewards_b
        return margin

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Weighted sum over this micro-batch, divided by the weight of the whole effective batch."""
        margin = self._margin(model, inputs)
        per_pair = self._per_pair(margin, inputs)
        total = inputs["weight"].sum() if num_items_in_batch is None else num_items_in_batch
        loss = (inputs["weight"] * per_pair).sum() / total * self.accelerator.num_processes
        return (loss, {"margin": margin}) if return_outputs else loss

    def _per_pair(self, margin: Tensor, inputs: dict[str, Any]) -> Tensor:
        settings, target = self.pair_loss, inputs["p"]
        if "hardened" in inputs:
            progress = self.state.global_step / max(1, self.state.max_steps)
            weight = objectives.confidence_weight(progress, settings.a_max, settings.warmup)
            target = objectives.aux_confidence_target(target, inputs["hardened"], weight)
        loss = objectives.soft_bce(margin, target)
        if settings.alpha > 0:
            loss = loss + settings.alpha * objectives.explicit_conflict(margin, inputs["sign"])
        return loss


def training_rows(a_ids: list[list[int]], b_ids: list[list[int]], columns: dict[str, Any], batch_size: int) -> Dataset:
    """The training set, filled up with rows of weight 0 to a multiple of the effective batch.

    Without the fill the last batch of an epoch would be shared differently by different numbers of processes. The
    empty rows copy the shortest pair, so they cost next to nothing, and fall anywhere in the shuffled order.
    """
    n = len(a_ids)
    fill = -n % batch_size
    shortest = min(range(n), key=lambda row: len(a_ids[row]) + len(b_ids[row]))
    rows = [*range(n), *([shortest] * fill)]
    table: dict[str, Any] = {"chosen_ids": [a_ids[r] for r in rows], "rejected_ids": [b_ids[r] for r in rows]}
    for name in ("p", "sign"):
        table[name] = [float(columns[name][r]) for r in rows]
    table["weight"] = [1.0 if position < n else 0.0 for position in range(len(rows))]
    return Dataset.from_dict(table)
