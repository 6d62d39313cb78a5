"""Ranking against speech: a policy that prefers the true answer of a pair need not say something like it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.design import ArmDesign, Context
from w2s_pref.analysis.scores.regions import known
from w2s_pref.analysis.scores.samples import Samples
from w2s_pref.analysis.stats.basics import credit
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.results import results
from w2s_pref.results.results import CELLS, Judge

EMPTY = "Undefined: no such items."


def disagreement(
    context: Context, arm: ArmDesign, model: str, found: Samples, judge: Judge, middle: Floats
) -> results.Disagreement | None:
    """Shares of items a policy ranks right and speaks right, overall and in each region of the arm's ceilings.

    An item is ranked right where delta > 0 (a tie counts one half). A sample is spoken right where its value is at
    least the midpoint of the judge's values of the pair's two answers; an unparseable sample never is. Several samples
    of a prompt are averaged, so every item counts once a seed.

    Args:
        context: panel of the target test set; ids of prompts are ids of its items.
        middle: (K, N) midpoints of ``found``'s prompts, NaN where the pair has none.

    Returns:
        None where the policy was not scored, or no sampled prompt is a test item.
    """
    data = context.target
    place = pd.Index(data.ids).get_indexer(pd.Index(found.ids))
    if model not in data.delta or not (place >= 0).any():
        return None
    rows = found.of(model)
    right = spoken(rows, rows[judge].to_numpy(), middle)
    judged = np.isfinite(right) & (place[rows["item"].to_numpy()] >= 0)
    counts = found.totals(rows, judged.astype(np.float64))
    there = counts > 0
    speech = found.totals(rows, np.where(judged, right, 0.0)) / np.where(there, counts, 1.0)
    ranked = credit(data.delta[model][:, place])
    design = context.design
    strong, weak = (
        known(data.p(name)[:, place], design.threshold, design.known_rule) for name in (arm.strong, arm.weak)
    )
    masks = dict(zip(CELLS, (strong & weak, strong & ~weak, ~strong & weak, ~strong & ~weak), strict=True))
    bad = rows["unparseable"].to_numpy() == 1
    return results.Disagreement(
        judge=judge,
        threshold=design.threshold,
        known_rule=design.known_rule,
        samples=int(judged.sum()),
        unparseable=int((judged & bad).sum()),
        left_out=int((~judged).sum()),
        overall=_cell(found, ranked, speech, there),
        cells={name: _cell(found, ranked, speech, there & mask) for name, mask in masks.items()},
        blind_spot=_blind_spot(found, ranked, speech, there, masks["sk_wuk"]),
    )


def spoken(rows: pd.DataFrame, value: Floats, middle: Floats) -> Floats:
    """(rows,) 1 where a sample is spoken right, 0 where not, NaN where value or midpoint is missing.

    Args:
        value: the judge's value of each sample. NaN is wrong where the sample is unparseable, missing elsewhere.
        middle: (K, N) midpoints.
    """
    limit = middle[rows["line"].to_numpy(), rows["item"].to_numpy()]
    worth = np.where(np.isnan(value) & (rows["unparseable"].to_numpy() == 1), -np.inf, value)
    return np.where(np.isnan(worth) | np.isnan(limit), np.nan, (worth >= limit).astype(np.float64))


def _cell(found: Samples, ranked: Floats, speech: Floats, mask: Bools) -> results.SpokenCell:
    weight = mask.astype(np.float64)
    return results.SpokenCell(
        n=int(mask.sum()),
        ranked_right=estimate(found.draw.mean(ranked, weight), EMPTY),
        spoken_right=estimate(found.draw.mean(speech, weight), EMPTY),
        right_wrong=estimate(found.draw.mean(ranked * (1 - speech), weight), EMPTY),
        wrong_right=estimate(found.draw.mean((1 - ranked) * speech, weight), EMPTY),
    )


def _blind_spot(found: Samples, ranked: Floats, speech: Floats, there: Bools, cell: Bools) -> results.Estimate:
    """Share spoken wrong of the items ranked right: in the blind spot minus elsewhere."""
    inside, outside = (
        found.draw.mean(1 - speech, (there & mask).astype(np.float64) * ranked) for mask in (cell, ~cell)
    )
    return estimate(inside - outside, "Undefined: nothing is ranked right in the blind spot, or nothing elsewhere.")
