"""Hidden states behind a model's frozen layers, looked up by text: batches whose texts are known skip those layers.

Frozen layers say the same of a text at every step, seed and arm. So what they say is computed once and read instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from w2s_pref.models.batches.batch import RowBatch
from w2s_pref.models.batches.wrapped import inner


class StatePlace(NamedTuple):
    """Where the states of a text lie: those of what it shares with another, then those of its own tokens."""

    prefix: int
    shared: int
    own: int
    length: int


class Piece(NamedTuple):
    """One text of a batch: its sequence, where its row begins, the row's prefix in tokens, its own tokens' columns."""

    sequence: int
    first: int
    prefix: int
    begin: int
    end: int
    ids: bytes


@dataclass(frozen=True)
class States:
    """States of texts: ``values`` of some tensors (T, H), each with places by token ids (int32, as bytes)."""

    parts: Sequence[tuple[Tensor, Mapping[bytes, StatePlace]]]

    def of(self, ids: bytes) -> Tensor | None:
        """(length, H) on the CPU, None for a text that is not there."""
        for values, places in self.parts:
            if (at := places.get(ids)) is not None:
                return torch.cat([values[at.prefix : at.prefix + at.shared], values[at.own : at.own + at.length]])
        return None

    def columns(self, batch: RowBatch) -> Tensor | None:
        """(B, W, H) on the batch's device, 0 in the padding; None where a text of it is not there."""
        found: Tensor | None = None
        for piece in pieces(batch):
            states = self.of(piece.ids)
            if states is None:
                return None
            if found is None:
                found = states.new_zeros(*batch.input_ids.shape, states.shape[-1])
            found[piece.sequence, piece.first : piece.first + piece.prefix] = states[: piece.prefix]
            found[piece.sequence, piece.begin : piece.end] = states[piece.prefix :]
        return None if found is None else found.to(batch.input_ids.device)


def pieces(batch: RowBatch) -> Iterator[Piece]:
    """The texts of a batch, one row after another; in the padded layout all of a text is its own."""
    ids, segments = [*batch.input_ids.cpu().numpy().astype(np.int32)], [*batch.segments.cpu().numpy()]
    places = [(sequence, 0) for sequence in range(len(ids))]
    if batch.layout == "packed":
        ends = np.cumsum(batch.sizes)
        ids, segments = np.split(ids[0], ends[:-1]), np.split(segments[0], ends[:-1])
        places = [(0, int(end) - size) for end, size in zip(ends, batch.sizes, strict=True)]
    for (sequence, first), row, segment in zip(places, ids, segments, strict=True):
        if batch.layout == "padded":
            end = int(np.searchsorted(segment, 1))
            yield Piece(sequence, 0, 0, 0, end, row[:end].tobytes())
            continue
        starts = np.searchsorted(segment, np.arange(1, batch.texts + 2))
        prefix = int(starts[0])
        for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            own = row[:prefix].tobytes() + row[begin:end].tobytes()
            yield Piece(sequence, first, prefix, first + begin, first + end, own)


@dataclass(frozen=True)
class _Attached:
    layers: Sequence[nn.Module]
    tuples: bool
    states: States


_attached: WeakKeyDictionary[nn.Module, _Attached] = WeakKeyDictionary()


@contextmanager
def reading(model: nn.Module, layers: Sequence[nn.Module], tuples: bool, states: States) -> Iterator[None]:
    """Within the block the model's forward passes read ``states`` instead of computing ``layers``, its first ones.

    Args:
        tuples: the layers return tuples that begin with their hidden states.
    """
    own = inner(model)
    _attached[own] = _Attached(layers, tuples, states)
    try:
        yield
    finally:
        del _attached[own]


@contextmanager
def skipping(model: nn.Module, batch: RowBatch) -> Iterator[None]:
    """One forward pass: the first layers hand on what they get, and the last of them gives what is known.

    Nothing happens for a model without states, for one that is compiled, or a batch with a text that is not among them.
    """
    own = inner(model)
    compiled = hasattr(model, "_orig_mod") or own._compiled_call_impl is not None  # type: ignore[truthy-function]
    attached = None if compiled else _attached.get(own)
    known = None if attached is None else attached.states.columns(batch)
    if attached is None or known is None:
        yield
        return
    with ExitStack() as stack:
        for layer in attached.layers:
            value = known if layer is attached.layers[-1] else None
            layer.forward = _gives(value, attached.tuples)  # type: ignore[method-assign]
            stack.callback(layer.__dict__.pop, "forward")
        yield


def _gives(value: Tensor | None, tuples: bool) -> Callable[..., Any]:
    def forward(*args: Any, **options: Any) -> Any:
        hidden = value if value is not None else args[0] if args else options["hidden_states"]
        return (hidden,) if tuples else hidden

    return forward
