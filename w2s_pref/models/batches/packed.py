"""Attention of packed rows, each to itself alone: row after row on a CPU, in one kernel or in padded groups on a GPU.

All else in a decoder computes token by token and needs no padding. A GPU would wait for the launches of a kernel a row.
In half precision it has a kernel for all (``varlen``); in others rows of like length are put side by side for attention
only, and taken apart again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from w2s_pref.models.batches import budget, varlen
from w2s_pref.models.batches.batch import FILL, RowBatch, up_to

#: Name of the attention of packed batches among those of transformers.
BY_ROW = "w2s_by_row"

#: Widths of groups are multiples of this: kernels read masks and heads in vectors of 8 or 16 numbers.
WIDTH = 16

#: Padded tokens that one more group is worth: kernels that leave a GPU half idle for some 50 µs a layer, against 0.1 µs
#: for a padded token's attention in a model of 1.5 billion weights. Reckoned, not measured.
GROUP_OVERHEAD = 512

#: Kernels for groups. Not cuDNN's, which torch prefers on an H100 or H200: it plans 20 to 40 ms for every new shape,
#: and groups are of other shapes at every step.
KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

#: (1, H, T, D) query, key and value, dropout and scale -> (1, T, H, D).
Attend = Callable[[Tensor, Tensor, Tensor, float, float | None], Tensor]

_attends: ContextVar[Attend] = ContextVar("attends")


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attend(
    _module: Any, query: Tensor, key: Tensor, value: Tensor, _mask: None, dropout: float = 0.0,
    scaling: float | None = None, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """One function for all batches and outside of compiled graphs: a graph would be made for its batch alone."""
    return _attends.get()(query, key, value, dropout, scaling), None


AttentionInterface.register(BY_ROW, _attend)


@contextmanager
def by_row(model: PreTrainedModel, batch: RowBatch) -> Iterator[None]:
    """Within the block every row of a packed batch attends to itself alone."""
    kernels: AbstractContextManager[Any] = sdpa_kernel(KERNELS) if batch.grouped else nullcontext()
    attend = _at_once(batch) if batch.grouped else _row_after_row(batch)  # before anything is set: masks take memory
    config = model.config.get_text_config()
    before, attends = config._attn_implementation, _attends.set(attend)
    try:
        config._attn_implementation = BY_ROW
        with kernels:
            yield
    finally:
        config._attn_implementation = before
        _attends.reset(attends)


def visible(segments: Tensor) -> Tensor:
    """(B, W) segments -> (B, W, W), True where the query (row) sees the key (column).

    A key is seen from its own column on, by its own segment and, where it lies in the prefix (segment 0), by all.
    Every column sees itself, padding too, so no softmax is over nothing.
    """
    width = segments.shape[1]
    keys, queries = segments[:, None, :], segments[:, :, None]
    causal = torch.ones(width, width, dtype=torch.bool, device=segments.device).tril()
    return ((keys == 0) | (keys == queries)) & causal


def _row_after_row(batch: RowBatch) -> Attend:
    """Each row by SDPA with its own mask."""
    sizes = list(batch.sizes)
    masks = [visible(segments) for segments in torch.split(batch.segments, sizes, 1)]

    def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float, scale: float | None) -> Tensor:
        grouped = key.shape[1] != query.shape[1]
        rows = zip(*(torch.split(each, sizes, 2) for each in (query, key, value)), masks, strict=True)
        read = [
            scaled_dot_product_attention(*row, dropout_p=dropout, scale=scale, enable_gqa=grouped)  # type: ignore[misc]
            for row in rows
        ]
        return torch.cat(read, 2).transpose(1, 2)

    return attend


@dataclass(frozen=True)
class Groups:
    """Where the columns of a packed sequence lie when its rows stand side by side, one group behind the other.

    Attributes:
        slots: (T,) each column's slot, no two alike; the columns of the fill lie behind all groups.
        shapes: rows and width of each group: as many slots.
        size: slots in all, those of padding too.
    """

    slots: np.ndarray
    shapes: list[tuple[int, int]]
    size: int

    @property
    def counts(self) -> list[int]:
        """Slots of each group, and the others."""
        counts = [rows * width for rows, width in self.shapes]
        return [*counts, self.size - sum(counts)]

    def split(self, slots: Tensor) -> list[Tensor]:
        """(size, ...) -> (R, W, ...) of each group."""
        *parts, _ = torch.split(slots, self.counts)
        return [part.view(*shape, *part.shape[1:]) for part, shape in zip(parts, self.shapes, strict=True)]

    def join(self, parts: list[Tensor]) -> Tensor:
        """``split`` the other way, with 0 in the slots of no group."""
        flat = [part.flatten(0, 1) for part in parts]
        return torch.cat([*flat, flat[0].new_zeros(self.counts[-1], *flat[0].shape[1:])])


def groups_of(sizes: tuple[int, ...], columns: int) -> Groups:
    """Rows of like length in one group, as little padding as its cost allows; the number of slots is filled up."""
    starts = np.cumsum([0, *sizes])
    widths = [up_to(size, WIDTH) for size in sizes]
    slots, shapes, begin = np.empty(columns, dtype=np.int64), [], 0
    for rows in budget.split(widths, sys.maxsize, GROUP_OVERHEAD):
        width = max(widths[row] for row in rows)
        for place, row in enumerate(rows):
            first = begin + place * width
            slots[starts[row] : starts[row + 1]] = np.arange(first, first + sizes[row])
        shapes.append((len(rows), width))
        begin += len(rows) * width
    end = begin + columns - int(starts[-1])
    slots[starts[-1] :] = np.arange(begin, end)
    return Groups(slots, shapes, up_to(end, FILL))


def _at_once(batch: RowBatch) -> Attend:
    """All rows by torch's kernel for sequences of any length where there is one, or in groups, made when first used."""
    sequences, groups = batch.sequences, cache(lambda: _in_groups(batch))
    assert sequences is not None
    allowed = torch.backends.cuda.flash_sdp_enabled()  # type: ignore[no-untyped-call]  # before ``KERNELS`` forbid it

    def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float, scale: float | None) -> Tensor:
        dtype = _computed(query)
        if not (allowed and varlen.usable(query, value, dtype, dropout)):
            return groups()(query, key, value, dropout, scale)
        return varlen.attended(query.to(dtype), key.to(dtype), value.to(dtype), sequences, scale)

    return attend


