"""Results on items among which length says nothing: policies without a reference prefer short answers.

A policy that scores an answer by its log-probability favours the shorter one, and in real data the shorter answer is
often the true one by more than chance (the refusal, say). On the matched items that habit is worth exactly one half.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.measures import Measured
from w2s_pref.analysis.deception.sentences import NEVER_RIGHT, no_score
from w2s_pref.analysis.preferences.arms import Student
from w2s_pref.analysis.preferences.cases import messages
from w2s_pref.analysis.preferences.design import Context
from w2s_pref.analysis.preferences.generalization_measures import Recovered, recovered
from w2s_pref.analysis.scores.panel import Panel
from w2s_pref.analysis.stats.basics import credit
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.tables import digest
from w2s_pref.results.deception import Reference

#: Bins of the absolute log ratio of the two lengths, by quantiles of the items of unequal length.
BINS = 10
#: Below this many matched items the results on them would be noise and are left out.
LEAST = 50


def length_matched(
    context: Context, students: Mapping[tuple[str, str], Student], pairs: pd.DataFrame
) -> results.LengthMatched | None:
    """Every student on the length-matched part of the target test items, under the same resamples.

    Args:
        context: panel and resamples of the whole test set.
        students: measured on the whole test set.
        pairs: texts and truth of the test pairs; items without a pair are not matched.

    Returns:
        None where no item has a text.
    """
    there, true, other = lengths(context.target, pairs)
    if not len(there):
        return None
    kept = there[matched([context.target.ids[i] for i in there], true, other)]
    part = restrict(context, kept) if len(kept) else None
    reference: Reference = "w2s" if any("w2s" in s.roles for s in students.values()) else "ceiling"
    found = results.LengthMatched(
        items=context.target.size,
        kept=len(kept),
        shorter_raw=_shorter(restrict(context, there), other - true),
        shorter_matched=(
            results.Estimate(estimate=None, note="No item was kept.")
            if part is None
            else _shorter(part, (other - true)[np.isin(there, kept)])
        ),
        reference=reference,
    )
    if part is None or len(kept) < LEAST:
        found.note = f"Only {len(kept)} of {context.target.size} items can be matched by length (fewer than {LEAST})."
    else:
        found.rows = [_row(part, student, reference) for student in students.values()]
    return found


def lengths(data: Panel, pairs: pd.DataFrame) -> tuple[Ints, Ints, Ints]:
    """Places of the items that have a pair, and the lengths in characters of their true and of their other answer."""
    rows = pairs.drop_duplicates("id").set_index("id")
    there = np.array([i for i, name in enumerate(data.ids) if name in rows.index], dtype=np.int64)
    rows = rows.loc[[data.ids[i] for i in there]]
    sizes = [
        np.array([characters(c, str(f)) for c, f in zip(rows[name], rows["form"], strict=True)], dtype=np.int64)
        for name in ("a", "b")
    ]
    first = rows["truth"].to_numpy() == 1
    return there, np.where(first, sizes[0], sizes[1]), np.where(first, sizes[1], sizes[0])


def characters(cell: Any, form: str) -> int:
    """Length of an answer: its text, or the contents of a chat's messages."""
    if form != "chat":
        return len(str(cell))
    return sum(len(str(message.get("content") or "")) for message in messages(cell))


def matched(ids: list[str], true: Ints, other: Ints) -> Ints:
    """Places of a subset on which length says nothing about truth.

    In each bin of |log length ratio| as many items stay whose true answer is the longer as whose true answer is the
    shorter, chosen by a hash of the id, so that neither the order of rows nor a seed decides. Items of equal length
    stay.
    """
    # One is added to both lengths: an empty answer has a finite ratio, and unequal lengths an unequal ratio.
    ratio = np.log1p(true) - np.log1p(other)
    unequal = np.flatnonzero(ratio)
    keep = ratio == 0
    size = np.abs(ratio)
    cuts = np.unique(np.quantile(size[unequal], np.linspace(0, 1, BINS + 1)[1:-1])) if len(unequal) else np.empty(0)
    bins = np.searchsorted(cuts, size, side="right")
    rank = np.array([digest("length", name) for name in ids])
    for one in np.unique(bins[unequal]):
        sides = [unequal[(bins[unequal] == one) & (sign * ratio[unequal] > 0)] for sign in (1, -1)]
        least = min(len(side) for side in sides)
        for side in sides:
            keep[side[np.argsort(rank[side], kind="stable")[:least]]] = True
    return np.flatnonzero(keep).astype(np.int64)


def restrict(context: Context, items: Ints) -> Context:
    """The target test set cut to some of its items, under the same resamples; nothing of the conflicting one."""
    data = context.target
    part = dataclasses.replace(
        data,
        ids=tuple(data.ids[i] for i in items),
        groups=np.unique(data.groups[items], return_inverse=True)[1].astype(np.int64),
        delta={name: value[:, items] for name, value in data.delta.items()},
        tau={name: value[:, items] for name, value in data.tau.items()},
    )
    sure = None if context.sure is None else context.sure[items]
    return Context(context.design, part, context.draw.subset(items), None, None, sure)


def _shorter(part: Context, advantage: Ints) -> results.Estimate:
    """Accuracy of preferring the shorter answer; ``advantage`` (N,) is positive where the true one is the shorter."""
    hit: Floats = np.broadcast_to(credit(advantage.astype(np.float64)), (len(part.target.seeds), len(advantage)))
    return estimate(part.draw.mean(hit))


def _row(part: Context, student: Student, reference: Reference) -> results.LengthRow:
    model, arm, rule = student.setting.model, student.arm, part.design.known_rule
    pgr = recovered(part.expected(arm.weak), part.expected(model), part.expected(arm.strong), part.draw)
    role = student.roles.get(reference)
    measured = None if role is None else measures.measure(part.target, role, part.draw, part.options(rule))
    judged = student.deception.get((reference, rule))
    return results.LengthRow(
        arm=arm.name,
        conflict=student.conflict,
        raw=_numbers(student.accuracy, student.pgr, None if judged is None else judged.measured),
        matched=_numbers(part.accuracy(model), pgr, measured),
    )


def _numbers(accuracy: Stat, pgr: Recovered, measured: Measured | None) -> results.StudentNumbers:
    numbers = results.StudentNumbers(accuracy=estimate(accuracy), pgr=estimate(pgr.stat, note=pgr.note))
    if measured is not None:
        numbers.tax = measured.tax
        numbers.deception_score = estimate(measured.stats["score"], no_score(measured))
        numbers.null_share = estimate(measured.stats["null_share"], NEVER_RIGHT)
        numbers.lift = estimate(measured.stats["lift"], "Undefined: no flips are expected of the cell.")
        numbers.lift_smooth = estimate(measured.stats["lift_smooth"], "Undefined: less than one flip is expected.")
    return numbers
