"""How many tokens a training went through, over all processes and across checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState


class TokenCount(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Counts that lie in the checkpoint's state, so that a run which goes on later counts on.

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

    def sum_up(self, accelerator: Any) -> None:
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
