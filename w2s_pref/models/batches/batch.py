"""Rows of texts that begin alike, and a batch of them as tensors: what each column is, and which predicts what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from w2s_pref.data.chat import same_start
from w2s_pref.models.batches.varlen import Sequences, sequences_of

#: A packed sequence on a GPU is filled up to a multiple of this, a shorter one to a power of two. At a new length
#: kernels are chosen and memory is cut anew, which takes three times as long as a step; so there are few lengths.
FILL = 1024

#: Devices whose packed rows attend in groups, and whose sequences are filled up.
GROUPED_ON: tuple[str, ...] = ("cuda",)


@dataclass(frozen=True)
class Responses:
    """The response tokens of a batch, M in all; every tensor has shape (M,) but the last three.

    Attributes:
        predictors: flat index, into (B, W), of the column that predicts each token.
        targets: the tokens.
        owners: flat index, into (K, R), of the text each belongs to.
        counts: response tokens of every text, shape (K, R).
        columns: ``predictors``, each once: a column before two answers predicts the first token of both.
        values: (M, C) the rows' values of each token, float32; None where the rows have none.
    """

    predictors: Tensor
    targets: Tensor
    owners: Tensor
    counts: Tensor
    columns: Tensor
    values: Tensor | None = None


@dataclass(frozen=True)
class RowBatch:
    """R rows of K texts each, in B sequences of W columns: B = R (shared), B = K * R (padded) or B = 1 (packed).

    Attributes:
        layout: how the texts lie in the sequences.
        input_ids: (B, W), padded on the right.
        segments: (B, W): 0 in the common prefix, 1 … K in what text 1 … K adds, K + 1 in the padding; in the padded
            layout 0 in the text and K + 1 in the padding.
        positions: (B, W), restarting behind the prefix for each text; None in the padded layout (the model's own).
        last: (K, R), flat index into (B, W) of each text's last token.
        responses: where the rows say where responses start.
        real: tokens that are no padding.
        sizes: tokens of every row in the packed layout; else empty.
        sequences: of a packed batch for a GPU, whose rows attend side by side; its one sequence is filled up.
    """

    layout: Layout
    input_ids: Tensor
    segments: Tensor
    positions: Tensor | None
    last: Tensor
    responses: Responses | None
    real: int
    sizes: tuple[int, ...] = ()
    sequences: Sequences | None = None

    @property
    def texts(self) -> int:
        """Texts of every row, K."""
        return self.last.shape[0]

    @property
    def grouped(self) -> bool:
        """Whether it is laid out for a GPU."""
        return self.sequences is not None

    def to(self, device: torch.device | str) -> RowBatch:
        """The same batch on another device, as that takes it best."""
        if self.layout == "packed" and torch.device(device).type in GROUPED_ON and not self.grouped:
            return filled(self).to(device)
        moved = _moved(self, device)
        if self.responses is not None:
            moved["responses"] = replace(self.responses, **_moved(self.responses, device))
        if self.sequences is not None:
            moved["sequences"] = self.sequences.to(device)
        return replace(self, **moved)


def _moved(part: RowBatch | Responses, device: torch.device | str) -> dict[str, Any]:
    values = {each.name: getattr(part, each.name) for each in fields(part)}
    return {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}


def filled(batch: RowBatch) -> RowBatch:
    """A packed batch for a GPU: behind its rows token 0 (nobody reads it), of no row, so no column moves."""
    assert batch.positions is not None
    columns = batch.input_ids.shape[1]
    more = (0, -columns % min(FILL, 1 << (columns - 1).bit_length()))
    segments = pad(batch.segments, more, value=batch.texts + 1)
    return replace(
        batch,
        input_ids=pad(batch.input_ids, more),
        segments=segments,
        positions=pad(batch.positions, more),
        sequences=sequences_of(segments[0].numpy(), batch.sizes),
    )


def up_to(number: int, multiple: int) -> int:
    """The next multiple, the number itself where it is one."""
    return number + -number % multiple


def collate(rows: Sequence[Row], pad_id: int, layout: Layout) -> RowBatch:
    """Rows of one number of texts, all with ``starts`` or all without, as tensors on the CPU.

    Raises:
        ValueError: a response that starts at 0: its first token has nothing to be predicted from.
    """
    count, padded = len(rows[0].texts), layout == "padded"
    prefixes = [0 if padded else row.prefix for row in rows]
    sizes = tuple(row.tokens for row in rows)
    if layout == "packed":
        height, width = 1, sum(sizes)
    else:
        height = count * len(rows) if padded else len(rows)
        width = max(len(text) for row in rows for text in row.texts) if padded else max(sizes)
    ids = np.full((height, width), pad_id, dtype=np.int64)
    segments = np.full((height, width), count + 1, dtype=np.int64)
    positions = np.zeros((height, width), dtype=np.int64)
    last = np.zeros((count, len(rows)), dtype=np.int64)
    begins = np.zeros((count, len(rows)), dtype=np.int64)  # flat column of each text's first own token
    for number, prefix, k, at, begin in _places(rows, prefixes, layout):
        text = rows[number].texts[k]
        end = begin + len(text) - prefix
        if prefix and k == 0:
            there = slice(begin - prefix, begin)
            ids[at, there], segments[at, there], positions[at, there] = text[:prefix], 0, np.arange(prefix)
        ids[at, begin:end] = text[prefix:]
        segments[at, begin:end] = 0 if padded else k + 1
        positions[at, begin:end] = np.arange(prefix, len(text))
        last[k, number], begins[k, number] = at * width + end - 1, at * width + begin
    return RowBatch(
        layout,
        torch.from_numpy(ids),
        torch.from_numpy(segments),
        None if padded else torch.from_numpy(positions),
        torch.from_numpy(last),
        _responses(rows, prefixes, begins) if rows[0].starts else None,
        int((segments <= count).sum()),
        sizes if layout == "packed" else (),
    )


def _places(rows: Sequence[Row], prefixes: list[int], layout: Layout) -> Iterator[tuple[int, int, int, int, int]]:
    """Row, its prefix, text, sequence and the column where the text's own tokens begin."""
    begin = 0
    for number, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
        begin = begin + prefix if layout == "packed" else prefix
        for k, text in enumerate(row.texts):
            sequence = {"shared": number, "padded": k * len(rows) + number, "packed": 0}[layout]
            yield number, prefix, k, sequence, begin
            begin += 0 if layout == "padded" else len(text) - prefix


def _responses(rows: Sequence[Row], prefixes: list[int], begins: np.ndarray) -> Responses:
    """Every response token, text by text: its predictor is the column before it on its text's own path."""
    predictors, targets = [], []
    counts = np.zeros_like(begins)
    for k in range(len(begins)):
        for number, (row, prefix) in enumerate(zip(rows, prefixes, strict=True)):
            text, start = row.texts[k], row.starts[k]
            if start < 1:
                raise ValueError(
                    "a response starts at index 1 or later: the first token has nothing to be predicted from"
                )
            sequence = begins[0, number] - prefix if prefix else begins[k, number]  # flat column of the first token
            at = np.arange(start - 1, len(text) - 1)
            predictors.append(np.where(at < prefix, sequence + at, begins[k, number] + at - prefix))
            targets.append(np.asarray(text[start:], dtype=np.int64))
            counts[k, number] = len(text) - start
    owners = np.repeat(np.arange(counts.size), counts.reshape(-1))
    at = np.concatenate(predictors).astype(np.int64)
    values = [row.values[k] for k in range(len(begins)) for row in rows] if rows[0].values else None
    read = None if values is None else torch.from_numpy(np.concatenate(values)).float()
    made = [torch.from_numpy(each) for each in (at, np.concatenate(targets), owners, counts, np.unique(at))]
    return Responses(made[0], made[1], made[2], made[3], made[4], read)


#: ``shared``: one sequence a row, its texts' common beginning computed once; ``padded``: one sequence a text;
#: ``packed``: such rows one behind the other in one sequence, without padding, each attending to itself alone.
Layout = Literal["shared", "padded", "packed"]


@dataclass(frozen=True)
class Row:
    """Texts that are computed together.

    Attributes:
        texts: token ids of each text, none empty: one text (an item, a sequence) or a pair's two answers, a first.
        starts: index of the first response token of each text, from 1 to its length; empty where only a head is read.
        values: (tokens, C) numbers of the response tokens of each text; empty where nobody reads any.
    """

    texts: tuple[Sequence[int], ...]
    starts: tuple[int, ...] = ()
    values: tuple[np.ndarray, ...] = ()

    @cached_property
    def prefix(self) -> int:
        """Tokens that all texts begin with; at most ``min(len) - 1``, so that each keeps a last token of its own."""
        first, *others = map(list, self.texts)  # slices of a list and of a tuple would never be equal
        return min([len(first) - 1, *(min(same_start(first, text), len(text) - 1) for text in others)])

    @property
    def tokens(self) -> int:
        """Tokens of the shared form: the prefix once, then what each text adds."""
        return self.prefix + sum(len(text) - self.prefix for text in self.texts)


def row_length(row: Row, layout: Layout) -> int:
    """Tokens that a row takes: of its one sequence, or of all its texts padded to the longest."""
    if layout != "padded":
        return row.tokens
    return len(row.texts) * max(len(text) for text in row.texts)
