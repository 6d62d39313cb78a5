"""Attention of packed rows by torch's kernel for sequences of any length, which needs neither padding nor masks.

A row's texts lie behind their common prefix. The first, prefix included, is a sequence of its own. The others are
sequences of queries whose keys are the prefix, a second time, and their own: the kernel's causal mask is aligned with
the last key, so that each token sees all of the prefix and what comes before it in its own text. Queries lie where
they are; only keys and values are gathered, of which grouped attention has few.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Size of a head: multiples of the first up to the second is what the kernel takes.
HEAD, LARGEST_HEAD = 8, 256


@dataclass(frozen=True)
class Sequences:
    """Where the queries and keys of every sequence lie. T: columns of the packed batch; S: sequences; P: keys.

    Attributes:
        queries: (S + 1,) int32, first column of each, and T.
        keys: (S + 1,) int32, first key of each, and P.
        columns: (P,) column of each key.
        own: (T,) the key of each column in its own text.
        again: for every text of a row but the first, columns of prefixes and their keys there, (N,) both.
        longest: queries and keys of the longest.
    """

    queries: Tensor
    keys: Tensor
    columns: Tensor
    own: Tensor
    again: tuple[tuple[Tensor, Tensor], ...]
    longest: tuple[int, int]

    def to(self, device: torch.device | str) -> Sequences:
        """The same on another device."""
        queries, keys, columns, own = (each.to(device) for each in (self.queries, self.keys, self.columns, self.own))
        again = tuple((at.to(device), repeated.to(device)) for at, repeated in self.again)
        return Sequences(queries, keys, columns, own, again, self.longest)


def sequences_of(segments: np.ndarray, sizes: Sequence[int]) -> Sequences:
    """Of a packed batch's segments (T,), 0 in a prefix, and the tokens of its rows; what fills it up is by itself.

    The fill is cut into pieces no longer than the longest row, for the kernel's work is laid out for the longest.
    """
    queries, keys, columns = [0], [0], []
    again: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for begin, end in zip(np.cumsum([0, *sizes[:-1]]), np.cumsum(sizes), strict=True):
        row = segments[begin:end]
        prefix = begin + np.arange(np.count_nonzero(row == 0))
        cuts = [begin, *(begin + 1 + np.flatnonzero((np.diff(row) != 0) & (row[1:] > 1))), end]
        for text, (first, last) in enumerate(pairwise(cuts)):
            if text:
                again.setdefault(text, []).append((prefix, keys[-1] + np.arange(len(prefix))))
                columns.append(prefix)
            columns.append(np.arange(first, last))
            queries.append(last)
            keys.append(keys[-1] + (len(prefix) if text else 0) + last - first)
    filled = queries[-1]
    for first in range(filled, len(segments), max(sizes)):
        last = min(first + max(sizes), len(segments))
        columns.append(np.arange(first, last))
        queries.append(last)
        keys.append(keys[-1] + last - first)
    return _as_tensors(queries, keys, np.concatenate(columns), again)


def _as_tensors(
    queries: list[int], keys: list[int], columns: np.ndarray, again: dict[int, list[tuple[np.ndarray, np.ndarray]]]
) -> Sequences:
    starts = [torch.tensor(each, dtype=torch.int32) for each in (queries, keys)]
    pairs = [tuple(np.concatenate(part) for part in zip(*again[text], strict=True)) for text in sorted(again)]
    own = np.ones(len(columns), dtype=bool)
    for _, repeated in pairs:
        own[repeated] = False
    slots = np.empty(queries[-1], dtype=np.int64)
    slots[columns[own]] = np.flatnonzero(own)
    longest = (int(np.diff(queries).max()), int(np.diff(keys).max()))
    moved = tuple((torch.from_numpy(at), torch.from_numpy(repeated)) for at, repeated in pairs)
    return Sequences(starts[0], starts[1], torch.from_numpy(columns), torch.from_numpy(slots), moved, longest)


class Gathered(torch.autograd.Function):
    """Keys or values of all sequences; a prefix's gradients are added in the order of the texts, the same every time.

    Torch's own would be added by atomic operations, one number after the other.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, sequences: Sequences) -> Tensor:
        """(T, ...) -> (P, ...)."""
        ctx.sequences = sequences
        return values.index_select(0, sequences.columns)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """(P, ...) -> (T, ...)."""
        (gradient,) = gradients
        found = gradient.index_select(0, ctx.sequences.own)
        for columns, keys in ctx.sequences.again:
            more = found.index_select(0, columns) + gradient.index_select(0, keys)
            found.index_copy_(0, columns, more)
        return found, None


def usable(query: Tensor, value: Tensor, dtype: torch.dtype, dropout: float) -> bool:
    """The kernel is here and takes such heads: half precision, of one size, on a GPU that has it, without dropout."""
    size = query.shape[-1]
    return (
        query.is_cuda
        and value.shape[-1] == size
        and dtype in (torch.bfloat16, torch.float16)
        and not dropout
        and size % HEAD == 0
        and size <= LARGEST_HEAD
        and kernel() is not None
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


@cache
def kernel() -> Callable[..., Any] | None:
    """``torch.nn.attention.varlen_attn``, causal, as this version of torch has it; None: it has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    if "scale" not in known:
        return None
    words: dict[str, Any] = {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    if "enable_gqa" in known:
        words["enable_gqa"] = True
    return partial(varlen_attn, **words)


def attended(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float | None) -> Tensor:
    """(1, H, T, D) query, (1, G, T, D) key and value, in half precision -> (1, T, H, D)."""
    attend = kernel()
    assert attend is not None
    own, *shared = (each[0].transpose(0, 1) for each in (query, key, value))
    keys, values = (Gathered.apply(each, sequences) for each in shared)  # type: ignore[no-untyped-call]
    found: Tensor = attend(own, keys, values, sequences.queries, sequences.keys, *sequences.longest, scale=scale)
    return found[None]
