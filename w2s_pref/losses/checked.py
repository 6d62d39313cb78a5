"""Tensors that a user's function returns: checked on its first batch, before a training goes astray for hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from w2s_pref.core.errors import W2SError


def checked(value: Any, like: Tensor, what: str) -> Tensor:
    """``value``, where it is one finite floating-point number for each of ``like``.

    Raises:
        W2SError: not a floating tensor of that shape, with numbers that are not finite, or without a gradient where
            ``like`` has one.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"
        raise W2SError(f"{what} returned something that is {kind}; return a floating-point tensor")
    if value.shape != like.shape:
        raise W2SError(f"{what} returned shape {tuple(value.shape)}; return one number a pair, {_shape(like)}")
    if not torch.isfinite(value).all():
        raise W2SError(f"{what} returned numbers that are not finite; check its divisions and logarithms")
    if like.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
        raise W2SError(f"{what} returned numbers without a gradient; compute them from the margin with torch")
    return value


def _shape(like: Tensor) -> str:
    return f"({len(like)},)" if like.ndim == 1 else str(tuple(like.shape))


class Checked:
    """A function called by keyword that returns one number for each margin; its first result is checked."""

    def __init__(self, function: Callable[..., Any], what: str) -> None:
        self._function, self._what, self._seen = function, what, False

    def __call__(self, margin: Tensor, **values: Any) -> Tensor:
        """The function's numbers, of the shape of ``margin``."""
        found: Tensor = self._function(margin=margin, **values)
        if not self._seen:
            checked(found, margin, self._what)
            self._seen = True
        return found
