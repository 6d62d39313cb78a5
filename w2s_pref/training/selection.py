"""Which checkpoint counts: evaluated on validation items or pairs many times an epoch, the best ones kept.

Weak labels pick ``best_weak``. Ground truth, where somebody gives it, picks ``best_truth``: an oracle for analyses.
Evaluating changes nothing of the training; only ``patience`` ends it, and only by the weak labels.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from torch import nn
from transformers import (
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import replacing
from w2s_pref.labels.make import agreement
from w2s_pref.models.batches.wrapped import untouched
from w2s_pref.models.classifier import margins
from w2s_pref.parallel.probing import agreed, gathered, shard

#: Evaluations an epoch (every step, where it has fewer): what Burns et al. ask for to see overfitting.
POINTS = 20

#: The file of a kept model that says of which evaluation it is; written last, so a torn one has none.
POINT = "point.json"

#: What each selection maximises, as it is called in the curve.
MEASURES = {"best_weak": "weak_agreement", "best_truth": "truth_accuracy"}


@dataclass(frozen=True)
class ValidationItems:
    """Items, or pairs, that are not trained on.

    Attributes:
        ids: token ids of each item; not read where there is a ``score``.
        p: the supervisor's labels of them, in [0, 1].
        oracle_truth: ground truth, 0 or 1; only adds ``best_truth`` and a column to the curve.
        points: evaluations an epoch.
        patience: evaluations without a better agreement with ``p`` after which training ends; None: never.
        score: called with the model and (rank, world), gives the margin of each, NaN where another rank computes;
            None: those of a two-output classifier.
    """

    ids: Sequence[Sequence[int]] = ()
    p: Sequence[float] = ()
    oracle_truth: Sequence[int] | None = None
    points: int = POINTS
    patience: int | None = None
    score: Callable[[nn.Module, tuple[int, int]], Floats] | None = None


class Selection(TrainerCallback):  # type: ignore[misc]
    """Evaluate on validation items, and save the model wherever it is better than ever before.

    Args:
        epoch: optimizer steps of an epoch.
        work: where the curve and the kept models lie; a resumed training goes on with them.
        base_path: what a kept adapter names as its base model.

    Raises:
        W2SError: no items, or not one label each.
    """

    def __init__(
        self, items: ValidationItems, epoch: int, work: Path, tokenizer: PreTrainedTokenizerBase, base_path: str = ""
    ) -> None:
        labels = [items.p] if items.oracle_truth is None else [items.p, items.oracle_truth]
        count = len(items.ids) if items.score is None else len(items.p)
        if not count or any(len(each) != count for each in labels):
            raise W2SError("validation: give at least one item, and a label for each")
        self.items, self.epoch, self.work = items, epoch, work
        self.tokenizer, self.base_path = tokenizer, base_path
        self.texts = [tuple(ids) for ids in items.ids]
        self.targets = dict(zip(MEASURES, (np.asarray(each, dtype=float) for each in labels), strict=False))
        self.curve: list[dict[str, float]] = []
        self.kept: dict[str, dict[str, float]] = {}
        self._trainer: Trainer = None

    def attach(self, trainer: Trainer) -> Selection:
        """Add it to the Trainer whose model it saves."""
        self._trainer = trainer
        trainer.add_callback(self)
        return self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer once a checkpoint is loaded: a resumed training knows what was seen before."""
        curve: list[dict[str, float]] = _read(self.work / "curve.json", []) if state.global_step else []
        kept = {name: _read(self.work / name / POINT, {}) for name in self.targets} if state.global_step else {}
        self.curve = agreed([point for point in curve if point["step"] <= state.global_step])
        self.kept = agreed({name: point for name, point in kept.items() if point})

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after every optimizer step."""
        step, points = state.global_step, self.items.points
        if step * points // self.epoch > (step - 1) * points // self.epoch or step >= state.max_steps:
            self._evaluate(state, control, kwargs["model"])

    def _evaluate(self, state: TrainerState, control: TrainerControl, model: nn.Module) -> None:
        part = shard()
        with untouched(model):
            found = gathered(self._margins(model, part), part)
        seen = agreed({name: float(agreement(found, target)) for name, target in self.targets.items()})
        point = {"step": state.global_step, "progress": state.global_step / max(1, state.max_steps)}
        self.curve.append(point | {MEASURES[name]: value for name, value in seen.items()})
        for name, value in seen.items():
            if name not in self.kept or value > self.kept[name][MEASURES[name]]:
                self._save_best(name, self.curve[-1])
        if state.is_world_process_zero:
            with replacing(self.work / "curve.json") as temporary:  # torn, a resumed training would have seen nothing
                temporary.write_text(json.dumps(self.curve), encoding="utf-8")
        agreements = [point["weak_agreement"] for point in self.curve]
        waited = len(agreements) - 1 - agreements.index(max(agreements))
        if self.items.patience is not None and waited >= self.items.patience:
            control.should_training_stop = True

    def _margins(self, model: nn.Module, part: tuple[int, int]) -> Floats:
        if self.items.score is not None:
            return self.items.score(model, part)
        return margins(model, self.texts, self.tokenizer.pad_token_id, part)

    def _save_best(self, name: str, point: dict[str, float]) -> None:
        """Save the model as it stands; every process takes part."""
        from w2s_pref.training.trainer import save

        folder, main = self.work / name, self._trainer.accelerator.is_main_process
        if main:
            (folder / POINT).unlink(missing_ok=True)
        save(self._trainer, self.tokenizer, folder, self.base_path)
        if main:
            (folder / POINT).write_text(json.dumps(point), encoding="utf-8")
        self.kept[name] = point

    def restore(self, folder: Path) -> dict[str, Any]:
        """Put the model that agreed best with the weak labels into ``folder``, in the final one's place; all call.

        The kept one stays under ``work``: who is killed before the stage is whole comes back to it.

        Returns:
            ``selection``: its step, and the curve of the evaluations.
        """
        state, best = PartialState(), self.work / "best_weak"
        if state.is_main_process:
            shutil.copytree(best, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(POINT))
        state.wait_for_everyone()
        return {"selection": {"step": int(self.kept["best_weak"]["step"]), "curve": self.curve}}

    def collect(self, folder: Path) -> dict[str, int]:
        """Copy the kept models to ``folder/<selection>``; the step that each was saved after. All processes call.

        They stay under ``work`` as well: who is killed before the stage is whole comes back to them.
        """
        state = PartialState()
        if state.is_main_process:
            for name in self.kept:
                shutil.rmtree(folder / name, ignore_errors=True)
                shutil.copytree(self.work / name, folder / name, ignore=shutil.ignore_patterns(POINT))
        state.wait_for_everyone()
        return {name: int(point["step"]) for name, point in self.kept.items()}


def _read(file: Path, otherwise: Any) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise
