"""Length matching: on the matched items "the shorter answer" is worth one half, and nothing else is touched."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import CONFLICTS, study_design, study_tables

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.preferences.arms import measure_student
from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.preferences.length import LEAST, characters, length_matched, matched, restrict
from w2s_pref.analysis.preferences.study import prepare, summarize
from w2s_pref.analysis.stats.bootstrap import Resampler

ARMS = (ArmDesign("direct", ("m0", "m3")), ArmDesign("boot", ("m0", "m2", "m3")))


def lengths(size: int, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids, and lengths of true and other answers where the true one is the shorter in about 70 % of items."""
    rng = np.random.default_rng(seed)
    true, other = rng.integers(0, 400, size), rng.integers(0, 400, size)
    short = rng.random(size) < 0.4
    true, other = np.where(short, np.minimum(true, other), true), np.where(short, np.maximum(true, other), other)
    true[:5] = other[:5]
    return [f"h{i}" for i in range(size)], true, other


def with_lengths(pairs: pd.DataFrame, true: np.ndarray, other: np.ndarray) -> pd.DataFrame:
    """The same pairs with answers of given lengths, as text or as chat."""
    out = pairs.copy()
    place = {name: i for i, name in enumerate(out["id"])}
    for side, mine in (("a", 1), ("b", 0)):
        texts = []
        for row in out.itertuples():
            size = (true if row.truth == mine else other)[place[row.id]]
            text = "x" * int(size)
            chat = [{"role": "assistant", "content": text[:1]}, {"role": "assistant", "content": text[1:]}]
            texts.append(json.dumps(chat) if row.form == "chat" else text)
        out[side] = texts
    return out


@pytest.fixture(scope="module")
def tables():
    scores, labels, pairs = study_tables(ARMS)
    _, true, other = lengths(len(pairs))
    return scores, labels, with_lengths(pairs, true, other)


@pytest.fixture(scope="module")
def body(tables):
    return summarize(*tables, study_design(ARMS))


def test_by_hand():
    # |log ratio| is the same for all: one bin. True shorter: p, q, r; longer: s; equal: t.
    ids, true, other = list("pqrst"), np.array([9, 9, 9, 19, 3]), np.array([19, 19, 19, 9, 3])
    kept = matched(ids, true, other)
    assert {3, 4} < set(kept)
    assert len(kept) == 3


@pytest.mark.parametrize("seed", range(4))
def test_shorter_is_worth_exactly_one_half(seed):
    ids, true, other = lengths(777, seed)
    kept = matched(ids, true, other)
    assert np.mean(true < other) > 0.6
    assert (true[kept] < other[kept]).sum() == (true[kept] > other[kept]).sum() > 100
    assert {0, 1, 2, 3, 4} <= set(kept)


def test_long_and_short_ratios_are_matched_apart():
    """One bin over everything would let a few extreme items stand against mild ones; by bins it does not."""
    ids, true, other = lengths(2000, 3)
    kept = matched(ids, true, other)
    size = np.abs(np.log1p(true) - np.log1p(other))[kept]
    wide = size > np.quantile(size, 0.8)
    shorter = (true < other)[kept]
    assert abs(shorter[wide].mean() - 0.5) < 0.03


def test_the_choice_is_of_ids_not_of_rows():
    ids, true, other = lengths(500)
    kept = {ids[i] for i in matched(ids, true, other)}
    order = np.random.default_rng(1).permutation(500)
    again = matched([ids[i] for i in order], true[order], other[order])
    assert {ids[order[i]] for i in again} == kept


def test_nothing_to_match():
    assert list(matched(["a", "b"], np.array([3, 4]), np.array([3, 4]))) == [0, 1]
    assert list(matched(["a", "b"], np.array([3, 4]), np.array([9, 9]))) == []


def test_characters_of_text_and_chat():
    assert characters("héllo", "text") == 5
    chat = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "cde"}, {"role": "x", "content": None}]
    assert characters(json.dumps(chat), "chat") == 5


