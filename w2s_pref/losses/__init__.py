"""Losses on a margin, margins of policies, and the registry of both: pure tensors."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """``LossSpec`` and ``mean_loss``, which 0.1 documented here; recipes are checked without torch."""
    if name not in {"LossSpec", "mean_loss"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from w2s_pref.losses import named

    return getattr(named, name)
