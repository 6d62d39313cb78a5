"""Log-probabilities of responses: sorted by length, batched by token budget, each distinct text once.

The two answers of a pair are computed behind one prompt where the model can, and logits for response tokens only
(``rows``). The value of a text does not depend on its batch: log-softmax in float32, sums in float64.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from w2s_pref.data.tokens import Overlong, tokenize
from w2s_pref.models.batches import Row, read_token_logprobs
from w2s_pref.models.batches.budget import most_tokens
from w2s_pref.models.batches.each import batches, grouped
from w2s_pref.models.scoring import TOKEN_BUDGET


@torch.no_grad()
def row_logprobs(
    model: Any,
    rows: Sequence[Row],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Summed log-probabilities of the responses of every text of the rows, in their order, (texts,), float64, nats.

    Args:
        shard: (rank, world); the texts of other ranks stay NaN.
    """
    model.eval()
    sums = np.full(sum(len(row.texts) for row in rows), np.nan)
    for numbers, batch in batches(model, rows, pad_id, min(budget, most_tokens(model)), shard):
        each, texts = read_token_logprobs(model, batch), batch.last.numel()
        assert batch.responses is not None
        total = np.bincount(batch.responses.owners.cpu(), each.double().cpu(), minlength=texts)
        sums[np.array(numbers)] = total.reshape(batch.last.shape)
    return sums


def logprob_ids(
    model: Any,
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Summed log-probabilities of ``sequences[i][starts[i]:]`` given what comes before, shape (n,), float64, in nats.

    Args:
        starts: index of the first response token of each sequence, at least 1; a sequence without response gives 0.
        shard: (rank, world); the batches of other ranks stay NaN.
    """
    rows = [Row((ids,), (start,)) for ids, start in zip(sequences, starts, strict=True)]
    return row_logprobs(model, rows, pad_id, budget, shard)


def logprob_pairs(
    model: Any,
    tokenizer: Any,
    pairs: pd.DataFrame,
    max_length: int | None = 512,
    overlong: Overlong = "truncate",
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> pd.DataFrame:
    """Summed response log-probabilities and response lengths of every kept pair, in the order of ``pairs``.

    Returns:
        Columns ``id, logp_a, logp_b`` (float64, nats; NaN where another rank computes) and ``tokens_a, tokens_b``.
    """
    tokens = tokenize(pairs, tokenizer, max_length=max_length, overlong=overlong, starts=True)
    a = [(ids.tobytes(), start) for ids, start in zip(tokens.a_ids, tokens.a_starts, strict=True)]
    b = [(ids.tobytes(), start) for ids, start in zip(tokens.b_ids, tokens.b_starts, strict=True)]
    groups = grouped(list(zip(a, b, strict=True)))
    rows = [Row(tuple(array("i", ids) for ids, _ in group), tuple(start for _, start in group)) for group in groups]
    sums = row_logprobs(model, rows, tokenizer.pad_token_id, budget, shard)
    number = {text: at for at, text in enumerate(text for group in groups for text in group)}
    logp = sums[[number[text] for text in a + b]].reshape(2, -1)
    lengths = np.array([len(ids) for ids in [*tokens.a_ids, *tokens.b_ids]], dtype=np.int64)
    count = (lengths - np.array([*tokens.a_starts, *tokens.b_starts], dtype=np.int64)).reshape(2, -1)
    return pd.DataFrame(
        {"id": list(tokens.ids), "logp_a": logp[0], "logp_b": logp[1], "tokens_a": count[0], "tokens_b": count[1]}
    )
