"""Weights over several supervisors, learned with the student (RAVEN, github.com/mlbio-epfl/raven).

The label of a pair is Σ w_s p_s. For the first share of the training only pairs count on which all supervisors agree,
with equal weights; then every step of the student is one step of plain gradient descent of the weights on the same
loss, after which they are moved to 1e-6 at least and divided by their sum. At the end of an epoch they are equal again.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from w2s_pref.training.callbacks import over
from w2s_pref.training.methods import SUPERVISOR

#: The least weight.
LEAST = 1e-6


def agreed(said: Tensor) -> Tensor:
    """(R,) whether all supervisors choose alike; ``said``: (R, S), what each gives to ``a``."""
    above = said > 0.5
    return above.all(dim=-1) | ~above.any(dim=-1)


@torch.no_grad()
def descended(weights: Tensor, grad: Tensor, rate: float) -> Tensor:
    """(S,) one step along the gradient, then back onto the simplex."""
    moved = (weights - rate * grad).clamp(min=LEAST)
    return moved / moved.sum()


class SupervisorWeights(TrainerCallback, ExportableState):  # type: ignore[misc]
    """The weights of one training; they lie in the checkpoint's state.

    Args:
        count: supervisors.
        rate: learning rate of the weights; 0: they stay equal.
        easy: share of the training, in [0, 1], that sees only pairs on which all supervisors agree.

    Attributes:
        weights: (S,), at least about 1e-6, adding up to 1.
        epochs: the weights at the end of every epoch, before they are equal again.
    """

    def __init__(self, count: int, rate: float, easy: float) -> None:
        self.count, self.rate, self.easy = count, rate, easy
        self.weights = torch.full((count,), 1 / count, requires_grad=True)
        self.epochs: list[list[float]] = []

    def label(self, numbers: dict[str, Tensor]) -> Tensor:
        """(R,) probabilities that ``a`` is better, with a gradient to the weights."""
        return self._said(numbers) @ self.weights.to(numbers["weight"].device)

    def counted(self, numbers: dict[str, Tensor], progress: float) -> Tensor:
        """(R,) what each row counts after this share of the training: 0 where supervisors disagree too early."""
        if progress >= self.easy:
            return numbers["weight"]
        return numbers["weight"] * agreed(self._said(numbers))

    def _said(self, numbers: dict[str, Tensor]) -> Tensor:
        return torch.stack([numbers[f"{SUPERVISOR}{number}"] for number in range(self.count)], dim=-1)

    def descend(self) -> None:
        """One step along the gradient of the effective batch, then back onto the simplex."""
        grad = self.weights.grad
        if grad is None:
            return
        if PartialState().num_processes > 1:  # each process holds its part, scaled for the mean over processes
            grad = reduce(grad.to(PartialState().device), reduction="mean").to(self.weights.device)
        self._set(descended(self.weights, grad, self.rate).tolist())

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after every optimizer step: the gradient is that of the step."""
        if (state.global_step - 1) / max(1, state.max_steps) >= self.easy:
            self.descend()
        self.weights.grad = None

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called by the Trainer at the end of an epoch."""
        self.epochs.append(self.weights.tolist())
        self._set([1 / self.count] * self.count)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on from what the checkpoint says."""
        kept = state.stateful_callbacks.get(type(self).__name__, {"attributes": {}})["attributes"]
        self.epochs = list(kept.get("epochs", self.epochs))
        self._set(kept.get("weights", self.weights.tolist()))
        done = ceil(state.epoch or 0.0) if over(state) else floor(state.epoch or 0.0)
        if len(self.epochs) < done:  # the checkpoint was saved before the end of its epoch was told
            self.on_epoch_end(args, state, control)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"weights": self.weights.tolist(), "epochs": self.epochs}}

    def _set(self, values: list[float]) -> None:
        self.weights = torch.tensor(values, requires_grad=True)
