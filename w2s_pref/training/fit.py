"""Fit one reward model or classifier: from token ids and labels to a saved folder, resuming where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import RewardConfig

from w2s_pref.models.frozen import adapted_above
from w2s_pref.training.environment import rounding_kept
from w2s_pref.training.reward import Loss, SoftRewardTrainer, training_rows
from w2s_pref.training.trainer import Batch, Job, adapter, configuration, make_trainer, run


@dataclass
class FitJob(Job):
    """One training of a reward model on pairs, or of a two-output classifier on items.

    Attributes:
        a_ids, b_ids: token ids of both answers; an item's text and None.
        columns: ``p`` (label) and ``sign`` (ground truth, ±1 where the explicit conflict reads it, else 0).
    """

    a_ids: Sequence[Sequence[int]]
    b_ids: Sequence[Sequence[int]] | None
    columns: dict[str, list[float]]
    loss: Loss


@rounding_kept()
def fit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, job: FitJob, work: Path, save_to: Path
) -> dict[str, Any]:
    """Train, save to ``save_to``, and say how it went.

    Checkpoints are kept under ``work``; a whole one found there is resumed, bit for bit.

    Returns:
        ``steps``, ``history`` (list of {step, loss, …}), ``world_size``, and, over all processes: ``tokens`` of the
        texts trained on and ``forward_tokens``, positions computed.

    Raises:
        W2SError: the loss became NaN or infinite.
    """
    batch = Batch.of(job.arguments, by_layer=True)
    trainer = make_trainer(
        SoftRewardTrainer,
        job,
        configuration(RewardConfig, job, batch, work, max_length=None, **batch.whole),
        tokenizer,
        adapter(adapted_above(job.lora, model), "SEQ_CLS", _whole_modules(getattr(model, "new_weights", set()))),
        model=model,
        pair_loss=job.loss,
        rows=training_rows(job.a_ids, job.b_ids, job.columns, batch.size),
        at_once=batch.at_once,
        raven=job.raven,
    )
    return run(trainer, tokenizer, job, batch, save_to)


def _whole_modules(new_weights: set[str]) -> set[str]:
    """Modules with random weights beside the head, which the task type trains (without one it would stay frozen).

    Such a module (a pooler that the checkpoint lacks) must be trained and saved too, or the saved adapter would meet
    another one.
    """
    return {name.rpartition(".")[0] for name in new_weights if name.split(".")[-2] not in {"score", "classifier"}}
