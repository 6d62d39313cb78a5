"""Training rows in memory: an index that the Trainer shuffles, and the rows of a batch that a process gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch import Tensor

from w2s_pref.models.batches import Row


@dataclass(frozen=True)
class ProcessBatch:
    """The rows of an effective batch that one process gets.

    No mapping and no list, so that neither the Trainer nor accelerate walks through every token id of it.

    Attributes:
        rows: raw rows.
        numbers: columns of one number a row, each of shape (rows,), float32, on the CPU; ``weight`` is one of them.
    """

    rows: list[Row]
    numbers: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tokens(self) -> int:
        """Tokens of all texts of the rows that count, a prompt once for every answer."""
        real = self.numbers["weight"].tolist()
        return sum(len(text) for row, weight in zip(self.rows, real, strict=True) if weight for text in row.texts)


class TrainingSet:
    """The training set, filled up with rows of weight 0 to a multiple of the effective batch.

    Without the fill the last batch of an epoch would be shared differently by different numbers of processes. The
    empty rows copy the shortest one, so they cost next to nothing, and fall anywhere in the shuffled order.
    """

    def __init__(
        self,
        texts: Sequence[Sequence[Sequence[int]]],
        numbers: Mapping[str, Sequence[float]],
        batch_size: int,
        starts: Sequence[Sequence[int]] = (),
    ) -> None:
        """Keep the lists as they are: nothing is copied.

        Args:
            texts: token ids of the first text of every row and, for pairs, those of the second.
            numbers: columns of one number a row; ``weight`` is added.
            starts: where the responses begin, as ``texts``; empty where nobody reads it.
        """
        rows = len(texts[0])
        shortest = min(range(rows), key=lambda row: sum(len(ids[row]) for ids in texts))
        self._texts, self._starts = texts, starts
        self._at = [*range(rows), *([shortest] * (-rows % batch_size))]
        self._numbers = {name: torch.tensor(values, dtype=torch.float)[self._at] for name, values in numbers.items()}
        self._numbers["weight"] = (torch.arange(len(self._at)) < rows).float()

    @property
    def dataset(self) -> Dataset:
        """What the Trainer shuffles: numbers of rows (``row``), and for whoever asks ``tokens`` of their texts."""
        tokens = [sum(len(ids[at]) for ids in self._texts) for at in self._at]
        return Dataset.from_dict({"row": list(range(len(self._at))), "tokens": tokens})

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text of a pair; None for items, which need no mask of ours however long they are."""
        if len(self._texts) == 1:
            return None
        return max(len(ids) for texts in self._texts for ids in texts)

    def collate(self, examples: list[dict[str, int]]) -> dict[str, ProcessBatch]:
        """The collator: from numbers of rows to the rows and their columns, as ``batch``."""
        numbers = [example["row"] for example in examples]
        columns = {name: column[numbers] for name, column in self._numbers.items()}
        return {"batch": ProcessBatch([self._row(number) for number in numbers], columns)}

    def _row(self, number: int) -> Row:
        at = self._at[number]
        return Row(tuple(ids[at] for ids in self._texts), tuple(start[at] for start in self._starts))
