"""Score pairs with a reward model: sorted by length, batched by token budget, each distinct text once.

The score of a text does not depend on its batch: right padding, attention masked, last real token found by mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from w2s_pref.data.tokens import Overlong, tokenize

#: Padded tokens per forward pass. Not part of any key: it does not change scores.
TOKEN_BUDGET = 8192


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, longest first, with at most ``budget`` padded tokens (or one row)."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


@torch.no_grad()
def score_ids(
    model: Any,
    sequences: Sequence[Sequence[int]],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Rewards, shape (n,), float64. ``shard`` = (rank, world): the batches of other ranks stay NaN."""
    model.eval()
    device = next(model.parameters()).device
    rewards = np.full(len(sequences), np.nan)
    for number, batch in enumerate(token_batches([len(ids) for ids in sequences], budget)):
        if number % shard[1] != shard[0]:
            continue
        width = max(len(sequences[index]) for index in batch)
        ids = torch.full((len(batch), width), pad_id, dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, index in enumerate(batch):
            length = len(sequences[index])
            ids[row, :length] = torch.as_tensor(sequences[index])
            mask[row, :length] = 1
        output = model(input_ids=ids.to(device), attention_mask=mask.to(device))
        rewards[batch] = output.logits.squeeze(-1).double().cpu().numpy()
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
    texts = [tuple(ids) for ids in (*tokens.a_ids, *tokens.b_ids)]
    unique = {ids: number for number, ids in enumerate(dict.fromkeys(texts))}
    rewards = score_ids(model, list(unique), tokenizer.pad_token_id, budget, shard)
    scores = rewards[[unique[ids] for ids in texts]].reshape(2, -1)
    return pd.DataFrame({"id": list(tokens.ids), "score_a": scores[0], "score_b": scores[1]})
