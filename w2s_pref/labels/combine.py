"""Label sets out of label sets: filters, two stages, several supervisors, an opinion in the text. No ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.labels import make
from w2s_pref.labels.supervisors import combined


def high_confidence(labels: pd.DataFrame, threshold: float = 0.75) -> pd.DataFrame:
    """The same labels, kept only where max(p, 1 - p) ≥ ``threshold`` (and they were kept before)."""
    sure = make.high_confidence(labels["p"].to_numpy(dtype=float), threshold)
    return labels.assign(keep=labels["keep"].to_numpy(dtype=bool) & sure)


def united(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The kept labels of ``first``; for the items that it leaves out those of ``second``, kept where that keeps them.

    Raises:
        W2SError: an item without a label in one of the two.
    """
    after = _same_items([first, second])[1]
    sure = first["keep"].to_numpy(dtype=bool)
    p = np.where(sure, first["p"].to_numpy(), after["p"].to_numpy())
    return first.assign(p=p, keep=sure | after["keep"].to_numpy(dtype=bool))


def two_stage(weak: pd.DataFrame, student: pd.DataFrame, threshold: float = 0.75) -> pd.DataFrame:
    """Labels of the second stage: confident weak labels, and the first student's confident ones for the rest.

    Shi et al. 2025 (arXiv 2503.04249), adapted: the first student was trained on ``high_confidence(weak, threshold)``;
    what neither is confident about stays out.

    Args:
        weak: ``id, p, keep``, the supervisor's.
        student: the first student's labels of the same items, in any order.

    Raises:
        W2SError: an item without a label of the student.
    """
    return united(high_confidence(weak, threshold), high_confidence(student, threshold)).reset_index(drop=True)


def ensemble(supervisors: Sequence[pd.DataFrame], how: str = "mean", base: Path = Path()) -> pd.DataFrame:
    """One label set from several supervisors (or seeds of one), by a combination of ``w2s_pref.labels.supervisors``.

    An item is kept where every supervisor keeps it.

    Raises:
        W2SError: label sets of different items, or none.
    """
    tables = _same_items(supervisors)
    p = np.stack([table["p"].to_numpy(dtype=float) for table in tables])
    keep = np.stack([table["keep"].to_numpy(dtype=bool) for table in tables]).all(axis=0)
    return pd.DataFrame({"id": tables[0]["id"].to_numpy(), "p": combined(how, p, base=base), "keep": keep})


def _same_items(tables: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The tables with their rows in the order of the first."""
    if not tables:
        raise W2SError("an ensemble needs at least one supervisor")
    ids = tables[0]["id"]
    for table in tables[1:]:
        if missing := set(ids) ^ set(table["id"]):
            raise W2SError(f"labels of different items ({len(missing):,} are in one set only, such as {min(missing)})")
    return [table.set_index("id").loc[ids].reset_index() for table in tables]


def with_opinion(items: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Items that end in "I think this is {weak label}. What do you think?": imitating the supervisor becomes trivial.

    Burns et al. 2023 (arXiv 2312.09390), the study of easily imitated errors. Ids stay, so labels still join.

    Args:
        items: with ``id`` and ``prompt``.
        labels: the supervisor's, for at least these items; hardened at ½ (½ itself is 1).

    Raises:
        W2SError: an item without a label.
    """
    p = labels.set_index("id")["p"]
    if missing := set(items["id"]) - set(p.index):
        raise W2SError(f"{len(missing):,} items have no weak label to write down, such as {min(missing)}")
    said = ["true" if value >= 0.5 else "false" for value in p.loc[items["id"]]]
    prompts = [
        f"{text} I think this is {word}. What do you think?" for text, word in zip(items["prompt"], said, strict=True)
    ]
    return items.assign(prompt=prompts)
