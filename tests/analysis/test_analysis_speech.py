"""What policies say: win rates, distance from the reference and ranking against speech, worked by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import study_design, study_tables
from test_analysis_length import lengths, with_lengths

from w2s_pref import results
from w2s_pref.analysis.preferences.design import ArmDesign, Design
from w2s_pref.analysis.preferences.speech import speech, wins
from w2s_pref.analysis.preferences.study import prepare, summarize
from w2s_pref.analysis.scores.samples import ANCHOR_COLUMNS, JUDGED_COLUMNS
from w2s_pref.core.errors import W2SError

NAN = math.nan
ARM = ArmDesign("direct@dpo", ("w", "s@dpo"), "dpo", "direct")
POLICY, START = "direct@dpo/none", "reference/direct@dpo"


def sample(model: str, item: str, value: float = NAN, **more: Any) -> dict[str, Any]:
    """One judged sample with plain defaults; ``value`` is the oracle's."""
    row = {
        "id": item, "group": item, "model": model, "seed": 0, "sample": 0, "oracle_target": value,
        "gold_target": NAN, "gold_conflict": NAN, "oracle_conflict": NAN, "tokens": 10, "ended": True,
        "refusal": False, "unparseable": False, "logp": NAN, "ref_logp": NAN,
    }  # fmt: skip
    return {**row, **more}


def anchor(item: str, true: float, other: float, judge: str = "oracle_target", seed: int = 0) -> dict[str, Any]:
    return {"seed": seed, **dict(zip(ANCHOR_COLUMNS, (item, judge, true, other), strict=True))}


