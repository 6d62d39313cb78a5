"""The weak model's probabilities on a probe, from what says of which answer they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from w2s_pref.analysis.risk.moments import check_probabilities
from w2s_pref.analysis.scores.table import load_frame, validate_scores
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import local_path
from w2s_pref.core.tables import SCORE_COLUMNS
from w2s_pref.data.mapping import key_of

#: The weak model: the folder of a saved reward model; the table of ``w2s score``, or its file; ``id, score_a, score_b``
#: or ``id, p_a`` for the answers as the pairs' columns call them; or what makes such a table of the pairs, once.
Weak: TypeAlias = str | Path | pd.DataFrame | Callable[[pd.DataFrame], pd.DataFrame]

_WRITE = (
    "give weak='FOLDER' of the saved weak model, or the table of `w2s score` on these pairs (its delta is that of the "
    "better answer), or a table id, score_a, score_b with its scores of the pairs' a and b"
)


def weak_probabilities(pairs: pd.DataFrame, weak: Weak, truth: Floats | None, max_length: int | None = 512) -> Floats:
    """The weak model's probability that ``a`` is the better answer, (N,), in the order of the pairs.

    Args:
        pairs: in neutral order.
        truth: (N,) 1 where ``a`` is the better answer, which a delta is turned by; None: unknown.
        max_length: longest text in tokens, where a model is loaded.

    Raises:
        W2SError: a number that does not say of which answer it is, ids that are row numbers, pairs without one, or no
            such model or file.
    """
    given = isinstance(weak, pd.DataFrame)
    if callable(weak):
        table = weak(pairs)
    elif isinstance(weak, pd.DataFrame):
        table = weak
    else:
        place = local_path(weak, "weak")
        given = not place.is_dir()
        if not place.exists():
            raise W2SError(f"weak scores: there is no folder or file {place}; {_WRITE}")
        table = load_frame(place) if given else _of_model(pairs, place, max_length)
    if not isinstance(table, pd.DataFrame):
        kind = type(table).__name__
        raise W2SError(f"weak scores: the function returned a {kind}, which does not say of which answer; {_WRITE}")
    found = _by_id(pairs, _first_answer(table, truth, pairs), given)
    check_probabilities(found, "weak scores")
    return found


def _of_model(pairs: pd.DataFrame, folder: Path, max_length: int | None) -> pd.DataFrame:
    """Raw scores of a saved reward model."""
    from w2s_pref.data.control import text_stays_text
    from w2s_pref.models.load import load_saved
    from w2s_pref.models.scoring import score_pairs

    with text_stays_text():
        return score_pairs(*load_saved(folder), pairs, max_length=max_length)


def _first_answer(table: pd.DataFrame, truth: Floats | None, pairs: pd.DataFrame) -> pd.DataFrame:
    """``id, p`` for answer ``a``."""
    if "id" not in table:
        raise W2SError(f"weak scores: no column 'id', by which they find their pairs; {_WRITE}")
    if {"score_a", "score_b"} <= set(table.columns):
        gap = (table["score_a"] - table["score_b"]).to_numpy(dtype=np.float64)
        return pd.DataFrame({"id": table["id"], "p": sigmoid(gap)})
    if "p_a" in table:
        return pd.DataFrame({"id": table["id"], "p": table["p_a"]})
    if "delta" not in table and not set(SCORE_COLUMNS) - {"delta"} <= set(table.columns):
        what = "a column 'p' does not say of which answer it is" if "p" in table else "no column says what they are"
        raise W2SError(f"weak scores: {what}; {_WRITE}")
    if truth is None:
        raise W2SError(f"weak scores: delta is that of the better answer, which this probe does not name; {_WRITE}")
    first = pd.Series(truth, index=pairs["id"].map(key_of))
    rows = _one_model(table)
    gap = (rows["delta"] / rows["tau"]).to_numpy(dtype=np.float64)
    right = rows["id"].map(first.to_dict()).to_numpy(dtype=np.float64)
    return pd.DataFrame({"id": rows["id"], "p": sigmoid(np.where(right == 1, gap, -gap))})


def _one_model(table: pd.DataFrame) -> pd.DataFrame:
    """A score table of one model, checked."""
    full: dict[str, Any] = {"group": table["id"], "model": "weak", "seed": 0}
    rows = validate_scores(table.assign(**{name: full[name] for name in full if name not in table}), "weak scores")
    for name in ("model", "seed", "objective"):
        there = list(map(str, dict.fromkeys(rows[name])))
        if len(there) > 1:
            raise W2SError(
                f"weak scores: the table has {len(there)} values of {name} ({', '.join(there[:12])}); keep the rows of "
                f"one: table[table[{name!r}] == {rows[name].iloc[0]!r}]"
            )
    return rows


def _by_id(pairs: pd.DataFrame, table: pd.DataFrame, given: bool) -> Floats:
    """p in the order of the pairs. ``given``: the table was made elsewhere, so its ids must be more than places."""
    ids = table["id"].map(key_of)
    if given and _are_row_numbers(ids):
        raise W2SError(
            f"weak scores: the ids are row numbers ({ids.iloc[0]}, {ids.iloc[1]} …), and a row has another number in "
            "another table; leave the ids out of the pairs (their texts then make ids) or write lasting ones, and "
            "score again"
        )
    if ids.duplicated().any():
        raise W2SError(f"weak scores: the id {ids[ids.duplicated()].iloc[0]!r} stands twice; give each probe pair one")
    names = pairs["id"].map(key_of)
    missing = pairs["id"][~names.isin(set(ids))]
    if len(missing):
        raise W2SError(
            f"weak scores: {len(missing):,} of {len(pairs):,} probe pairs have none (such as id {missing.iloc[0]!r}); "
            "score the same pairs with both models"
        )
    return names.map(table["p"].set_axis(ids).to_dict()).to_numpy(dtype=np.float64)


def _are_row_numbers(ids: pd.Series[str]) -> bool:
    """Whether ids count from 0 or 1, in whatever order."""
    there = set(ids)
    return len(ids) > 1 and any(there == {str(at + start) for at in range(len(ids))} for start in (0, 1))
