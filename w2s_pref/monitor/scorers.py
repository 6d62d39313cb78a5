"""Margins of a model in training on the probe, tokenised once: reward models and policies.

A scorer is called as ``scorer(model, (rank, world))`` and returns (N,) margins, score of ``a`` minus score of ``b``
over the temperature, NaN where another rank computes. A function of one's own that ignores the shard is as good:
every process then scores the whole probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from torch import nn

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import tokenize
from w2s_pref.models.batches.each import distinct
from w2s_pref.models.scoring import logprob_ids, score_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Scorer = Callable[[nn.Module, tuple[int, int]], Floats]


class RewardMargins:
    """Reward models (one logit): score(a) - score(b)."""

    def __init__(self, pairs: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int | None = 512) -> None:
        tokens = tokenize(pairs, tokenizer, max_length)
        self._texts, self._places = distinct(tuple(ids) for ids in (*tokens.a_ids, *tokens.b_ids))
        self._pad = tokenizer.pad_token_id

    @property
    def tokens(self) -> int:
        """Tokens of one look."""
        return sum(map(len, self._texts))

    def __call__(self, model: nn.Module, shard: tuple[int, int]) -> Floats:
        """Margins (N,)."""
        a, b = score_ids(model, self._texts, self._pad, shard=shard)[self._places].reshape(2, -1)
        return np.asarray(a - b, dtype=np.float64)


class PolicyMargins:
    """Policies: beta times the log-ratio of the two answers, less the reference's where one is given.

    Args:
        beta: above 0; with the reference this is the implicit reward of DPO.
        reference: ``id, logp_a, logp_b`` of the reference policy on the same pairs, as ``logprob_pairs`` gives them.
        per_token: divide each log-probability by the answer's tokens, as SimPO does; no reference then.
    """

    def __init__(
        self,
        pairs: pd.DataFrame,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int | None = 512,
        beta: float = 0.1,
        reference: pd.DataFrame | None = None,
        per_token: bool = False,
    ) -> None:
        if per_token and reference is not None:
            raise W2SError("policy margins: per_token takes no reference; leave one of them out")
        found = tokenize(pairs, tokenizer, max_length, starts=True)
        self._texts = [*found.a_ids, *found.b_ids]
        self._starts = [*found.a_starts, *found.b_starts]
        self._pad, self._beta = tokenizer.pad_token_id, beta
        lengths = [max(1, len(ids) - start) for ids, start in zip(self._texts, self._starts, strict=True)]
        self._lengths = np.array(lengths, dtype=np.float64) if per_token else np.ones(len(lengths))
        self._reference = _log_ratio(pairs, reference)

    @property
    def tokens(self) -> int:
        """Tokens of one look."""
        return sum(map(len, self._texts))

    def __call__(self, model: nn.Module, shard: tuple[int, int]) -> Floats:
        """Margins (N,)."""
        logp = logprob_ids(model, self._texts, self._starts, self._pad, shard=shard) / self._lengths
        a, b = logp.reshape(2, -1)
        return np.asarray(self._beta * (a - b - self._reference), dtype=np.float64)


def _log_ratio(pairs: pd.DataFrame, reference: pd.DataFrame | None) -> Floats:
    """log of the reference's probability of ``a`` over ``b``, (N,); zeros without a reference."""
    if reference is None:
        return np.zeros(len(pairs))
    table = reference.set_index("id").reindex(pairs["id"])
    ratio = (table["logp_a"] - table["logp_b"]).to_numpy(dtype=np.float64)
    if not np.isfinite(ratio).all():
        raise W2SError("policy margins: the reference lacks log-probabilities of some probe pairs; score them all")
    return ratio
