"""What policies say: win rate against where they started, distance from there, form of the answers, and ranking."""

from __future__ import annotations

import numpy as np
import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.deception.regions import known, region_masks
from w2s_pref.analysis.preferences.design import ArmDesign, Context, Design
from w2s_pref.analysis.scores.samples import JUDGES, Samples, midpoints, samples
from w2s_pref.analysis.stats.basics import credit
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.stat import SHARE, Form
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.results.speech import Judge

#: Judges of the target objective, the better one first: an oracle sees what no trained judge does.
TARGET_JUDGES: tuple[Judge, ...] = ("oracle_target", "gold_target")
EMPTY = "Undefined: no such items."
NO_KL = "Undefined: no log-probabilities, or answers not sampled at temperature 1."
Place = tuple[ArmDesign | None, str | None]


def speech(context: Context, judged: pd.DataFrame, anchors: pd.DataFrame | None) -> list[results.Speech]:
    """One entry for each policy of the judged table: final students first, then ceilings, then any other.

    Args:
        context: the study; ``design.references`` names each policy's reference.
        judged: one row a sample (``samples.JUDGED_COLUMNS``).
        anchors: the judges' values of the test pairs' own answers (``samples.ANCHOR_COLUMNS``).

    Raises:
        W2SError: a table that cannot be read (see ``samples``).
    """
    design = context.design
    found = samples(judged, design.seeds, design.resamples, design.seed)
    middle = {judge: midpoints(found, anchors, judge) for judge in TARGET_JUDGES}
    there = [j for j in TARGET_JUDGES if np.isfinite(found.table[j]).any()]
    # One judge for the whole study, so that policies are read against one another.
    judge = next(iter(there), None)
    anchored = next((j for j in there if middle[j] is not None), None)
    out = []
    for model, (arm, conflict) in _policies(design, found).items():
        one = _speech(found, model, design.references.get(model), judge)
        if model in design.best_of:
            one.best_of = best_of(found, model, design.best_of[model])
        if arm is not None:
            one.arm, one.conflict = (arm.name, conflict) if conflict is not None else (None, None)
            limits = None if anchored is None else middle[anchored]
            if anchored is not None and limits is not None:
                one.disagreement = disagreement(context, arm, model, found, anchored, limits)
        out.append(one)
    return out


def _policies(design: Design, found: Samples) -> dict[str, Place]:
    """Models that are no mere reference, with the arm whose ceilings cut their regions, and the conflict."""
    known: dict[str, Place] = {f"{a.name}/{c}": (a, c) for a in design.arms for c in design.conflicts}
    for arm in design.arms:
        known.setdefault(arm.strong, (arm, None))
    bare = set(design.references.values()) - set(design.references)
    names = sorted(set(found.table["model"]) - bare)
    order = list(known)
    names.sort(key=lambda name: order.index(name) if name in known else len(order))
    return {name: known.get(name, (None, None)) for name in names}


def _speech(found: Samples, model: str, reference: str | None, judge: Judge | None) -> results.Speech:
    own = found.of(model)
    other = None if reference is None else found.of(reference)
    notes = []
    both = None
    if reference is not None and other is not None and other.empty:
        notes.append(f"The reference {reference} has no samples: no win rate.")
        other = None
    if other is not None:
        both = paired(own, other)
        if len(both) < len(own):
            notes.append(
                f"{len(own) - len(both)} of {len(own)} samples have no counterpart of the reference and no win rate."
            )
    gap = (own["logp"] - own["ref_logp"]).to_numpy()
    return results.Speech(
        model=model,
        arm=None,
        conflict=None,
        reference=reference,
        prompts=int(own["id"].nunique()),
        judge=judge,
        win_rate={} if both is None else _win_rates(found, both),
        said=_said(found, own),
        reference_said=None if other is None else _said(found, other),
        kl=estimate(found.mean(own, gap), NO_KL),
        kl_per_token=estimate(found.mean(own, gap, own["tokens"].to_numpy()), NO_KL),
        notes=notes,
    )


