"""Pairs of one split, hashed once: what keys say about the data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from w2s_pref.core.tables import TRUTH_P, digest


def rows_hash(frame: pd.DataFrame) -> str:
    """Hash of what a model may see of pairs: ids and texts, in any order. Ground truth is not in it."""
    columns = [frame[name].tolist() for name in ("id", "form", "prompt", "a", "b")]
    return digest(*sorted(digest(*row) for row in zip(*columns, strict=True)))


def truth_hash(frame: pd.DataFrame) -> str:
    """Hash of the ground truth of pairs, in any order."""
    truth = frame[TRUTH_P].map(repr) if TRUTH_P in frame else frame["truth"].astype(int)
    return digest(*sorted(f"{i}={t}" for i, t in zip(frame["id"], truth, strict=True)))


@dataclass(frozen=True, eq=False)
class Rows:
    """Pairs of one split: columns ``id, group, form, prompt, a, b, truth, objective``, and perhaps ``truth_p``."""

    name: str
    frame: pd.DataFrame

    @cached_property
    def texts(self) -> str:
        """Hash without ground truth."""
        return rows_hash(self.frame)

    @cached_property
    def truth(self) -> str:
        """Hash of the ground truth."""
        return truth_hash(self.frame)

    def __len__(self) -> int:
        return len(self.frame)


def slices(w2s: Rows, hops: int) -> dict[str, Rows]:
    """w2s cut by group into one slice per hop, in the order of the groups' hashes."""
    groups = sorted(w2s.frame["group"].unique())
    share = pd.Series({group: number * hops // len(groups) for number, group in enumerate(groups)})
    cut = w2s.frame["group"].map(share)
    return {
        f"w2s/{hop + 1}": Rows(f"w2s/{hop + 1}", w2s.frame[cut == hop].reset_index(drop=True)) for hop in range(hops)
    }
