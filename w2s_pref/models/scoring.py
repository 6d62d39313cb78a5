"""Score texts with a classification head: sorted by length, batched by token budget, each distinct text once.

The two answers of a pair are computed behind one prompt where the model can (``rows``). The score of a text does not
depend on its batch.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from w2s_pref.data.tokens import Overlong, tokenize
from w2s_pref.models.batches import Row, read_heads
from w2s_pref.models.batches.each import batches, grouped
from w2s_pref.models.batches.wrapped import inner

#: Padded tokens per forward pass. Not part of any key: it does not change scores.
TOKEN_BUDGET = 8192


@torch.no_grad()
def row_outputs(
    model: Any,
    rows: Sequence[Row],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """The head's outputs for every text of the rows, in their order, shape (texts, outputs), float64.

    Args:
        shard: (rank, world); the texts of other ranks stay NaN.
    """
    model.eval()
    outputs = np.full((sum(len(row.texts) for row in rows), inner(model).config.num_labels), np.nan)
    for numbers, batch in batches(model, rows, pad_id, budget, shard):
        outputs[np.array(numbers)] = read_heads(model, batch).double().cpu().numpy()
    return outputs


def class_ids(
    model: Any,
    sequences: Sequence[Sequence[int]],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Logits of a classifier, shape (n, outputs), float64; the texts of other ranks stay NaN."""
    return row_outputs(model, [Row((ids,)) for ids in sequences], pad_id, budget, shard)


def score_ids(
    model: Any,
    sequences: Sequence[Sequence[int]],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Rewards, shape (n,), float64. ``shard`` = (rank, world): the batches of other ranks stay NaN."""
    rewards: np.ndarray = class_ids(model, sequences, pad_id, budget, shard)[:, 0]
    return rewards


def score_pairs(
    model: Any,
    tokenizer: Any,
    pairs: pd.DataFrame,
    max_length: int | None = 512,
    overlong: Overlong = "truncate",
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> pd.DataFrame:
    """Raw scores of every pair: ``id, score_a, score_b``, one row per kept pair, in the order of ``pairs``."""
    tokens = tokenize(pairs, tokenizer, max_length=max_length, overlong=overlong)
    texts = [(a.tobytes(), b.tobytes()) for a, b in zip(tokens.a_ids, tokens.b_ids, strict=True)]
    groups = grouped(texts)
    rows = [Row(tuple(array("i", text) for text in group)) for group in groups]
    rewards = row_outputs(model, rows, tokenizer.pad_token_id, budget, shard)[:, 0]
    number = {text: at for at, text in enumerate(text for group in groups for text in group)}
    scores = rewards[[number[pair[side]] for side in (0, 1) for pair in texts]].reshape(2, -1)
    return pd.DataFrame({"id": list(tokens.ids), "score_a": scores[0], "score_b": scores[1]})
