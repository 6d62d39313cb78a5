"""Losses that read an answer token by token: WSPO and SePO.

Both learn from token rewards log π_tuned - log π_untuned, which a weaker policy gives over its own reference. What the
loss reads of every token is worked out once, before the training: ``token_values``. While it trains, ``token_terms``
says what each token adds to the numbers of its answer.
"""

from __future__ import annotations

from math import floor

import numpy as np
from torch import Tensor

from w2s_pref.core.arrays import Floats

#: Methods whose loss reads single tokens.
BY_TOKEN = ("wspo", "sepo")


def token_values(name: str, reward: Floats, reference: Floats | None, beta: float, share: float) -> Floats:
    """What the loss called ``name`` reads of every token of one answer, (n, 2).

    WSPO: what β log π should be, β log π_ref + reward, and the token's weight 1/n. SePO: the token's weights where the
    answer is chosen and where it is rejected, 1/k for each of the k selected ones, else 0.

    Args:
        reward: (n,) log π_tuned - log π_untuned, nats; n at least 1.
        reference: (n,) log π_ref of the student's own reference; WSPO alone reads it.
        share: of the tokens that SePO selects.
    """
    if name == "wspo":
        assert reference is not None
        return np.stack([beta * reference + reward, np.full(len(reward), 1 / len(reward))], axis=1)
    return np.stack([selected(reward, share), selected(-reward, share)], axis=1)


def selected(reward: Floats, share: float) -> Floats:
    """(n,) 1/k for the k tokens of largest reward, else 0: k = share of n, rounded down, at least 1.

    Of equal ones the earlier tokens are taken.
    """
    count = max(1, floor(share * len(reward) + 1e-9))  # .29 of 100 is 28.999999999999996 in floating point
    weights = np.zeros(len(reward))
    weights[np.argsort(-reward, kind="stable")[:count]] = 1 / count
    return weights


def token_terms(name: str, logp: Tensor, values: Tensor, beta: float) -> dict[str, Tensor]:
    """What every token adds to its answer's ``chosen`` and ``rejected``, (M,) each.

    WSPO: ``chosen`` is the loss of the answer, the mean over its tokens of [β (log π - log π_ref) - reward]² (Zhu et
    al. 2024, arXiv 2410.18640). SePO: the mean log π of its selected tokens, where it is chosen and where it is
    rejected (Yang et al. 2024, arXiv 2408.13518).

    Args:
        logp: (M,) log π of the tokens of all answers.
        values: (M, 2) their ``token_values``.
    """
    first, second = values.unbind(dim=-1)
    if name == "wspo":
        return {"chosen": second * (beta * logp - first) ** 2}
    return {"chosen": first * logp, "rejected": second * logp}
