"""Where several supervisors disagree: how right their labels and the student are there, and how much of the tax is."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.preferences.arms import label_arrays
from w2s_pref.analysis.preferences.design import ArmDesign, Context
from w2s_pref.analysis.stats.basics import credit, expected
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.results.parts import Third

THIRDS: tuple[Third, ...] = get_args(Third)


def by_disagreement(context: Context, scores: pd.DataFrame, labels: pd.DataFrame) -> list[results.SupervisorSpread]:
    """One entry for each arm with several supervisors in one place, and third of the pairs by their spread.

    Args:
        scores: the score table; ``spread`` (by item and seed) is there where several supervisors gave the scores.
        labels: the label table, with ``spread`` where several supervisors gave the labels.
    """
    if "spread" not in scores or "spread" not in labels:
        return []
    return [entry for arm in context.design.arms for entry in _arm(context, arm, scores, labels)]


def thirds(spread: Floats, there: Floats | None = None) -> Ints:
    """(K, N) 0, 1, 2: the third of each seed's items by ascending spread, ties in their order; -1 where not there."""
    found = np.full(spread.shape, -1)
    for line, values in enumerate(spread):
        known = np.flatnonzero(np.isfinite(values) if there is None else there[line] > 0)
        order = known[np.argsort(values[known], kind="stable")]
        found[line, order] = np.arange(len(order)) * len(THIRDS) // max(1, len(order))
    return found


def _arm(
    context: Context, arm: ArmDesign, scores: pd.DataFrame, labels: pd.DataFrame
) -> list[results.SupervisorSpread]:
    spread = _on_tests(context, arm, scores)
    last, own = last_labelled(arm, labels)
    if spread is None or own.empty or np.isfinite(spread).sum(axis=1).min() < len(THIRDS):
        return []
    accuracies = by_third(own, context.design.resamples, context.design.seed)
    place = thirds(spread)
    return [
        results.SupervisorSpread(
            arm=arm.name,
            supervisors=arm.chain[last - 1],
            third=third,
            spread=float(spread[place == number].mean()),
            label_accuracy=estimate(accuracies[number]),
            students=[_student(context, arm, conflict, place == number) for conflict in context.design.conflicts],
        )
        for number, third in enumerate(THIRDS)
    ]


def last_labelled(arm: ArmDesign, labels: pd.DataFrame) -> tuple[int, pd.DataFrame]:
    """The last hop that several supervisors label, from 1 (0 where there is none), and its rows of the label table."""
    numbers = {f"{arm.name}/hop{k}": k for k in range(1, len(arm.chain))}
    hops = labels["name"].map(numbers).where(labels["spread"].notna()).fillna(0)
    last = int(max(hops, default=0))
    return last, labels[(hops == last) & (last > 0)]


def _on_tests(context: Context, arm: ArmDesign, scores: pd.DataFrame) -> Floats | None:
    """(K, N) spread of the student's supervisors on the target test set, else of those at the weak end; or None."""
    data = context.target
    own = scores[(scores["objective"] == context.design.target) & scores["spread"].notna()]
    for name in (arm.supervisor, arm.weak):
        rows = own[own["model"] == name]
        if len(rows):
            table = rows.pivot(index="seed", columns="id", values="spread")
            return table.reindex(index=list(data.seeds), columns=list(data.ids)).to_numpy(dtype=np.float64)
    return None


def by_third(rows: pd.DataFrame, resamples: int, seed: int) -> list[Stat]:
    """Accuracy in each third of the items by their spread, groups and seeds resampled: all by the same draws.

    Args:
        rows: ``seed, id, group, p_true, keep, spread``, and perhaps ``sure``.
        resamples, seed: of the bootstrap.
    """
    groups, there, p_true, _, sure = label_arrays(rows)
    spread = label_arrays(rows.assign(p_true=rows["spread"]))[2]
    hit = credit(p_true - 0.5)
    hit = hit if sure is None else expected(hit, sure)
    draw = Resampler(groups, resamples, seed)
    place = thirds(spread, there)
    return [draw.mean(hit, (place == number).astype(float)) for number in range(len(THIRDS))]


def _student(context: Context, arm: ArmDesign, conflict: str, inside: np.ndarray) -> results.SpreadStudent:
    data, name, plain = context.target, f"{arm.name}/{conflict}", f"{arm.name}/none"
    here = inside.astype(float)
    found = results.SpreadStudent(conflict=conflict, accuracy=estimate(context.draw.mean(context.expected(name), here)))
    if conflict == "none" or plain not in data.delta:
        return found
    eligible = (data.delta[plain] > 0).astype(float)
    tax = eligible * (data.delta[name] <= 0)
    rate = estimate(context.draw.mean(tax, here * eligible), "Undefined: the reference is right on none of them.")
    share = estimate(context.draw.mean(here, tax), "Undefined: there is no tax.")
    return found.model_copy(update={"tax_rate": rate, "tax_share": share})