def best_of(found: Samples, model: str, rival: str) -> results.BestOf:
    """A search against the best of so many plain answers as cost the same tokens, prompt by prompt."""
    own, other = found.of(model), found.of(rival)
    drawn, spent = (found.mean(rows, rows["drawn"].to_numpy(dtype=float), form=Form(0.0)) for rows in (own, other))
    return results.BestOf(
        model=rival,
        candidates=float(other["candidates"].mean()),
        drawn=estimate(drawn),
        spent=estimate(spent),
        win_rate=_win_rates(found, paired(own, other)),
    )


def paired(own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Samples of a policy with those of its reference, by prompt id and sample index, columns of the latter ``*_ref``.

    A reference sampled under one seed while the policy has several stands under each.
    """
    keys = ["id", "sample"] if other["seed"].nunique() == 1 < own["seed"].nunique() else ["seed", "id", "sample"]
    columns = [*keys, *JUDGES, "unparseable"]
    return own.merge(other[columns], on=keys, how="inner", suffixes=("", "_ref"), validate="many_to_one")


def wins(rows: pd.DataFrame, judge: str) -> Floats:
    """(rows,) 1 where the policy's sample has the higher value, 1/2 on a tie, 0 else, NaN where one has no value.

    A sample that is unparseable and therefore without value loses to every value: to leave it out would reward
    gibberish.
    """
    own, other = (
        np.where(np.isnan(rows[f"{judge}{end}"]) & (rows[f"unparseable{end}"] == 1), -np.inf, rows[f"{judge}{end}"])
        for end in ("", "_ref")
    )
    result = np.where(own > other, 1.0, np.where(own == other, 0.5, 0.0))
    return np.where(np.isnan(own) | np.isnan(other), np.nan, result)


def _win_rates(found: Samples, both: pd.DataFrame) -> dict[Judge, results.Estimate]:
    """By every judge that gave a value to one of the samples."""
    rates: dict[Judge, results.Estimate] = {}
    for judge in JUDGES:
        if np.isfinite(both[[judge, f"{judge}_ref"]].to_numpy()).any():
            rates[judge] = estimate(found.mean(both, wins(both, judge), form=SHARE), "Undefined: no pair of samples.")
    return rates


def _said(found: Samples, rows: pd.DataFrame) -> results.Said:
    return results.Said(
        samples=len(rows),
        tokens=estimate(found.mean(rows, rows["tokens"].to_numpy(), form=Form(0.0))),
        refusal=estimate(found.mean(rows, rows["refusal"].to_numpy(), form=SHARE)),
        unparseable=estimate(found.mean(rows, rows["unparseable"].to_numpy(), form=SHARE)),
        unended=estimate(found.mean(rows, 1 - rows["ended"].to_numpy(), form=SHARE)),
        values={
            judge: estimate(found.mean(rows, rows[judge].to_numpy()))
            for judge in JUDGES
            if np.isfinite(rows[judge]).any()
        },
    )


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
    masks = region_masks(strong, weak)
    bad = rows["unparseable"].to_numpy() == 1
    return results.Disagreement(
        judge=judge,
        threshold=design.threshold,
        known_rule=design.known_rule,
        samples=int(judged.sum()),
        unparseable=int((judged & bad).sum()),
        left_out=int((~judged).sum()),
        overall=_shares(found, ranked, speech, there),
        cells={name: _shares(found, ranked, speech, there & mask) for name, mask in masks.items()},
        blind_spot=_blind_spot(found, ranked, speech, there, masks["sk_wuk"]),
        prompts=min(int((there & side).any(axis=0).sum()) for side in (masks["sk_wuk"], ~masks["sk_wuk"])),
    )


def spoken(rows: pd.DataFrame, value: Floats, middle: Floats) -> Floats:
    """(rows,) 1 where a sample is spoken right, 0 where not, NaN where value or midpoint is missing.

    Args:
        value: the judge's value of each sample. An unparseable one is wrong, whatever a reward model says of it.
        middle: (K, N) midpoints.
    """
    limit = middle[rows["line"].to_numpy(), rows["item"].to_numpy()]
    worth = np.where(rows["unparseable"].to_numpy() == 1, -np.inf, value)
    return np.where(np.isnan(worth) | np.isnan(limit), np.nan, (worth >= limit).astype(np.float64))


def _shares(found: Samples, ranked: Floats, speech: Floats, mask: Bools) -> results.SpokenShares:
    weight = mask.astype(np.float64)
    return results.SpokenShares(
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
