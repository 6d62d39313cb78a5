"""Batches for a pass over many texts: each distinct text in one row, pairs side by side where prompts are shared."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, TypeVar

from w2s_pref.models.batches import budget
from w2s_pref.models.batches.batch import RowBatch, collate
from w2s_pref.models.batches.layout import layout_of
from w2s_pref.models.batches.row import Row, row_length

Name = TypeVar("Name", bound=Hashable)


def grouped(pairs: Sequence[tuple[Name, ...]]) -> list[tuple[Name, ...]]:
    """The same texts, each once: a pair keeps what no earlier pair holds."""
    seen: set[Name] = set()
    groups = []
    for pair in pairs:
        group = tuple(name for name in dict.fromkeys(pair) if name not in seen)
        seen.update(group)
        if group:
            groups.append(group)
    return groups


def batches(
    model: Any, rows: Sequence[Row], pad_id: int, tokens: int, shard: tuple[int, int] = (0, 1)
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
