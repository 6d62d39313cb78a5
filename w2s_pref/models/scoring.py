"""Scores of a classification head, and log-probabilities of responses: sorted by length, each distinct text once.

The two answers of a pair are computed behind one prompt where the model can, and logits for response tokens only
(``batches``). The value of a text does not depend on its batch: log-softmax in float32, sums in float64.

Everywhere ``budget`` is the most padded tokens of a batch, and ``shard`` is (rank, world): the texts of other ranks
stay NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from w2s_pref.data.tokens import Overlong, Tokenized, tokenize
from w2s_pref.models.batches import Row, RowBatch, read_heads, read_token_logprobs
from w2s_pref.models.batches.budget import most_tokens
from w2s_pref.models.batches.each import TOKEN_BUDGET, batches, pair_rows, read_texts
from w2s_pref.models.batches.wrapped import inner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def row_outputs(
    model: nn.Module,
    rows: Sequence[Row],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """The head's outputs for every text of the rows, in their order, shape (texts, outputs), float64."""

    def heads(model: nn.Module, batch: RowBatch) -> np.ndarray:
        return read_heads(model, batch).double().cpu().numpy()

    return read_texts(model, rows, pad_id, heads, budget, shard, (inner(model).config.num_labels,))


def score_ids(
    model: nn.Module,
    sequences: Sequence[Sequence[int]],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Rewards, shape (n,), float64."""
    rewards: np.ndarray = row_outputs(model, [Row((ids,)) for ids in sequences], pad_id, budget, shard)[:, 0]
    return rewards


def score_pairs(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pairs: pd.DataFrame,
    max_length: int | None = 512,
    overlong: Overlong = "truncate",
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> pd.DataFrame:
    """Raw scores of every pair: ``id, score_a, score_b``, one row per kept pair, in the order of ``pairs``."""
    return score_tokens(model, tokenizer, tokenize(pairs, tokenizer, max_length, overlong), budget, shard)


def score_tokens(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    tokens: Tokenized,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> pd.DataFrame:
    """The same of pairs that are tokenised."""
    rows, places = pair_rows(tokens)
    scores = row_outputs(model, rows, tokenizer.pad_token_id, budget, shard)[places, 0]
    return pd.DataFrame({"id": list(tokens.ids), "score_a": scores[0], "score_b": scores[1]})


def row_logprobs(
    model: nn.Module,
    rows: Sequence[Row],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Summed log-probabilities of the responses of every text of the rows, in their order, (texts,), float64, nats."""
    return _sums(*token_logprobs(model, rows, pad_id, budget, shard))


def _sums(each: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """(texts,) sums of what stands of each text."""
    owners = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
    return np.bincount(owners, each, minlength=len(begins) - 1)


@torch.no_grad()
def token_logprobs(
    model: nn.Module,
    rows: Sequence[Row],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of the response tokens of every text of the rows, one text after another.

    Returns:
        (M,) float64, nats; and where each text's tokens begin in it, (texts + 1,), the last entry M.
    """
    model.eval()
    counts = [len(text) - start for row in rows for text, start in zip(row.texts, row.starts, strict=True)]
    begins = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    each = np.full(begins[-1], np.nan)
    for numbers, batch in batches(model, rows, pad_id, min(budget, most_tokens(model)), shard):
        there = [np.arange(begins[text], begins[text + 1]) for texts in numbers for text in texts]
        each[np.concatenate(there)] = read_token_logprobs(model, batch).double().cpu().numpy()
    return each, begins


def logprob_ids(
    model: nn.Module,
    sequences: Sequence[Sequence[int]],
    starts: Sequence[int],
    pad_id: int,
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
) -> np.ndarray:
    """Summed log-probabilities of ``sequences[i][starts[i]:]`` given what comes before, shape (n,), float64, in nats.

    Args:
        starts: index of the first response token of each sequence, at least 1; a sequence without response gives 0.
    """
    rows = [Row((ids,), (start,)) for ids, start in zip(sequences, starts, strict=True)]
    return row_logprobs(model, rows, pad_id, budget, shard)


def logprob_pairs(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pairs: pd.DataFrame,
    max_length: int | None = 512,
    overlong: Overlong = "truncate",
    budget: int = TOKEN_BUDGET,
    shard: tuple[int, int] = (0, 1),
    each: bool = False,
) -> pd.DataFrame:
    """Summed response log-probabilities and response lengths of every kept pair, in the order of ``pairs``.

    Returns:
        Columns ``id, logp_a, logp_b`` (float64, nats) and ``tokens_a, tokens_b``; with ``each`` also lists:
        ``each_a, each_b``, the nats of every response token, and ``ids_a, ids_b``, the tokens that they are of.
    """
    tokens = tokenize(pairs, tokenizer, max_length=max_length, overlong=overlong, starts=True)
    rows, places = pair_rows(tokens)
    said, begins = token_logprobs(model, rows, tokenizer.pad_token_id, budget, shard)
    sums, sides = _sums(said, begins), dict(zip("ab", places, strict=True))
    ids = {side: responses(tokens, side) for side in sides}
    columns: dict[str, Any] = {"id": list(tokens.ids)}
    columns |= {f"logp_{side}": sums[texts] for side, texts in sides.items()}
    columns |= {f"tokens_{side}": [len(answer) for answer in ids[side]] for side in sides}
    if each:
        parts = np.split(said, begins[1:-1])
        columns |= {f"each_{side}": [parts[text] for text in texts] for side, texts in sides.items()}
        columns |= {f"ids_{side}": ids[side] for side in sides}
    return pd.DataFrame(columns)


def responses(tokens: Tokenized, side: str) -> list[np.ndarray]:
    """Token ids of the responses on side ``a`` or ``b``, one int32 array a pair."""
    texts, starts = (tokens.a_ids, tokens.a_starts) if side == "a" else (tokens.b_ids, tokens.b_starts)
    return [np.asarray(ids[start:], dtype=np.int32) for ids, start in zip(texts, starts, strict=True)]
