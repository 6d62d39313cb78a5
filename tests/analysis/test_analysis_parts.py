"""Students by a column of the test pairs: each part is an analysis of its own rows, the shift is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import study_design, study_tables

from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.preferences.disagreement import last_labelled
from w2s_pref.analysis.preferences.parts import by_column, described
from w2s_pref.analysis.preferences.study import prepare
from w2s_pref.analysis.scores.benchmarks import accuracy_by
from w2s_pref.core.errors import W2SError
from w2s_pref.report.sections.parts import _shift

ARMS = (ArmDesign("direct", ("m0", "m3")),)


@pytest.fixture(scope="module")
def tables():
    scores, _, pairs = study_tables(ARMS, items=120)
    pairs["topic"] = ["abc"[number // 2 % 3] for number in range(len(pairs))]  # by group: two items a prompt
    return scores, pairs


def parts(tables, gt: str, w2s: str):
    scores, pairs = tables
    frames = {"gt": pairs[pairs["topic"].isin([*gt])], "w2s": pairs[pairs["topic"].isin([*w2s])], "test": pairs}
    context = prepare(scores, study_design(ARMS, by=described(frames, "topic")))
    return context, by_column(context, pairs.sample(frac=1, random_state=1))


def test_a_part_is_what_its_own_rows_give(tables):
    context, found = parts(tables, "a", "bc")
    assert [part.part for part in found] == ["in distribution", "out of distribution", "a", "b", "c"]
    assert [(part.items, part.gt, part.w2s) for part in found] == [
        (40, 40, 0), (80, 0, 80), (40, 40, 0), (40, 0, 40), (40, 0, 40),
    ]  # fmt: skip
    scores, pairs = tables
    outside = set(pairs.loc[pairs["topic"] != "a", "id"])
    alone = prepare(scores[scores["id"].isin(outside) | (scores["objective"] != "harmless")], study_design(ARMS))
    first = found[1].students[0]
    assert (first.arm, first.conflict) == ("direct", "none")
    for model, value in (("ceiling/m0", first.weak), ("direct/none", first.accuracy), ("ceiling/m3", first.ceiling)):
        assert value.estimate == pytest.approx(alone.accuracy(model).value, abs=1e-12)
    weak, student, ceiling = (each.estimate for each in (first.weak, first.accuracy, first.ceiling))
    assert first.pgr.note or first.pgr.estimate == pytest.approx((student - weak) / (ceiling - weak), abs=1e-12)
    whole = context.accuracy("direct/none").value
    assert (found[0].students[0].accuracy.estimate + 2 * first.accuracy.estimate) / 3 == pytest.approx(whole)
    assert _shift(found) == "Ground truth: a; weakly labelled pairs: b, c."


def test_without_a_shift_there_is_no_in_and_out(tables):
    _, found = parts(tables, "abc", "abc")
    assert [part.part for part in found] == ["a", "b", "c"]
    assert _shift(found).startswith("No shift")
    scores, pairs = tables
    assert by_column(prepare(scores, study_design(ARMS)), pairs) == []


def test_which_pair_has_which_value_decides_the_key(tables):
    _, pairs = tables
    frames = dict.fromkeys(("gt", "w2s", "test"), pairs)
    before = described(frames, "topic")
    assert before["gt"] == {"a": 40, "b": 40, "c": 40}
    assert described({**frames, "test": pairs[::-1]}, "topic") == before
    swapped = pairs.assign(topic=pairs["topic"].to_numpy()[::-1])
    assert described({**frames, "test": swapped}, "topic") != before
    missing = described({**frames, "gt": pairs.assign(topic=None)}, "topic")
    assert missing["gt"] == {"missing": 120}


@pytest.mark.parametrize(
    "held", [[1, 2], [1.0, 2.0], ["1", "2"], ["1.0", "2.0"], np.float32([1, 2]), pd.Categorical([1, 2])]
)
def test_a_value_is_the_same_however_a_file_holds_it(held):
    """CSV holds text, Parquet numbers, and pandas writes 1.0 where a column has a gap."""
    pairs = pd.DataFrame({"id": ["p", "q"], "group": ["p", "q"], "delta": [1.0, 2.0], "tier": held})
    assert described(dict.fromkeys(("gt", "w2s", "test"), pairs), "tier")["gt"] == {"1": 1, "2": 1}
    assert [line.name for line in accuracy_by(pairs, "tier").lines] == ["1", "2", "all"]


def test_a_whole_number_is_one_value_in_every_split(tables):
    """A gap in one file makes its numbers floats: everything but gt would be out of the distribution."""
    pairs = tables[1]
    tiers = pairs.assign(topic=pairs["topic"].map({"a": 1, "b": 2, "c": 3}))
    gap = tiers.assign(topic=tiers["topic"].astype(float).where(tiers["topic"] < 3))
    found = described({"gt": tiers, "w2s": gap, "test": gap}, "topic")
    assert found["gt"] == {"1": 40, "2": 40, "3": 40}
    assert found["w2s"] == {"1": 40, "2": 40, "missing": 40}


@pytest.mark.parametrize(
    ("column", "sentence"), [("topc", "no column 'topc' .they have id, group"), ("id", "has 120 values in gt")]
)
def test_a_column_that_says_nothing_is_refused(tables, column, sentence):
    with pytest.raises(W2SError, match=sentence):
        described(dict.fromkeys(("gt", "w2s", "test"), tables[1]), column)


def test_the_section_has_a_group_a_part(tables):
    from types import SimpleNamespace

    from w2s_pref.report.sections.parts import section

    _, found = parts(tables, "a", "bc")
    shown = section(SimpleNamespace(parts=found))
    assert shown is not None
    titles = [title for title, _ in shown.blocks[0].groups]
    assert titles[1:3] == [
        "out of distribution: b, c (80 test pairs; gt has 0, w2s 80)",
        "a (40 test pairs; gt has 40, w2s 0)",
    ]
    assert section(SimpleNamespace(parts=[])) is None


def test_last_hop_that_several_supervisors_label() -> None:
    """By number, not by text: hop 10 comes after hop 9. Hop 11 has one supervisor, so no spread."""
    arm = ArmDesign("boot", tuple(f"m{i}" for i in range(12)))
    names = [f"boot/hop{k}" for k in range(1, 12)] + ["other/hop12"]
    labels = pd.DataFrame({"name": names, "spread": [0.1] * 10 + [np.nan, 0.1], "id": list("abcdefghijkl")})
    number, rows = last_labelled(arm, labels)
    assert (number, rows["id"].tolist()) == (10, ["j"])
    assert last_labelled(arm, labels[labels["spread"].isna()])[1].empty
    assert last_labelled(arm, labels[:0])[1].empty
