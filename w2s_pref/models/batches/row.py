"""A row: one text, or several that begin alike (the two answers to one prompt), as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from w2s_pref.data.chat import same_start

#: ``shared``: one sequence a row, its texts' common beginning computed once; ``padded``: one sequence a text.
Layout = Literal["shared", "padded"]


@dataclass(frozen=True)
class Row:
    """Texts that are computed together.

    Attributes:
        texts: token ids of each text, none empty: one text (an item, a sequence) or a pair's two answers, a first.
        starts: index of the first response token of each text, from 1 to its length; empty where only a head is read.
    """

    texts: tuple[Sequence[int], ...]
    starts: tuple[int, ...] = ()

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
    if layout == "shared":
        return row.tokens
    return len(row.texts) * max(len(text) for text in row.texts)
