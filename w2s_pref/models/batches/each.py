"""Batches for a pass over many texts: each distinct text in one row, pairs side by side where prompts are shared."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from w2s_pref.data.token_cache import Tokenized
from w2s_pref.data.tokens import Ids
from w2s_pref.models.batches import budget
from w2s_pref.models.batches.batch import Row, RowBatch, collate, row_length
from w2s_pref.models.batches.layout import layout_of

Name = TypeVar("Name", bound=Hashable)


#: Padded tokens per forward pass. Not part of any key: it does not change scores.
TOKEN_BUDGET = 8192


def distinct(texts: Iterable[Name]) -> tuple[list[Name], list[int]]:
    """Every text once, in the order of first sight, and where each of ``texts`` stands among these."""
    place: dict[Name, int] = {}
    places = [place.setdefault(text, len(place)) for text in texts]
    return list(place), places


def pair_rows(tokens: Tokenized) -> tuple[list[Row], np.ndarray]:
    """Rows that hold each distinct text of the pairs once: a pair's row holds those that no earlier pair has.

    Returns:
        The rows, and for the pairs' texts, (2, n) with a's first, their number among all texts of the rows. The same
        ids with responses that start elsewhere are another text.
    """
    a = _names(tokens.a_ids, tokens.a_starts)
    b = _names(tokens.b_ids, tokens.b_starts)
    number: dict[tuple[bytes, tuple[int, ...]], int] = {}
    rows = []
    for pair in zip(a, b, strict=True):
        new = [name for name in dict.fromkeys(pair) if name not in number]
        for name in new:
            number[name] = len(number)
        if new:
            rows.append(Row(tuple(array("i", ids) for ids, _ in new), tuple(at for _, start in new for at in start)))
    return rows, np.array([number[name] for name in a + b], dtype=np.int64).reshape(2, -1)


def _names(ids: Sequence[Ids], starts: Sequence[int]) -> list[tuple[bytes, tuple[int, ...]]]:
    """A text's ids, and where its response begins (nowhere, where nobody asked)."""
    begins = [(start,) for start in starts] if starts else [()] * len(ids)
    return [(each.tobytes(), begin) for each, begin in zip(ids, begins, strict=True)]


@torch.no_grad()
def read_texts(
    model: nn.Module,
    rows: Sequence[Row],
    pad_id: int,
    read: Callable[[nn.Module, RowBatch], np.ndarray],
    tokens: int,
    shard: tuple[int, int] = (0, 1),
    width: tuple[int, ...] = (),
) -> np.ndarray:
    """What ``read`` says of every text of the rows, in their order: (texts, *width), float64.

    Args:
        read: called with the model, in eval mode, and a batch; returns (K, R, *width).
        tokens: most padded tokens of a batch.
        shard: (rank, world); the texts of other ranks stay NaN.
    """
    model.eval()
    values = np.full((sum(len(row.texts) for row in rows), *width), np.nan)
    for numbers, batch in batches(model, rows, pad_id, tokens, shard):
        values[np.array(numbers)] = read(model, batch)
    return values


def batches(
    model: nn.Module, rows: Sequence[Row], pad_id: int, tokens: int, shard: tuple[int, int] = (0, 1)
) -> Iterator[tuple[list[tuple[int, ...]], RowBatch]]:
    """Batches of rows on the model's device, each with the numbers of its texts, (K, R), counted through all rows.

    Rows of several texts are taken apart where the model cannot share prompts. ``shard`` = (rank, world): this rank's
    batches only; all ranks form the same ones.
    """
    longest = max((len(text) for row in rows for text in row.texts), default=0)
    several = any(len(row.texts) > 1 for row in rows)
    layout = layout_of(model, pad_id, longest if several else None)
    numbers, at = [], 0
    for row in rows:
        numbers.append(tuple(range(at, at + len(row.texts))))
        at += len(row.texts)
    if layout == "padded":
        rows = [Row((text,), row.starts[k : k + 1]) for row in rows for k, text in enumerate(row.texts)]
        numbers = [(number,) for number in range(at)]
    device, done = next(model.parameters()).device, 0
    for count in sorted({len(row.texts) for row in rows}, reverse=True):
        members = [number for number, row in enumerate(rows) if len(row.texts) == count]
        lengths = [row_length(rows[member], layout) for member in members]
        for part in budget.split(lengths, tokens, overhead=budget.overhead(model)):
            done += 1
            if (done - 1) % shard[1] == shard[0]:
                chosen = [members[index] for index in part]
                batch = collate([rows[member] for member in chosen], pad_id, layout).to(device)
                yield list(zip(*(numbers[member] for member in chosen), strict=True)), batch
