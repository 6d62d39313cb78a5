"""The label-noise laboratory: as many wrong labels as the supervisor has, put somewhere else.

Burns et al. 2023 (arXiv 2312.09390) ask whether a student overcomes its supervisor's errors because they are few or
because of where they are. Everything here reads ground truth, and says so in its name: it builds studies, no methods.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest

#: Where the errors are: where the supervisor makes them; anywhere; on the longest or the shortest items; where a
#: strong model trained on ground truth is least confident; where it is most confidently right.
Structure = Literal["supervisor", "random", "longest", "shortest", "strong_unsure", "strong_sure"]
STRUCTURES: tuple[Structure, ...] = get_args(Structure)


def noise_labels(structure: Structure, labels: pd.DataFrame, oracle: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Hard labels ``id, p, keep`` that are wrong exactly as often as the supervisor's.

    As often among true 1s and among true 0s, so that the share of labels 1 stays the same too.
    The supervisor's soft labels are hardened at ½ (½ itself is 1) for every structure, ``supervisor`` included, so
    that structures differ in nothing but the place of the errors. Ties are broken by a hash of the id and the seed.

    Args:
        labels: the supervisor's, ``id, p, keep``; items it does not keep stay out of the count and are not kept.
        oracle: indexed by id: ``truth`` (0 or 1) and what the structure reads: ``length``, or ``strong_margin``,
            z1 - z0 of the strong ceiling.

    Raises:
        W2SError: an unknown structure, or a column that it needs and that is not there.
    """
    if structure not in STRUCTURES:
        raise W2SError(f"label noise {structure!r}: the structures are {', '.join(STRUCTURES)}")
    known = oracle.loc[labels["id"]]
    truth, keep = known["truth"].to_numpy() == 1, labels["keep"].to_numpy(dtype=bool)
    hard = labels["p"].to_numpy() >= 0.5
    if structure != "supervisor":
        first = _order(structure, labels["id"], known, seed)
        wrong = keep & (hard != truth)
        flipped = np.zeros(len(labels), dtype=bool)
        for group in (truth & keep, ~truth & keep):
            flipped[first[group[first]][: int((wrong & group).sum())]] = True
        hard = truth ^ flipped
    return pd.DataFrame({"id": labels["id"].to_numpy(), "p": hard.astype(float), "keep": keep})


def _order(structure: Structure, ids: pd.Series, known: pd.DataFrame, seed: int) -> np.ndarray:
    """Row numbers, those that are mislabelled first in front."""
    coin = np.array([digest("noise", str(seed), identity) for identity in ids])
    if structure == "random":
        return np.argsort(coin)
    column = "length" if structure in {"longest", "shortest"} else "strong_margin"
    if column not in known:
        raise W2SError(f"label noise {structure!r}: reads the column {column!r} of the oracle table; add it")
    value = known[column].to_numpy(dtype=float)
    if structure == "longest":
        value = -value
    elif structure == "strong_unsure":
        value = np.abs(value)
    elif structure == "strong_sure":
        value = -value * (known["truth"].to_numpy() * 2 - 1)
    return np.lexsort((coin, value))


def oracle_budget(labels: pd.DataFrame, truth: pd.Series, k: int, seed: int = 0) -> pd.DataFrame:
    """Weak labels of which ``k`` are replaced by the ground truth, and kept whatever the filter said of them.

    Which ones is drawn from a hash of id and seed: the rows' order does not matter, and a larger budget contains a
    smaller one.

    Args:
        labels: ``id, p, keep``.
        truth: 0 or 1, indexed by id.

    Raises:
        W2SError: fewer labels than the budget.
    """
    if not 0 <= k <= len(labels):
        raise W2SError(f"a budget of {k} true labels among {len(labels)} weak ones; use 0 to {len(labels)}")
    coin = np.array([digest("budget", str(seed), identity) for identity in labels["id"]])
    paid = np.zeros(len(labels), dtype=bool)
    paid[np.argsort(coin)[:k]] = True
    p = np.where(paid, truth.loc[labels["id"]].to_numpy(dtype=float), labels["p"].to_numpy(dtype=float))
    return labels.assign(p=p, keep=labels["keep"].to_numpy(dtype=bool) | paid)
