"""Fit one two-output classifier on items with soft labels, and keep its final and its best checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from w2s_pref.losses.spec import LossSpec
from w2s_pref.training.fit import FitJob, fit
from w2s_pref.training.progress import Progress
from w2s_pref.training.reward import Loss
from w2s_pref.training.selection import Selection, ValidationItems


@dataclass
class ClassifyJob:
    """One training.

    Attributes:
        ids: token ids of every item (``data.items.item_ids``).
        p: labels, the probability of class 1, in [0, 1].
        arguments: training arguments, complete (``arguments.merged``), ``batch_size`` among them.
        validation: items that pick checkpoints; None keeps the final one only.
        updates: optimizer steps; None for ``num_train_epochs``.
        lora: arguments of a new adapter; ``base_path`` is what it names as its base model.
    """

    ids: Sequence[Sequence[int]]
    p: Sequence[float]
    arguments: dict[str, Any]
    loss: LossSpec = field(default_factory=LossSpec)
    seed: int = 0
    validation: ValidationItems | None = None
    updates: int | None = None
    lora: dict[str, Any] | None = None
    base_path: str = ""
    progress: Progress | None = field(default=None, repr=False)


def fit_classifier(model: Any, tokenizer: Any, job: ClassifyJob, work: Path, save_to: Path) -> dict[str, Any]:
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
    whole = FitJob(
        a_ids=job.ids,
        b_ids=None,
        columns={"p": list(job.p), "sign": [0.0] * len(job.ids)},
        arguments=job.arguments,
        loss=Loss(job.loss),
        seed=job.seed,
        updates=job.updates,
        lora=job.lora,
        base_path=job.base_path,
        progress=job.progress,
        monitor=selection,
    )
    done = fit(model, tokenizer, whole, work, save_to / "final")
    picked = {"final": done["steps"]}
    if selection is not None:
        picked |= selection.collect(save_to)
    return {**done, "curve": selection.curve if selection is not None else [], "picked": picked}
