"""The last layer's MLP only where its output is read: no other column of it reaches a head.

Rewards are read in two columns of a pair, log-probabilities before response tokens. The MLP is most of a layer, so a
model of 3 layers saves an eighth of its time, one of 24 layers little. What is read, and its gradient, stay the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from w2s_pref.models.batches.wrapped import inner


@contextmanager
def only_read(model: nn.Module, shape: tuple[int, int], columns: Tensor) -> Iterator[None]:
    """Within the block, the last MLP runs on some columns only, and gives 0 in all others.

    Hooks of the moment, like those on the head. Models without such an MLP run as they are, and so do those whose last
    layer is recomputed in the backward pass, when the hooks are gone.

    Args:
        shape: (B, W) of the batch.
        columns: flat indices into (B, W), each once: twice would count a gradient twice.
    """
    mlp = last_mlp(model)
    if mlp is None:
        yield
        return

    def gather(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0].flatten(0, 1)[columns][None], *inputs[1:])

    def scatter(_module: Any, _inputs: tuple[Any, ...], output: Any) -> Any:
        found, *more = (output,) if isinstance(output, Tensor) else output
        whole = found.new_zeros(shape[0] * shape[1], found.shape[-1]).index_copy(0, columns, found[0]).view(*shape, -1)
        return whole if isinstance(output, Tensor) else (whole, *more)

    handles = [mlp.register_forward_pre_hook(gather), mlp.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def last_mlp(model: nn.Module) -> nn.Module | None:
    """The MLP of the last decoder layer, by the names of transformers; None where nothing is so called."""
    base = inner(model).base_model
    layers = next((found for name in ("layers", "h") if (found := getattr(base, name, None))), None)
    if layers is None or _recomputed(layers[-1]):
        return None
    mlp: nn.Module | None = getattr(layers[-1], "mlp", None)
    return mlp


def _recomputed(layer: nn.Module) -> bool:
    """Activation checkpointing: transformers' own, or the wrapper that accelerate puts around a layer for FSDP."""
    return hasattr(layer, "_checkpoint_wrapped_module") or (
        layer.training and getattr(layer, "gradient_checkpointing", False)
    )
