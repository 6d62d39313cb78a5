"""What lies inside a wrapped model: DDP, FSDP, DeepSpeed, torch.compile, PEFT."""

from __future__ import annotations

from typing import Any

from torch import nn


def inner(model: Any) -> Any:
    """The transformers model itself."""
    while True:
        if hasattr(model, "get_base_model"):  # an adapter (PEFT)
            model = model.get_base_model()
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):  # torch.compile
            model = model._orig_mod
        elif isinstance(getattr(model, "module", None), nn.Module):  # DDP, FSDP, DeepSpeed
            model = model.module
        else:
            return model


def head(model: Any) -> Any:
    """The classification head of a transformers model, None where it has none by a known name."""
    return next((each for name in ("score", "classifier") if (each := getattr(inner(model), name, None))), None)
