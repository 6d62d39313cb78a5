"""The nouns of the toolkit: pairs, labels, scores. Every table is a pandas DataFrame with these columns.

A pair is kept in *neutral order*: ``a`` and ``b`` are the two answers, ordered by a hash of their text, and the
ground truth is a column of its own (``truth``). Nothing that only needs the texts ever sees which answer is better.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

import numpy as np
import pandas as pd

#: A whole number with the point of a float.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]*)\.0")

#: Pairs: ``prompt``, ``a``, ``b`` are text, or (``form`` = "chat") a JSON list of {"role", "content"} messages.
#: ``truth`` is 1 where ``a`` is the preferred answer, else 0. ``group`` is the unit of splitting and resampling.
PAIR_COLUMNS: Final = ("id", "group", "form", "prompt", "a", "b", "truth", "objective")

#: A further column of pairs whose ground truth is not known for sure: the probability that ``a`` is preferred.
#: ``truth`` is then its more probable side (of a tie, ``a``).
TRUTH_P: Final = "truth_p"
#: 1 where ``a`` is the answer that the file calls chosen, or first; there where ``truth`` does not say so. Where votes
#: do not agree on it, that is the answer which most of them prefer, and -1 where they are tied.
A_FIRST: Final = "a_first"

#: Items of a task: ``form`` is "item", ``truth`` 1 = positive. Beside the columns of every pair table: what right and
#: wrong are balanced within, and the part (train or test) that the file says.
ITEM_COLUMNS: Final = (*PAIR_COLUMNS, "unit", "part")

#: Labels (``id, p, keep``) join pairs by id: ``p`` is the probability that ``a`` is preferred, ``keep`` says whether to
#: train on it. Raw scores of a pair by one model are ``id, score_a, score_b``, in neutral order.

#: The public score table (long form): ``delta`` = score of the ground-truth answer minus score of the other.
SCORE_COLUMNS: Final = ("id", "group", "model", "seed", "delta")
SCORE_OPTIONAL: Final = {"tau": 1.0, "objective": "", "kind": "reward_model"}
#: Beside them where this toolkit scored: what the model gave each answer, in its own units.
RAW_SCORES: Final = ("score_chosen", "score_rejected")


def digest(*parts: str) -> str:
    """SHA-256 over the parts, each length-prefixed so that no two lists of parts collide. 64 hex digits."""
    raw = []
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        raw += [b"%d:" % len(text), text]
    return hashlib.sha256(b"".join(raw)).hexdigest()


def canonical(value: Any) -> str:
    """One JSON text for one value: sorted keys, no spaces. The basis of every key and every content id."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def records(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Values stay the Python objects they are: pandas would turn ids into numbers and refuse broken characters."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = {column: pd.Series([row.get(column) for row in rows], dtype=object) for column in columns}
    return pd.DataFrame(table, index=pd.RangeIndex(len(rows)))


def cell_text(value: Any) -> str:
    """A cell as text: 7, 7.0, and "7.0" as pandas writes 7 into a CSV column that has a gap, are "7"."""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    return text[:-2] if _WHOLE.fullmatch(text) else text


def cell_texts(cells: pd.Series[Any]) -> list[str | None]:
    """What cells say, however they are held: 7 as a number of any kind, as text or as a category; None of a gap."""
    return [None if gap else cell_text(cell) for cell, gap in zip(cells.tolist(), cells.isna().tolist(), strict=True)]


def values_of(cells: pd.Series[Any]) -> pd.Series[str]:
    """The values that rows are told apart by; a gap and an empty text (what CSV has in its place) are "missing"."""
    return pd.Series([text or "missing" for text in cell_texts(cells)], index=cells.index, dtype=object)


def truth_of(frame: pd.DataFrame) -> pd.Series[float]:
    """Probability that ``a`` is preferred, 0 or 1 where the ground truth is known for sure."""
    return frame[TRUTH_P if TRUTH_P in frame else "truth"].astype(float)


def certainty(frame: pd.DataFrame) -> pd.Series[float] | None:
    """Probability, by id, of the side that ``truth`` names; None where the ground truth is known for sure."""
    if TRUTH_P not in frame:
        return None
    p = truth_of(frame).set_axis(frame["id"])
    return p.where(p >= 0.5, 1 - p)


def pair_id(prompt: str, first: str, second: str) -> str:
    """Content id of a pair. The same two answers in either order give the same id, so it carries no ground truth."""
    return digest(prompt, *sorted((first, second)))[:16]


def neutral_order(first: str, second: str) -> bool:
    """True where ``first`` becomes ``a``: by hash, so order says nothing about length, alphabet or truth."""
    return digest(first) <= digest(second)


def orient(raw: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Join raw scores to ground truth by id and return ``id, group, delta`` (ground-truth answer minus the other)."""
    return truth_first(raw, pairs)[["id", "group", "delta"]]


def truth_first(raw: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The same with both raw scores: ``id, group, score_chosen, score_rejected, delta``; chosen is the true answer.

    The pairs that have scores, in their own order.

    Raises:
        ValueError: an id is there twice.
    """
    if not (raw["id"].is_unique and pairs["id"].is_unique):
        raise ValueError("an id stands twice among the scores, or among the pairs")
    places = pd.Index(raw["id"]).get_indexer(pairs["id"])
    there = places >= 0
    a, b = (raw[name].to_numpy()[places[there]] for name in ("score_a", "score_b"))
    first = pairs["truth"].to_numpy()[there] == 1
    chosen, rejected = np.where(first, a, b), np.where(first, b, a)
    scores = {"score_chosen": chosen, "score_rejected": rejected, "delta": chosen - rejected}
    return pd.DataFrame({**{name: pairs[name].array[there] for name in ("id", "group")}, **scores})


def first_groups(frame: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Whole groups in hash order, up to ``size`` rows; a group that is too big for what is left is passed over."""
    rows = frame.groupby("group").size()
    taken = []
    for group in sorted(rows.index, key=lambda group: digest(str(seed), "size", group)):
        if rows[group] <= size:
            taken.append(group)
            size -= rows[group]
    return frame[frame["group"].isin(taken)]