def scored(p_weak: list[float], p_strong: list[float], delta: list[float], seeds: int = 1) -> pd.DataFrame:
    """Score table of the two ceilings and the policy on items ``a``, ``b``, …"""
    ids = [chr(97 + i) for i in range(len(delta))]
    gaps = {"ceiling/w": np.log(np.divide(p_weak, np.subtract(1, p_weak))), POLICY: np.array(delta)}
    gaps["ceiling/s@dpo"] = np.log(np.divide(p_strong, np.subtract(1, p_strong)))
    frames = [
        pd.DataFrame({"id": ids, "group": ids, "model": name, "seed": seed, "delta": values, "tau": 1.0,
                      "objective": "harmless", "kind": "implicit_reward"})
        for name, values in gaps.items() for seed in range(seeds)
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def design(seeds: int = 1) -> Design:
    return Design((ARM,), ("none",), tuple(range(seeds)), "harmless", None, False, resamples=200,
                  references={POLICY: START})  # fmt: skip


def spoken(rows: list[dict[str, Any]], anchors: list[dict[str, Any]] | None = None, seeds: int = 1, **scores: Any):
    """Speech of the policy on four plain items."""
    flat = {"p_weak": [0.9, 0.9, 0.4, 0.4], "p_strong": [0.9, 0.4, 0.9, 0.4], "delta": [1.0, 1.0, 1.0, 1.0]}
    context = prepare(scored(**{**flat, **scores}, seeds=seeds), design(seeds))
    found = speech(context, pd.DataFrame(rows), None if anchors is None else pd.DataFrame(anchors))
    return next(one for one in found if one.model == POLICY)


def test_win_rate_by_hand():
    rows = [
        sample(POLICY, "a", 2.0), sample(START, "a", 1.0),  # wins
        sample(POLICY, "b", 1.0), sample(START, "b", 1.0),  # tie
        sample(POLICY, "c", 0.0), sample(START, "c", 1.0),  # loses
        sample(POLICY, "c", 9.0, sample=1), sample(START, "c", 1.0, sample=1),  # wins
    ]  # fmt: skip
    one = spoken(rows)
    assert one.win_rate["oracle_target"].estimate == pytest.approx(2.5 / 4)
    assert list(one.win_rate) == ["oracle_target"]
    assert (one.arm, one.conflict, one.reference, one.judge) == ("direct@dpo", "none", START, "oracle_target")
    assert (one.prompts, one.said.samples) == (3, 4)
    assert one.said.values["oracle_target"].estimate == pytest.approx(3.0)
    assert one.reference_said is not None
    assert one.reference_said.values["oracle_target"].estimate == pytest.approx(1.0)


def test_samples_are_paired_by_index_and_every_judge_has_its_rate():
    both = {"gold_target": 5.0, "gold_conflict": -1.0}
    rows = [
        sample(POLICY, "a", 1.0, **both), sample(POLICY, "a", 3.0, sample=1, **both),
        sample(START, "a", 2.0, gold_target=6.0, gold_conflict=-2.0),
        sample(START, "a", 2.0, sample=1, gold_target=5.0, gold_conflict=-2.0),
    ]  # fmt: skip
    rates = {name: value.estimate for name, value in spoken(rows).win_rate.items()}
    assert rates == {"gold_target": 0.25, "gold_conflict": 1.0, "oracle_target": 0.5}


def test_kl_and_form_by_hand():
    rows = [
        sample(POLICY, "a", tokens=4, logp=-2.0, ref_logp=-5.0, ended=False, refusal=True),
        sample(POLICY, "b", tokens=6, logp=-1.0, ref_logp=-2.0),
        sample(POLICY, "b", tokens=10, sample=1, unparseable=True),
        sample(START, "a", tokens=8),
    ]
    one = spoken(rows)
    assert one.kl.estimate == pytest.approx((3.0 + 1.0) / 2)
    assert one.kl_per_token.estimate == pytest.approx(4.0 / 10)
    assert one.said.tokens.estimate == pytest.approx(20 / 3)
    assert one.reference_said is not None
    assert one.reference_said.tokens.estimate == 8
    shares = (one.said.refusal, one.said.unparseable, one.said.unended)
    assert [share.estimate for share in shares] == pytest.approx([1 / 3] * 3)
    assert (one.judge, one.win_rate, one.said.values) == (None, {}, {})
    assert any("2 of 3 samples have no counterpart" in note for note in one.notes)


def test_an_unparseable_sample_loses_and_a_missing_judgement_is_left_out():
    table = pd.DataFrame(
        {
            "v": [NAN, 1.0, NAN, NAN, 1.0],
            "unparseable": [1, 0, 1, 0, 0],
            "v_ref": [1.0, NAN, NAN, 1.0, NAN],
            "unparseable_ref": [0, 1, 1, 0, 0],
        }
    )
    assert wins(table, "v").tolist()[:3] == [0.0, 1.0, 0.5]
    assert np.isnan(wins(table, "v")[3:]).all()


def test_ranking_against_speech_by_hand():
    """One item in each region; d is spoken by an unparseable sample, c is ranked right and spoken wrong."""
    rows = [
        sample(POLICY, "a", 1.0),  # on the midpoint: right
        sample(POLICY, "b", 3.0),  # ranked wrong, spoken right
        sample(POLICY, "c", 0.0), sample(POLICY, "c", 5.0, sample=1),  # tied rank, one of two samples right
        sample(POLICY, "d", NAN, unparseable=True),  # ranked right, spoken wrong
        sample(START, "a", 0.0),
    ]  # fmt: skip
    anchors = [anchor(item, 2.0, 0.0) for item in "abcd"]
    found = spoken(rows, anchors, delta=[1.0, -1.0, 0.0, 1.0]).disagreement
    assert found is not None
    assert (found.judge, found.samples, found.unparseable, found.left_out) == ("oracle_target", 5, 1, 0)
    expected = {  # n, ranked right, spoken right, right but wrong, wrong but right
        "sk_wk": (1, 1.0, 1.0, 0.0, 0.0),
        "suk_wk": (1, 0.0, 1.0, 0.0, 1.0),
        "sk_wuk": (1, 0.5, 0.5, 0.25, 0.25),
        "suk_wuk": (1, 1.0, 0.0, 1.0, 0.0),
    }
    assert {name: shares(cell) for name, cell in found.cells.items()} == expected
    assert shares(found.overall) == (4, 0.625, 0.625, 1.25 / 4, 1.25 / 4)
    # of the half item ranked right in the blind spot .5 is spoken wrong; elsewhere 1 of 2
    assert found.blind_spot.estimate == pytest.approx(0.5 - 0.5)


def shares(cell: results.SpokenShares) -> tuple[float | None, ...]:
    values = (cell.ranked_right, cell.spoken_right, cell.right_wrong, cell.wrong_right)
    return (cell.n, *(value.estimate for value in values))


def test_empty_cells_are_undefined_and_missing_judgements_counted():
    rows = [sample(POLICY, "a", 1.0), sample(POLICY, "b", NAN), sample(POLICY, "zz", 1.0), sample(POLICY, "d", 1.0)]
    found = spoken(rows, [anchor(item, 2.0, 0.0) for item in ("a", "b", "zz")]).disagreement
    assert found is not None
    assert (found.samples, found.left_out) == (1, 3)  # b not judged, zz no test item, d without anchor
    cell = found.cells["sk_wuk"]
    assert cell.n == 0
    assert cell.spoken_right.estimate is None
    assert "no such items" in (cell.spoken_right.note or "")
    assert found.blind_spot.estimate is None


def test_gold_where_there_is_no_oracle_and_no_anchors_no_disagreement():
    rows = [sample(POLICY, "a", NAN, gold_target=2.0), sample(START, "a", NAN, gold_target=1.0)]
    one = spoken(rows, [anchor("a", 2.0, 0.0, "gold_target")])
    assert one.judge == "gold_target"
    assert one.disagreement is not None
    assert one.disagreement.judge == "gold_target"
    assert one.disagreement.overall.spoken_right.estimate == 1.0
    rows[0]["unparseable"] = 1  # a reward model has a value for wordless answers, too
    wordless = spoken(rows, [anchor("a", 2.0, 0.0, "gold_target")]).disagreement
    assert wordless is not None
    assert wordless.overall.spoken_right.estimate == 0.0
    assert spoken(rows).disagreement is None
    assert spoken(rows, [anchor("a", NAN, NAN, "gold_target")]).disagreement is None
    assert spoken(rows, [anchor("a", 2.0, 0.0)]).disagreement is None


def test_seeds_have_their_own_midpoints_and_a_single_reference_serves_all():
    rows = [sample(POLICY, "a", 1.0, seed=seed) for seed in (0, 1)] + [sample(START, "a", 0.0)]
    anchors = [anchor("a", 1.0, 0.0), anchor("a", 9.0, 8.0, seed=1)]
    one = spoken(rows, anchors, seeds=2)
    assert one.win_rate["oracle_target"].seeds == [1.0, 1.0]
    assert one.disagreement is not None
    assert one.disagreement.overall.spoken_right.seeds == [1.0, 0.0]
    assert spoken(rows, anchors[:1], seeds=2).disagreement.overall.spoken_right.seeds == [1.0, 1.0]
    bare = [{k: v for k, v in anchors[0].items() if k != "seed"}]
    assert spoken(rows, bare, seeds=2).disagreement == spoken(rows, anchors[:1], seeds=2).disagreement
    assert one.reference_said.tokens.seeds == [10.0, None]


def test_what_is_missing_is_said():
    row = sample(POLICY, "a", 1.0)
    one = spoken([row])
    assert one.notes == [f"The reference {START} has no samples: no win rate."]
    assert one.win_rate == {}
    assert one.kl.estimate is None
    with pytest.raises(W2SError, match="'logp' is missing"):
        spoken([{k: v for k, v in row.items() if k != "logp"}])
    with pytest.raises(W2SError, match="sample 0 of id 'a' under seed 0 twice"):
        spoken([row, row])
    with pytest.raises(W2SError, match="seed 7"):
        spoken([{**row, "seed": 7}])
    with pytest.raises(W2SError, match="two groups"):
        spoken([row, {**row, "sample": 1, "group": "z"}])
    with pytest.raises(W2SError, match="two rows"):
        spoken([row], [anchor("a", 1.0, 0.0), anchor("a", 2.0, 0.0)])
    context = prepare(scored([0.9], [0.9], [1.0]), design())
    with pytest.raises(W2SError, match="no rows"):
        speech(context, pd.DataFrame(columns=list(JUDGED_COLUMNS)), None)


# A whole study: reward models and DPO beside each other, scores of two kinds and temperatures in one table.

MIXED = (
    ArmDesign("direct", ("m0", "m3")),
    ArmDesign("boot", ("m0", "m2", "m3")),
    ArmDesign("direct@dpo", ("m0", "m3@dpo"), "dpo", "direct"),
    ArmDesign("boot@dpo", ("m0", "m2@dpo", "m3@dpo"), "dpo", "boot"),
)
PLAIN = tuple(ArmDesign(a.name.replace("@dpo", "_p"), tuple(m.replace("@dpo", "") for m in a.chain)) for a in MIXED)


@pytest.fixture(scope="module")
def study():
    """Tables of four arms, the two DPO arms' models and ceilings renamed, with scores 8 times as large and tau 8."""
    scores, labels, pairs = study_tables(PLAIN)
    own = scores["model"].str.contains("_p/")
    names = scores["model"].str.replace("_p/", "@dpo/")
    ceilings = scores[scores["model"].isin(["ceiling/m2", "ceiling/m3", "base/m3"])]
    twins = pd.concat([scores[own].assign(model=names[own]), ceilings.assign(model=ceilings["model"] + "@dpo")])
    twins = twins.assign(delta=twins["delta"] * 8, tau=8.0, kind="implicit_reward")
    labels = labels.assign(name=labels["name"].str.replace("_p/", "@dpo/"))
    _, true, other = lengths(len(pairs))
    return pd.concat([scores[~own], twins], ignore_index=True), labels, with_lengths(pairs, true, other)


@pytest.fixture(scope="module")
def mixed(study):
    """What is found in them."""
    return summarize(*study, study_design(MIXED))


def judgements(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Samples on half of the test items: DPO beats its reference, twice a prompt, two seeds."""
    rng = np.random.default_rng(seed)
    policies = [f"{a}/{c}" for a in ("direct@dpo", "boot@dpo") for c in ("none", "explicit", "implicit")]
    references = {name: f"reference/{name.split('/')[0]}" for name in [*policies]}
    references["ceiling/m3@dpo"] = "reference/ceiling"
    rows = [
        sample(
            model, f"h{i}", rng.normal() + (2.0 if model in references else 0), group=f"g{i // 2}", seed=k, sample=s,
            gold_target=rng.normal(), logp=-rng.random(), ref_logp=-1 - rng.random(), tokens=int(rng.integers(1, 20)),
            unparseable=False,
        )
        for model in [*references, *dict.fromkeys(references.values())]
        for i in range(0, 240, 2) for k in (0, 1) for s in (0, 1)
    ]  # fmt: skip
    anchors = [anchor(f"h{i}", 1.0, 0.0, judge, k) for i in range(240) for k in (0, 1)
               for judge in ("oracle_target", "gold_target")]  # fmt: skip
    return pd.DataFrame(rows), pd.DataFrame(anchors), references


def test_scale_and_temperature_cancel(study, mixed):
    """A table of mixed kinds and temperatures gives each arm what it has alone under temperature 1."""
    scores, labels, pairs = study
    plain = scores.assign(delta=scores["delta"] / scores["tau"], tau=1.0, kind="reward_model")
    alone = summarize(plain, labels, pairs, study_design(MIXED))
    kinds = "Scores of several kinds (implicit_reward, reward_model): their scales are not comparable."
    assert kinds in mixed.warnings
    assert kinds not in alone.warnings
    assert mixed.model_copy(update={"warnings": alone.warnings}) == alone
    assert [(a.method, a.supervision) for a in mixed.arms] == [
        ("reward", "direct"), ("reward", "boot"), ("dpo", "direct"), ("dpo", "boot")
    ]  # fmt: skip
    assert {"m3", "m3@dpo", "m2@dpo", "m0", "m2"} == set(mixed.ceilings)
    assert {(c.first, c.second) for c in mixed.comparisons} == {("direct", "boot"), ("direct@dpo", "boot@dpo")}


def test_two_kinds_of_score_for_one_model_are_refused(study):
    scores, labels, pairs = study
    more = scores[scores["model"] == "direct@dpo/none"].assign(kind="paper_dpo", tau=50.0)
    with pytest.raises(W2SError, match=r"'direct@dpo/none' has two rows .* implicit_reward, paper_dpo"):
        summarize(pd.concat([scores, more]), labels, pairs, study_design(MIXED))


def test_a_study_with_speech(study):
    scores, labels, pairs = study
    judged, anchors, references = judgements()
    plan = dataclasses.replace(study_design(MIXED[2:]), references=references)
    body = summarize(scores, labels, pairs, plan, judged, anchors)
    assert results.Body.model_validate_json(body.model_dump_json()) == body
    names = [one.model for one in body.speech]
    assert names == [f"{a}@dpo/{c}" for a in ("direct", "boot") for c in ("none", "explicit", "implicit")] + [
        "ceiling/m3@dpo"
    ]
    assert body.speech[-1].arm is None
    assert body.speech[-1].disagreement is not None
    for one in body.speech:
        rate = one.win_rate["oracle_target"]
        assert rate.interval is not None
        assert rate.interval[0] > 0.5
        assert one.disagreement.overall.n == 240
        assert sum(cell.n for cell in one.disagreement.cells.values()) == 240
    said = " ".join(body.verdict.sentences)
    assert "direct@dpo/none answers better than its reference (win rate by the oracle judge 0." in said
    assert "Speech: " in said
    shuffled = [t.sample(frac=1, random_state=1) for t in (scores, labels, pairs, judged, anchors)]
    assert summarize(*shuffled[:3], plan, *shuffled[3:]) == body
    own = scores[(scores["model"] == "direct@dpo/explicit") & (scores["objective"] == "harmless")]
    kept = own[own["id"].isin(judged["id"])]
    ranked = next(o for o in body.speech if o.model == "direct@dpo/explicit").disagreement.overall.ranked_right
    assert ranked.estimate == pytest.approx((kept["delta"] > 0).mean())


def test_few_prompts_decide_nothing(study):
    scores, labels, pairs = study
    judged, anchors, references = judgements()
    few = judged[judged["id"].isin([f"h{i}" for i in range(0, 30, 2)])].copy()
    few.loc[few["model"].isin(references), "oracle_target"] = 9.0
    plan = dataclasses.replace(study_design(MIXED[2:]), references=references)
    body = summarize(scores, labels, pairs, plan, few, anchors)
    assert body.speech[0].win_rate["oracle_target"].estimate == 1.0
    assert [s for s in body.verdict.sentences if "Speech" in s or "reference" in s] == [
        "Speech: 14 of 14 tests are not resolved."
    ]


def test_results_without_the_new_fields_still_load(mixed):
    old = mixed.model_dump()
    old["arms"] = old["arms"][:2]
    for name in ("speech", "length_matched"):
        del old[name]
    for arm in old["arms"]:
        del arm["method"], arm["supervision"]
    read = results.Body.model_validate(old)
    assert (read.speech, read.length_matched) == ([], None)
    assert [(a.method, a.supervision) for a in read.arms] == [("reward", "direct"), ("reward", "boot")]
