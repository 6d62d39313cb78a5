"""Callbacks of every training: how far it is, and an end where its loss is no longer a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

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
