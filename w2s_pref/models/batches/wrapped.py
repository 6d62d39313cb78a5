"""What a model is inside its wrappers (DDP, FSDP, DeepSpeed, torch.compile, PEFT): itself, head, layers, kind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES


def inner(model: nn.Module) -> PreTrainedModel:
    """The transformers model itself."""
    if hasattr(model, "get_base_model"):  # an adapter (PEFT)
        return inner(model.get_base_model())  # type: ignore[operator]
    for name in ("_orig_mod", "module"):  # torch.compile; DDP, FSDP, DeepSpeed
        within = getattr(model, name, None)
        if isinstance(within, nn.Module):
            return inner(within)
    return model


def head(model: nn.Module) -> nn.Module | None:
    """The classification head of a transformers model, None where it has none by a known name."""
    return next((each for name in ("score", "classifier") if (each := getattr(inner(model), name, None))), None)


def decoder_layers(model: nn.Module) -> nn.ModuleList | None:
    """The decoder layers of a transformers model, by its usual names; None where nothing is so called."""
    base = inner(model).base_model
    return next((found for name in ("layers", "h") if (found := getattr(base, name, None))), None)


def is_encoder(config: PretrainedConfig) -> bool:
    """True for architectures trained on masked words: every token sees the whole text.

    Asked of the masked family, because many encoders can be configured as decoders, but no decoder as an encoder.
    """
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Within it the model is in eval mode and nothing is recorded for backward; afterwards all is as before.

    Modes, gradients and the random numbers of Python, numpy and torch: a training goes on as if nothing had been.
    """
    modes = [(module, module.training) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()
    devices = {next(model.parameters()).device.index} if next(model.parameters()).is_cuda else set()
    if torch.cuda.is_available():
        devices.add(torch.cuda.current_device())
    try:
        with torch.random.fork_rng(sorted(devices)), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy)
