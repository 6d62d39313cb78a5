"""Fit one policy on pairs: from token ids, labels and reference log-probabilities to a saved model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import DPOConfig

from w2s_pref.core.errors import W2SError
from w2s_pref.losses import margins
from w2s_pref.losses.pairs import PairObjective
from w2s_pref.training.fit import Batch, Job, Monitor, adapter, configuration, make_trainer, run
from w2s_pref.training.policy import PolicyTrainer, policy_rows


@dataclass
class PolicyJob(Job):
    """One training of a policy.

    Attributes:
        a_ids, b_ids: token ids of prompt and answer; the responses begin at ``a_starts``, ``b_starts``.
        columns: ``p`` (label), ``sign`` (ground truth, ±1 where the explicit conflict reads it, else 0) and, where the
            margin reads them, ``ref_a``, ``ref_b`` (summed response log-probabilities under the reference).
        base: folder of the recipe, where the file of a user's margin is looked up.
    """

    a_ids: Sequence[Sequence[int]]
    b_ids: Sequence[Sequence[int]]
    a_starts: list[int]
    b_starts: list[int]
    columns: dict[str, list[float]]
    objective: PairObjective
    base: Path = field(default=Path(), kw_only=True)
    monitor: Monitor | None = field(default=None, repr=False, kw_only=True)


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
    batch = Batch.of(job.arguments)
    lists = {name: getattr(job, name) for name in ("a_ids", "b_ids", "a_starts", "b_starts")}
    trainer = make_trainer(
        PolicyTrainer,
        job,
        configuration(DPOConfig, job, batch, work, precompute_ref_log_probs=True, **batch.whole),
        tokenizer,
        None if hasattr(model, "get_base_model") else adapter(job, "CAUSAL_LM", set()),
        model=model,
        objective=job.objective,
        base=job.base,
        rows=policy_rows(lists, job.columns, batch.size, job.objective.preferred_only),
        at_once=batch.at_once,
    )
    done = run(trainer, tokenizer, job, batch, save_to, job.monitor)
    _take_off_head(trainer.accelerator.unwrap_model(trainer.model))
    return done


def _take_off_head(model: PreTrainedModel) -> None:
    """Undo TRL's change of the model's forward: the model is as it will be loaded."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner.__dict__.pop("forward", None)
