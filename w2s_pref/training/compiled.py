"""``torch_compile``: decoder layers compiled one by one, for rows of any length, and only while a model trains.

Accelerate would compile the model as a whole. Its graph fits one shape, and our batches have another at every step, so
that torch compiles anew until its limit and then computes uncompiled. A layer that is compiled for any shape is
compiled once for all of them. Where a launch divides the model, or activations are computed again, it stays
accelerate's to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch._dynamo
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from w2s_pref.core.errors import W2SError, shortened
from w2s_pref.models.batches.wrapped import decoder_layers, inner
from w2s_pref.parallel.world import division

log = logging.getLogger(__name__)

#: Graphs that torch may keep of one function. All layers are one function to it, and ask for a graph each where they
#: differ, in training, in evaluation, and for a single row; behind its own limit of 8 it computes uncompiled.
GRAPHS = 64


@dataclass(frozen=True)
class Compiler:
    """What layers are compiled with, as ``torch.compile`` takes it."""

    backend: str | Callable[..., Any] = "inductor"
    mode: str | None = None


def take(arguments: dict[str, Any]) -> Compiler | None:
    """Take transformers' arguments out of ``arguments`` where layers are compiled; a backend or a mode asks for it too.

    They must not reach transformers, which would also let matrix products round to TF32, for good.
    """
    backend, mode = arguments.get("torch_compile_backend"), arguments.get("torch_compile_mode")
    asked = arguments.get("torch_compile") or backend is not None or mode is not None
    if not asked or division() is not None or arguments.get("activation_checkpointing"):
        return None
    for name in ("torch_compile", "torch_compile_backend", "torch_compile_mode"):
        arguments.pop(name, None)
    return Compiler(backend or Compiler.backend, mode)


@contextmanager
def compiled(model: nn.Module, compiler: Compiler | None) -> Iterator[None]:
    """Within the block the model's trained layers are compiled, in place: names of weights stay. None: nothing happens.

    Raises:
        W2SError: torch does not know the backend or the mode, or cannot compile with it here.
    """
    if compiler is None:
        yield
        return
    layers, limit = compilable(model), max(torch._dynamo.config.recompile_limit, GRAPHS)
    try:
        with _told(RuntimeError):
            for layer in layers:
                layer.compile(dynamic=True, backend=compiler.backend, mode=compiler.mode)
        with _told(BackendCompilerFailed), torch._dynamo.config.patch(recompile_limit=limit):
            yield
    finally:
        for layer in layers:
            layer.__dict__.pop("_compiled_call_impl", None)


@contextmanager
def _told(kind: type[RuntimeError]) -> Iterator[None]:
    """What torch says of a backend or mode that it does not know or cannot use here, as a sentence."""
    try:
        yield
    except kind as error:
        reason = shortened(" ".join(str(error).split()))
        raise W2SError(f"training.torch_compile: {reason}; leave it out, or take another backend or mode") from error


def compilable(model: nn.Module) -> Sequence[nn.Module]:
    """Decoder layers from the first that is trained on, but the last; a logged line where there are none.

    Those before are often read instead of computed (``reading``). The last one's MLP runs on some columns by hooks
    (``only_read``), of which a graph would know nothing.
    """
    name, layers = type(inner(model)).__name__, decoder_layers(model)
    if layers is None:
        _say(f"{name}: training.torch_compile compiles nothing: it has no decoder layers by a known name")
        return []
    trained = [at for at, layer in enumerate(layers) if any(weight.requires_grad for weight in layer.parameters())]
    found = list(layers)[trained[0] : -1] if trained else []
    if not found:
        _say(f"{name}: training.torch_compile compiles nothing: no layer but the last is trained")
    return found


@cache
def _say(line: str) -> None:
    """Once a process, not for every student of a study."""
    log.warning(line)
