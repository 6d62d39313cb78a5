"""A supervisor that is no model here: a file (a judge, a crowd, rules) holds its p, or a function gives them.

A chain names it in the weak model's place: ``arms: {direct: [labels:judge.csv, strong]}``. The file has a row a pair:
``id`` as in the data, and ``p``, the probability that ``chosen`` (or the first of ``answers``) is the better answer; of
votes that call different answers so, the one which most of them prefer. A function, ``labels:judge.py:score``, is
called with ``pairs`` (id, form, prompt, a, b; in the order of ids) and returns the probabilities of ``a``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import is_reference, locate, looked_in, resolve, short_name
from w2s_pref.core.source_hash import source_hash
from w2s_pref.core.tables import A_FIRST, digest
from w2s_pref.core.user_code import by_name, numbers
from w2s_pref.data.files import read_file
from w2s_pref.data.mapping import as_numbers, key_of
from w2s_pref.data.problems import first
from w2s_pref.data.verdicts import probability
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.rows import Rows

#: What stands before a file or a function in a chain.
PREFIX = "labels:"
#: Probabilities of 0 and 1 have no finite log-odds: they are taken as this close to it.
NEAREST = 1e-6
#: Columns of the pairs that a function sees.
SHOWN = ["id", "form", "prompt", "a", "b"]


def is_given(name: str) -> bool:
    """Whether a node of a chain names labels that are given."""
    return name.startswith(PREFIX)


def read_labels(name: str, base: Path) -> pd.Series[float] | None:
    """The probabilities of a file by id; None for a function, which is asked when its scores are built.

    Raises:
        W2SError: no such file or function, no column id or p, an id twice, or something that is no probability.
    """
    where = name.removeprefix(PREFIX)
    if is_reference(where):
        by_name(resolve(where, base), ["pairs"], f"labels of {where!r}")
        return None
    path = locate(where, base)
    if path is None or not path.is_file():
        raise W2SError(f"arms: {name}: there is no file {where} in {looked_in(base)}")
    frame = read_file(path)
    if missing := [column for column in ("id", "p") if column not in frame]:
        columns = ", ".join(map(str, frame.columns))
        raise W2SError(f"{path}: no column {missing[0]!r} (columns: {columns}); labels have id and p, a row a pair")
    ids = [key_of(cell) for cell in as_numbers(frame["id"].tolist())]
    cells = [probability(cell) for cell in frame["p"]]
    problems = [
        f"{path}, row {number}: {cell.sentence}"
        for number, cell in zip(frame.index, cells, strict=True)
        if not isinstance(cell, float)
    ]
    found = pd.Series([cell if isinstance(cell, float) else np.nan for cell in cells], index=ids, dtype=float)
    problems += [
        f"{path}: id {row_id!r} stands twice; give each pair one p" for row_id in found.index[found.index.duplicated()]
    ]
    if problems:
        raise W2SError(first(problems))
    return found


@dataclass(frozen=True, eq=False)
class GivenScores(Scored):
    """Scores that are the log-odds of given probabilities: of ``labels`` (by id), or of the function of that name."""

    version: ClassVar[int] = 1
    on_main: ClassVar[bool] = True
    source: str
    base: Path
    labels: pd.Series[float] | None

    @property
    def inputs(self) -> dict[str, Stage]:
        """What the pairs are made with."""
        return self.on.inputs

    @property
    def payload(self) -> dict[str, Any]:
        """The probabilities, or the function's source, and the pairs."""
        if self.labels is None:
            where = self.source.removeprefix(PREFIX)
            return {"code": source_hash(where, self.base), "function": short_name(where), "rows": self.on.texts}
        given = sorted(f"{row_id}={p!r}" for row_id, p in zip(self._ids, self._given(), strict=True))
        return {"given": digest(*given), "rows": self.on.texts}

    @property
    def _ids(self) -> list[str]:
        return list(self.on.frame["id"])

    def _given(self) -> list[float]:
        """Probability of ``a`` of every pair, from the file."""
        assert self.labels is not None
        frame = self.on.frame
        p = self.labels.loc[self._ids].to_numpy()
        return list(np.where(frame[A_FIRST if A_FIRST in frame else "truth"] == 1, p, 1 - p).tolist())

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, score_a, score_b, whose difference is the log-odds of ``a``."""
        p = np.clip(self._asked(builder) if self.labels is None else np.array(self._given()), NEAREST, 1 - NEAREST)
        table = pd.DataFrame({"id": self._ids, "score_a": np.log(p), "score_b": np.log1p(-p)})
        table.to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(table), "dropped": 0}

    def _asked(self, builder: Builder) -> Floats:
        """What the function says; it sees the pairs in the order of ids, for keys do not hold the order of a split."""
        where = self.source.removeprefix(PREFIX)
        what, ids = f"labels of {where!r}", pd.Index(self._ids)
        pairs = self.on.read(builder).frame[SHOWN].sort_values("id", ignore_index=True)
        order = pd.Index(pairs["id"].tolist()).get_indexer(ids)
        values = by_name(resolve(where, self.base), ["pairs"], what)(pairs=pairs)
        found: Floats = numbers(values, len(self.on), what, 0.0, 1.0)[order]
        return found


def covers(labels: pd.Series[float] | None, rows: Rows) -> bool:
    """Whether every pair of a split has a label."""
    return labels is None or bool(rows.frame["id"].isin(labels.index).all())


def check_covered(name: str, labels: pd.Series[float] | None, rows: Rows) -> None:
    """Refuse labels that lack pairs of a split which needs them, or do not say which answer they mean.

    Raises:
        W2SError: how many there are, and one of them.
    """
    if labels is None:
        return
    _check_sides(name, labels, rows)
    lacking = rows.frame["id"][~rows.frame["id"].isin(labels.index)]
    if len(lacking):
        raise W2SError(
            f"arms: {name} has no p for {len(lacking):,} of {len(rows):,} pairs of {rows.name}, such as id "
            f"{lacking.iloc[0]!r}; label every pair of w2s (students learn them) and of test (regions are cut by "
            "them); ids are those of the data's id column"
        )


def _check_sides(name: str, labels: pd.Series[float], rows: Rows) -> None:
    if A_FIRST not in rows.frame:
        return
    tied = rows.frame["id"][rows.frame[A_FIRST] == -1]
    unclear = tied[tied.isin(labels.index[labels != 0.5])]
    if len(unclear):
        raise W2SError(
            f"arms: {name} has a p for {len(unclear):,} pairs of {rows.name} whose votes are tied, such as id "
            f"{unclear.iloc[0]!r}: none of the two answers is chosen, so p means neither; write 0.5 there, or give the "
            "probabilities of a by a function, labels:FILE.py:FUNCTION"
        )
