"""Students by a column of the test pairs, and in and out of the distribution that ground truth was given for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.preferences.design import ArmDesign, Context
from w2s_pref.analysis.preferences.generalization_measures import recovered
from w2s_pref.analysis.preferences.length import restrict
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.core.errors import W2SError, shown
from w2s_pref.core.tables import digest, values_of

#: More values than this make no table that says anything.
MOST: Final = 20


def values(frame: pd.DataFrame, column: str, split: str) -> pd.Series[str]:
    """(N,) what a column says of every pair, as text.

    Raises:
        W2SError: the split has no such column, or more than ``MOST`` values in it.
    """
    if column not in frame:
        names = ", ".join(map(str, frame.columns))
        raise W2SError(f"analysis.by: the pairs of {split} have no column {shown(column)} (they have {names})")
    found = values_of(frame[column])
    if found.nunique() > MOST:
        raise W2SError(
            f"analysis.by: column {column!r} has {found.nunique():,} values in {split}; name one with at most {MOST}"
        )
    return found


def described(frames: Mapping[str, pd.DataFrame], column: str) -> dict[str, Any]:
    """What decides the analysis: rows by value of ``gt`` and ``w2s``, and which test pair has which value."""
    by = {split: values(frames[split], column, split) for split in ("gt", "w2s", "test")}
    test = sorted(zip(frames["test"]["id"], by["test"], strict=True))
    counts = {split: {str(k): int(n) for k, n in by[split].value_counts().sort_index().items()} for split in by}
    return {"column": column, **counts, "test": digest(*(f"{row}:{value}" for row, value in test))}


def by_column(context: Context, pairs: pd.DataFrame) -> list[results.TestPart]:
    """One entry a value of the column; before them, where ground truth lacks some values, those it has and has not."""
    by = context.design.by
    if by is None:
        return []
    rows = pairs.drop_duplicates("id").set_index("id")
    own = values(rows, by["column"], "test").reindex(list(context.target.ids)).to_numpy()
    names = sorted(set(own))
    known = [name for name in names if name in by["gt"]]
    sides = {"in distribution": known, "out of distribution": [name for name in names if name not in known]}
    groups: dict[str, list[str]] = {**(sides if all(sides.values()) else {}), **{name: [name] for name in names}}
    return [_part(context, part, np.flatnonzero(np.isin(own, which)), which) for part, which in groups.items()]


def _part(context: Context, name: str, items: np.ndarray, which: Iterable[str]) -> results.TestPart:
    by, part = context.design.by, restrict(context, items)
    assert by is not None
    return results.TestPart(
        column=by["column"],
        part=name,
        values=list(which),
        items=len(items),
        gt=sum(by["gt"].get(value, 0) for value in which),
        w2s=sum(by["w2s"].get(value, 0) for value in which),
        students=[_student(part, arm, conflict) for arm in part.design.arms for conflict in part.design.conflicts],
    )


def _student(part: Context, arm: ArmDesign, conflict: str) -> results.PartStudent:
    models = (arm.weak, f"{arm.name}/{conflict}", arm.strong)
    weak_right, right, ceiling_right = (part.expected(model) for model in models)
    pgr = recovered(weak_right, right, ceiling_right, part.draw)
    weak, student, ceiling = (estimate(part.accuracy(model)) for model in models)
    return results.PartStudent(
        arm=arm.name, conflict=conflict, weak=weak, accuracy=student, ceiling=ceiling,
        pgr=estimate(pgr.stat, note=pgr.note),
    )  # fmt: skip
