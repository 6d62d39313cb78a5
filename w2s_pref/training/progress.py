"""Callbacks of every training: how far it is, how many tokens it saw, an end where its loss is no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from w2s_pref.core.errors import W2SError

#: Called with (optimizer steps done, steps in all).
Progress = Callable[[int, int], None]


class StopOnNaN(TrainerCallback):  # type: ignore[misc]
    """End the run with a sentence when the loss is no longer a number."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any
    ) -> None:
        """Called by the Trainer at every logging step."""
        loss = (logs or {}).get("loss")
        norm = (logs or {}).get("grad_norm")
        if any(value is not None and not abs(float(value)) < float("inf") for value in (loss, norm)):
            raise W2SError(
                f"training diverged at step {state.global_step}: loss {loss}, gradient norm {norm}; "
                "lower learning_rate, or set max_grad_norm"
            )


class Report(TrainerCallback):  # type: ignore[misc]
    """Tell the caller how far training is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Called by the Trainer after every optimizer step."""
        self.progress(state.global_step, state.max_steps)


class TokenCount(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Counts of tokens that lie in the checkpoint's state, so that a run which goes on later counts on.

    Attributes:
        tokens: real tokens of the texts trained on, a prompt once for every answer, fill rows not counted.
        forward_tokens: positions that went through the model, padding and ranking passes included.
    """

    def __init__(self) -> None:
        self.tokens = self.forward_tokens = 0
        self._own = [0, 0]

    def add(self, tokens: int, forward_tokens: int) -> None:
        """Count what this process did."""
        self._own[0] += tokens
        self._own[1] += forward_tokens

    def sum_up(self, accelerator: Accelerator) -> None:
        """Add what every process did since the last time; all processes must call."""
        own = accelerator.reduce(torch.tensor(self._own, device=accelerator.device), reduction="sum")
        tokens, forward_tokens = own.tolist()
        self.tokens += tokens
        self.forward_tokens += forward_tokens
        self._own = [0, 0]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"args": {}, "attributes": {"tokens": self.tokens, "forward_tokens": self.forward_tokens}}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Go on from what the checkpoint says."""
        kept = state.stateful_callbacks.get(type(self).__name__, self.state())["attributes"]
        self.tokens, self.forward_tokens = kept["tokens"], kept["forward_tokens"]
