"""Fit one two-output classifier on items with soft labels, and keep its final and its best checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import ceil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.losses.spec import LossSpec
from w2s_pref.training.fit import FitJob, fit
from w2s_pref.training.reward import Loss
from w2s_pref.training.selection import Selection, ValidationItems
from w2s_pref.training.trainer import Job


@dataclass
class ClassifyJob(Job):
    """One training.

    Attributes:
        ids: token ids of every item (``data.items.item_ids``).
        p: labels, the probability of class 1, in [0, 1].
        validation: items that pick checkpoints; None keeps the final one only.
        said: columns with what each of several supervisors says, where ``raven`` weighs them.
    """

    ids: Sequence[Sequence[int]]
    p: Sequence[float]
    loss: LossSpec = field(default_factory=LossSpec)
    validation: ValidationItems | None = None
    said: Mapping[str, Sequence[float]] = field(default_factory=dict)


def fit_classifier(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, job: ClassifyJob, work: Path, save_to: Path
) -> dict[str, Any]:
    """Train, and save to ``save_to/final`` and, with validation items, ``best_weak`` and (an oracle) ``best_truth``.

    Checkpoints and what was seen so far are kept under ``work``; a training found there goes on, bit for bit.

    Returns:
        What ``fit`` says (steps, history, tokens), ``curve``: one row an evaluation with ``step``, ``progress``,
        ``weak_agreement`` and, with an oracle, ``truth_accuracy``; ``picked``: selection → step.

    Raises:
        W2SError: the loss became NaN or infinite, or validation items without labels.
    """
    selection = None
    if job.validation is not None:
        (work / "selection").mkdir(parents=True, exist_ok=True)
        epoch = ceil(len(job.ids) / int(job.arguments["batch_size"]))
        selection = Selection(job.validation, epoch, work / "selection", tokenizer, job.base_path)
    columns = {"p": list(job.p), "sign": [0.0] * len(job.ids), **{name: list(p) for name, p in job.said.items()}}
    shared = {each.name: getattr(job, each.name) for each in fields(Job)} | {"monitor": selection}
    whole = FitJob(job.ids, None, columns, Loss(job.loss), **shared)
    done = fit(model, tokenizer, whole, work, save_to / "final")
    picked = {"final": done["steps"]}
    if selection is not None:
        picked |= selection.collect(save_to)
    return {**done, "curve": selection.curve if selection is not None else [], "picked": picked}