def _in_groups(batch: RowBatch) -> Attend:
    """SDPA over each group of rows, padded, with the masks of all layers made once.

    Every kind of tensor is moved once for all groups. Columns of no row attend to nothing and get 0.
    """
    groups = groups_of(batch.sizes, batch.input_ids.shape[1])
    slots = torch.from_numpy(groups.slots).to(batch.segments.device)
    segments = batch.segments.new_full((groups.size,), batch.texts + 1).index_copy_(0, slots, batch.segments[0])
    seen = [visible(each)[:, None] for each in groups.split(segments)]
    masks: dict[torch.dtype, list[Tensor]] = {}

    def side_by_side(tensor: Tensor, heads: int, dtype: torch.dtype) -> list[Tensor]:
        """(1, G, T, D) -> (R, H, W, D) of each group; heads of keys repeated, for SDPA shares none beside a mask."""
        own = tensor[0].transpose(0, 1).to(dtype)[:, :, None]
        own = own.expand(-1, -1, heads // own.shape[1], -1)
        padded = own.new_zeros(groups.size, *own.shape[1:]).index_copy_(0, slots, own)
        return [each.transpose(1, 2) for each in groups.split(padded.flatten(1, 2))]

    def attend(query: Tensor, key: Tensor, value: Tensor, dropout: float, scale: float | None) -> Tensor:
        dtype = _computed(query)
        if dtype not in masks:
            masks[dtype] = [_added(each, dtype) for each in seen]
        moved = [side_by_side(each, query.shape[1], dtype) for each in (query, key, value)]
        read = [
            scaled_dot_product_attention(*group, dropout_p=dropout, scale=scale)  # type: ignore[misc]
            for group in zip(*moved, masks[dtype], strict=True)
        ]
        taken: Tensor = Taken.apply(groups.join([each.transpose(1, 2) for each in read]), slots)  # type: ignore[no-untyped-call]
        return taken[None]

    return attend


def _computed(query: Tensor) -> torch.dtype:
    """What SDPA computes in: under autocast rotary embeddings give 32 bits, which would be padded for nothing."""
    kind = query.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask in the form to which SDPA would turn one of booleans in every layer."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, float("-inf"))


class Taken(torch.autograd.Function):
    """``index_select`` of entries that are each taken once at most: its gradient is copied to its places.

    Torch adds it there instead, by atomic operations, for it cannot know that no two of them meet.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, slots: Tensor) -> Tensor:
        """(P, ...), (T,) -> (T, ...)."""
        ctx.save_for_backward(slots)
        ctx.size = len(values)
        return values.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """(T, ...) -> (P, ...), 0 at what was not taken."""
        (slots,), (gradient,) = ctx.saved_tensors, gradients
        return gradient.new_zeros(ctx.size, *gradient.shape[1:]).index_copy_(0, slots, gradient), None
