"""The frozen beginning of a model: its embeddings and first layers are not trained, what lies above them is."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from w2s_pref.core.errors import W2SError
from w2s_pref.models.batches.wrapped import inner

#: Names of what a backbone computes behind its last layer: final norms, poolers, projections out.
BEHIND = frozenset({"norm", "ln_f", "final_layer_norm", "final_layernorm", "final_norm", "pooler", "project_out"})


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers of a transformer, first to last.

    Raises:
        W2SError: there is no list of modules as long as its configuration says.
    """
    own = inner(model)
    count = int(own.config.get_text_config().num_hidden_layers)
    lists = (each for each in own.base_model.modules() if isinstance(each, nn.ModuleList) and len(each) == count)
    found = next(lists, None)
    if found is None:
        raise W2SError(f"freeze_layers: this toolkit does not find the layers of a {type(own).__name__}")
    return found


def freeze(model: PreTrainedModel, count: int) -> None:
    """Train only what is computed behind layer ``count``: embeddings and the first ``count`` layers stay as they are.

    A backward pass ends at the first trained layer, and nothing of the layers under it is kept for one. A language head
    that is tied to the embeddings is frozen with them. The number is remembered as ``model.frozen_layers``.

    Raises:
        W2SError: the model has not more layers than that.
    """
    layers = layers_of(model)
    if not 0 < count < len(layers):
        raise W2SError(f"freeze_layers: {count} of {len(layers)} layers; freeze fewer")
    trained = {id(weight) for layer in layers[count:] for weight in layer.parameters()}
    for name, module in model.base_model.named_modules():
        if name.rpartition(".")[2] in BEHIND and not _within(name, layers, model.base_model):
            trained |= {id(weight) for weight in module.parameters()}
    for weight in model.base_model.parameters():
        weight.requires_grad_(weight.requires_grad and id(weight) in trained)  # the base of an adapter stays frozen
    model.frozen_layers = count


def _within(name: str, layers: nn.ModuleList, base: nn.Module) -> bool:
    """Whether a module is part of a layer: norms there have the names of final ones."""
    prefix = next(each for each, module in base.named_modules() if module is layers)
    return name.startswith(f"{prefix}.")


def adapted_above(lora: dict[str, Any] | None, model: nn.Module) -> dict[str, Any] | None:
    """Arguments of an adapter for the layers behind the frozen ones; as they are where none is frozen."""
    count = getattr(model, "frozen_layers", 0)
    if lora is None or not count:
        return lora
    layers = layers_of(model)
    chosen = lora.get("target_modules")
    if chosen == "all-linear":  # peft takes no layers beside a name that stands for all
        linear = (name for name, module in layers[-1].named_modules() if isinstance(module, (nn.Linear, Conv1D)))
        chosen = sorted({name.rpartition(".")[2] for name in linear})
    asked = lora.get("layers_to_transform")
    asked = list(range(len(layers))) if asked is None else [asked] if isinstance(asked, int) else asked
    behind = [layer for layer in asked if layer >= count]
    if not behind:  # peft takes an empty list for all layers
        raise W2SError(
            f"lora.layers_to_transform names {', '.join(map(str, asked))}, and freeze_layers freezes the first {count} "
            f"layers (0 to {count - 1}): adapters there would not be trained; name layers from {count} on"
        )
    return {**lora, "layers_to_transform": behind, **({"target_modules": chosen} if chosen else {})}