def test_results_on_the_matched_items(tables, body):
    pairs = tables[2]
    found = body.length_matched
    assert found is not None
    assert found.note is None
    assert LEAST <= found.kept < found.items == 240
    assert found.shorter_matched.estimate == 0.5
    true = np.where(pairs["truth"] == 1, pairs["a"].str.len(), pairs["b"].str.len())
    other = np.where(pairs["truth"] == 1, pairs["b"].str.len(), pairs["a"].str.len())
    assert found.shorter_raw.estimate == pytest.approx(np.mean((true < other) + 0.5 * (true == other)))
    assert [(row.arm, row.conflict) for row in found.rows] == [(a.name, c) for a in ARMS for c in CONFLICTS]
    for row in found.rows:
        setting = next(s for a in body.arms if a.name == row.arm for s in a.settings if s.conflict == row.conflict)
        assert row.raw.accuracy == setting.performance.accuracy
        assert row.raw.pgr == setting.pgr
        taxed = [d for d in setting.deception if (d.reference, d.known_rule) == (found.reference, "gt_prob")]
        assert row.raw.tax == (taxed[0].tax if taxed else None)
        assert row.raw.lift == (taxed[0].lift if taxed else None)


def test_matched_numbers_are_those_of_the_rows_kept(tables, body):
    scores, _, pairs = tables
    context = prepare(scores, study_design(ARMS))
    _, true, other = lengths(240)
    kept = {f"h{i}" for i in matched(list(pairs["id"]), true, other)}
    found = body.length_matched
    assert found.kept == len(kept)
    row = next(r for r in found.rows if (r.arm, r.conflict) == ("direct", "explicit"))
    rows = scores[(scores["objective"] == "harmless") & scores["id"].isin(kept)]
    wide = rows.pivot(index=["id", "seed"], columns="model", values="delta")
    assert row.matched.accuracy.estimate == pytest.approx((wide["direct/explicit"] > 0).mean())
    flips = (wide["direct/none"] > 0) & (wide["direct/explicit"] <= 0)
    assert row.matched.tax == flips.sum()
    sigmoid = 1 / (1 + np.exp(-wide[["ceiling/m0", "ceiling/m3"]]))
    cell = flips & (sigmoid["ceiling/m3"] >= 0.75) & (sigmoid["ceiling/m0"] < 0.75)
    assert row.matched.deception_score.estimate == pytest.approx(cell.sum() / flips.sum())
    assert next(r for r in found.rows if r.conflict == "none").matched.tax is None
    part = restrict(context, np.flatnonzero([name in kept for name in context.target.ids]))
    roles = measures.Roles("ceiling/m0", "ceiling/m3", "direct/none", "direct/explicit")
    assert measures.measure(part.target, roles, part.draw, part.options("gt_prob")).tax == row.matched.tax


def test_resamples_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    groups = np.arange(60) // 2
    draw = Resampler(groups, 50, 1)
    items = np.sort(rng.choice(60, 21, replace=False))
    values, keep = rng.random((2, 60)), np.zeros((2, 60))
    keep[:, items] = 1
    part, whole = draw.subset(items).mean(values[:, items]), draw.mean(values, keep)
    assert part.value == pytest.approx(whole.value)
    assert np.allclose(part.by_group, whole.by_group, atol=1e-6)
    assert np.allclose(part.less_boot, whole.less_boot, atol=1e-6)


def measured(scores):
    """What ``length_matched`` is given of one arm, in the settings of the study."""
    context = prepare(scores, study_design(ARMS[:1]))
    return context, {("direct", name): measure_student(context, ARMS[0], name) for name in CONFLICTS}


def test_too_few_or_none(tables):
    scores, _, pairs = tables
    whole = measured(scores)
    longer = with_lengths(pairs, np.full(240, 9), np.full(240, 5))
    found = length_matched(*whole, longer)
    assert found.kept == 0
    assert not found.rows
    assert found.shorter_matched.estimate is None
    assert found.shorter_raw.estimate == 0.0
    assert "0 of 240" in found.note
    assert length_matched(*whole, pairs.iloc[:0]) is None


def test_row_order_changes_nothing(tables, body):
    shuffled = [t.sample(frac=1, random_state=2) for t in tables]
    found = length_matched(*measured(shuffled[0]), shuffled[2])
    in_order = body.length_matched
    assert found == in_order.model_copy(update={"rows": [row for row in in_order.rows if row.arm == "direct"]})
