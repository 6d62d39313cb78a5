"""The models of a PPO run: policy, reference and value model, as full models or as adapters on one base.

Full weights: the reference is a model of its own (a copy of the start where none is given), the value model a copy of
the start's backbone. LoRA: all three share one base. The reference is the base with its adapter off, or, where the
policy started from a saved adapter, a frozen copy of that adapter; the value model is an adapter of its own, begun as
a copy of the policy's, so that value gradients never touch the policy. In every case the value head is a linear map
without bias that starts at zero.

All models stay in evaluation mode, in training too: with dropout, a probability ratio would differ from one before
anything was learned.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches import RowBatch
from w2s_pref.models.batches.read import forward, read_logits

#: Adapters beside the policy's own.
VALUE, REFERENCE = "w2s_value", "w2s_reference"


class Players:
    """Policy, reference and value model of one run.

    Args:
        model: the start: a causal language model, or one with a LoRA adapter that is to be trained on.
        reference: a frozen model to stay near; None for the start itself.
        lora: ``peft.LoraConfig`` arguments of a new adapter, or None.
        temperature: log-probs are those of logits / temperature, as sampled.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        reference: PreTrainedModel | None,
        lora: dict[str, Any] | None,
        temperature: float,
        device: torch.device,
    ) -> None:
        from_adapter = hasattr(model, "peft_config")
        self.policy = _with_adapter(model, lora) if lora is not None and not from_adapter else model
        self.shared = hasattr(self.policy, "peft_config")
        self.own = str(self.policy.active_adapter) if self.shared else ""
        self.temperature = temperature
        self.reference: PreTrainedModel | None = reference
        self._reference_adapter: str | None = None
        if self.shared:
            if reference is None and from_adapter:
                self._reference_adapter = self._copy_adapter(REFERENCE)
            self._copy_adapter(VALUE)
            self.backbone = self.policy.get_base_model().base_model
        else:
            self.backbone = copy.deepcopy(model.base_model)
            if reference is None:
                self.reference = copy.deepcopy(model)
        self.policy.to(device).eval()
        self.backbone.to(device).eval()
        if self.reference is not None:
            self.reference.to(device).eval().requires_grad_(False)
            _same_vocabulary(self.policy, self.reference)
        width = self.policy.get_output_embeddings().weight.shape[1]
        self.head = nn.Linear(width, 1, bias=False, device=device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)

    def _copy_adapter(self, name: str) -> str:
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        config = copy.deepcopy(self.policy.peft_config[self.own])
        config.inference_mode = False
        self.policy.add_adapter(name, config)
        weights = get_peft_model_state_dict(self.policy, adapter_name=self.own)
        set_peft_model_state_dict(self.policy, {key: value.clone() for key, value in weights.items()}, name)
        self.policy.set_adapter(self.own)
        return name

    @contextmanager
    def valuing(self) -> Iterator[None]:
        """Inside, the shared base carries the value adapter; backward passes of value losses belong inside as well."""
        with self._adapter(VALUE) if self.shared else nullcontext():
            yield

    @contextmanager
    def _adapter(self, name: str) -> Iterator[None]:
        self.policy.set_adapter(name)
        try:
            yield
        finally:
            self.policy.set_adapter(self.own)

    def trainable(self) -> dict[str, dict[str, nn.Parameter]]:
        """Trainable parameters by name, of ``policy`` and of ``value``."""
        policy = {name: each for name, each in self.policy.named_parameters() if each.requires_grad}
        with self.valuing():
            value = {name: each for name, each in self.backbone.named_parameters() if each.requires_grad}
        return {"policy": policy, "value": {**value, "head": self.head.weight}}

    def policy_logits(self, batch: RowBatch) -> Tensor:
        """(M, V) logits of the policy at the M tokens of the answers, over temperature, in float32."""
        return self._logits(self.policy, batch)

    @torch.no_grad()
    def reference_logprobs(self, batch: RowBatch) -> Tensor:
        """(M,) log-probs of the answers' tokens under the reference."""
        if self.reference is not None:
            logits = self._logits(self.reference, batch)
        elif self._reference_adapter is not None:
            with self._adapter(self._reference_adapter):
                logits = self._logits(self.policy, batch)
        else:
            with self.policy.disable_adapter():
                logits = self._logits(self.policy, batch)
        assert batch.responses is not None
        return logprobs_of(logits, batch.responses.targets)

    def values(self, batch: RowBatch) -> Tensor:
        """(M,) values of the states before each token of the answers; call inside ``valuing``."""
        assert batch.responses is not None
        states = forward(self.backbone, batch, batch.responses.columns).last_hidden_state
        values: Tensor = self.head(states.flatten(0, 1)[batch.responses.predictors].float()).squeeze(-1)
        return values

    def _logits(self, model: PreTrainedModel, batch: RowBatch) -> Tensor:
        logits = read_logits(model, batch).float()
        return logits if self.temperature == 1 else logits / self.temperature

    def finish(self) -> PreTrainedModel:
        """The trained policy, without the adapters that were there for training only."""
        for name in (VALUE, REFERENCE):
            if self.shared and name in self.policy.peft_config:
                self.policy.delete_adapter(name)
        return self.policy


def logprobs_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """(M,) log-probs of ``tokens`` (M,) under ``logits`` (M, V)."""
    return -cross_entropy(logits, tokens, reduction="none")


def _plain(policy: PreTrainedModel) -> PreTrainedModel:
    return policy.get_base_model() if hasattr(policy, "peft_config") else policy


def _with_adapter(model: PreTrainedModel, lora: dict[str, Any]) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model

    try:
        return get_peft_model(model, LoraConfig(**{"task_type": "CAUSAL_LM", **lora}))
    except (ValueError, TypeError) as error:
        raise W2SError(f"lora: {error}") from error


def _same_vocabulary(policy: PreTrainedModel, reference: PreTrainedModel) -> None:
    """KL between policies over different tokens has no meaning."""
    sizes = [_plain(model).get_output_embeddings().weight.shape[0] for model in (policy, reference)]
    if sizes[0] != sizes[1]:
        raise W2SError(
            f"ppo: the policy has {sizes[0]} tokens and its reference {sizes[1]}; give a reference with the policy's "
            "tokenizer, or none (then it is the policy as it starts)"
        )
