"""The code under test in float64: there an equality of real arithmetic can be told from one that is almost kept.

Float32 rounds at 6e-8, in another way on every processor and for every shape of a batch, and AdamW divides by what may
be rounding alone. So no bound on two float32 trainings says whether they compute the same thing; in float64 the same
code must agree to ``EXACT``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode

#: What two ways to the same weights, losses and scores (of size 1) may differ by. Float64 rounds at 1e-16, and what a
#: few thousand additions in another order leave of that is some 1e-15. SGD adds lr * 1e-15 a step. AdamW moves a weight
#: by at most lr / epsilon = 1e-3 / 1e-8 times an error of its gradient; that much only where the gradient itself is
#: below 1e-8, a sum of terms of some 1e-4 that cancel, which errs by 1e-20 or so each: 1e-14 a step, 1e-13 in ten.
#: One row left out of a batch, or weighed twice, shows at 1e-3.
EXACT = 1e-12
_ENGINE = torch.autograd._engine_run_backward


class _Widened(TorchFunctionMode):
    """Every cast to float32, of this package or of a library, is one to float64."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        args = tuple(torch.float64 if each is torch.float32 else each for each in args)
        kwargs = {name: torch.float64 if each is torch.float32 else each for name, each in (kwargs or {}).items()}
        return func(*args, **kwargs)


def _backward(*args: Any, **kwargs: Any) -> Any:
    """The backward pass: a mode is off within its own handler, but layers are computed again here."""
    with _Widened():
        return _ENGINE(*args, **kwargs)


@contextmanager
def in_float64() -> Iterator[None]:
    """New models, and all arithmetic of this thread, in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with patch.object(torch.autograd, "_engine_run_backward", _backward), _Widened():
            yield
    finally:
        torch.set_default_dtype(before)
