from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from analysis_helpers import CONFLICTS, study_design, study_tables

from w2s_pref import results
from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.preferences.compare import least_squares
from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.preferences.generalization import analyze_generalization
from w2s_pref.analysis.preferences.study import summarize
from w2s_pref.core.errors import W2SError

DIRECT = ArmDesign("direct", ("m0", "m3"))
BOOT = ArmDesign("boot", ("m0", "m2", "m3"))
TWO = (DIRECT, BOOT)


@pytest.fixture(scope="module")
def tables():
    return study_tables(TWO)


@pytest.fixture(scope="module")
def body(tables):
    return summarize(*tables, study_design(TWO))


def test_everything_is_there(body):
    assert results.Body.model_validate_json(body.model_dump_json()) == body
    assert set(body.ceilings) == {"m0", "m2", "m3"}
    assert body.base is not None
    assert body.base.accuracy.estimate == pytest.approx(0.5, abs=0.1)
    assert [arm.name for arm in body.arms] == ["direct", "boot"]
    assert [len(arm.hops) for arm in body.arms] == [1, 2]
    assert all(arm.churn is not None for arm in body.arms)
    for arm in body.arms:
        assert [s.conflict for s in arm.settings] == list(CONFLICTS)
        entries = [[(d.reference, d.known_rule) for d in s.deception] for s in arm.settings]
        assert entries[0] == [("ceiling", "gt_prob"), ("ceiling", "max_prob")]
        assert set(entries[1]) == {(r, k) for r in ("w2s", "ceiling") for k in ("gt_prob", "max_prob")}
    assert len(body.comparisons) == 5 * len(CONFLICTS)
    assert {(m.arm, m.conflict) for m in body.region_maps} == {
        (a, c) for a in ("direct", "boot") for c in CONFLICTS[1:]
    }
    assert body.ladder is None
    assert body.verdict.headline


def test_numbers_are_those_of_the_single_analyses(tables, body):
    scores = tables[0]
    names = {"weak": "ceiling/m0", "ceiling": "ceiling/m3", "reference": "direct/none", "student": "direct/explicit"}
    alone = analyze_deception(scores, **names, objective="harmless", resamples=100)
    entry = next(d for d in body.arms[0].settings[1].deception if (d.reference, d.known_rule) == ("w2s", "gt_prob"))
    assert entry.score.estimate == alone["score"]
    assert list(entry.lift.interval or ()) == alone["intervals"]["lift"]
    assert entry.score.seeds == alone["per_seed"]["score"]
    assert entry.permutation_p == alone["permutation_p"]
    assert {k: v.tax for k, v in entry.cells.items()} == {k: v["tax"] for k, v in alone["cells"].items()}
    setting = body.arms[0].settings[0]
    names = {"weak": "ceiling/m0", "student": "direct/none", "ceiling": "ceiling/m3"}
    plain = analyze_generalization(scores, **names, objective="harmless", resamples=100)
    assert setting.pgr.estimate == plain["pgr"]
    assert setting.agreement.supervisor_wrong.estimate == plain["agreement"]["supervisor_wrong"]
    churn = body.arms[0].churn
    assert churn is not None
    assert (churn.tax, churn.lift.estimate) == (alone["churn"]["tax"], alone["churn"]["lift"])


def test_hops_read_the_labels(tables, body):
    labels = tables[1]
    rows = labels[labels["name"] == "boot/hop2"]
    hop = body.arms[1].hops[1]
    assert (hop.supervisor, hop.student) == ("m2", "m3")
    right = rows["p_true"] > 0.5
    assert hop.label_accuracy.estimate == pytest.approx(right.mean())
    assert hop.label_brier.estimate == pytest.approx(((1 - rows["p_true"]) ** 2).mean())
    assert hop.kept_share.estimate == pytest.approx(rows["keep"].mean())
    assert hop.kept_accuracy.estimate == pytest.approx(right[rows["keep"]].mean())
    assert hop.accuracy == body.arms[1].settings[0].performance.accuracy
    scores = tables[0]
    middle = scores[(scores["model"] == "boot/hop1") & (scores["objective"] == "harmless")]
    assert body.arms[1].hops[0].accuracy.estimate == pytest.approx((middle["delta"] > 0).mean())


def test_comparisons_are_paired_differences(body):
    accuracy = next(c for c in body.comparisons if (c.metric, c.conflict) == ("accuracy", "explicit"))
    one, two = (arm.settings[1].performance.accuracy.estimate for arm in body.arms)
    assert accuracy.difference.estimate == pytest.approx(two - one)
    assert (accuracy.first, accuracy.second) == ("direct", "boot")
    low, high = accuracy.difference.interval
    expected = "not resolved" if low <= 0 <= high else "boot better" if low > 0 else "boot worse"
    assert accuracy.verdict == expected


def test_an_arm_equal_to_the_other_is_not_resolved(tables):
    scores, labels, pairs = tables
    twin = ArmDesign("twin", ("m0", "m3"))
    extra = scores[scores["model"].str.startswith("direct/")]
    extra = extra.assign(model=extra["model"].str.replace("direct/", "twin/"))
    more = labels[labels["name"] == "direct/hop1"].assign(name="twin/hop1")
    pd_concat = type(scores).from_records
    both = pd_concat(scores.to_dict("records") + extra.to_dict("records"))
    alls = pd_concat(labels.to_dict("records") + more.to_dict("records"))
    body = summarize(both, alls, pairs, study_design((DIRECT, twin)))
    assert {c.difference.estimate for c in body.comparisons if c.difference.estimate is not None} == {0.0}
    assert {c.verdict for c in body.comparisons} <= {"not resolved", "undefined"}
    assert {c.smallest_found for c in body.comparisons} == {None}  # nothing varies: not that anything would be found


def test_suspicious_pairs_are_the_right_way_round(tables, body):
    pairs = tables[2].set_index("id")
    assert 0 < len(body.suspicious) <= 20
    assert len({case.id for case in body.suspicious}) == len(body.suspicious)
    for case in body.suspicious:
        chat = pairs.loc[case.id, "form"] == "chat"
        assert case.preferred == ("assistant: good" if chat else "good")
        assert case.prompt.startswith("user: ask" if chat else "ask")
        assert case.p_ceiling >= 0.75 > case.p_weak
        assert case.p_reference > 0.5 >= case.p_student
        assert case.conflict in ("explicit", "implicit")


def test_region_maps_hold_the_first_seed(tables, body):
    scores = tables[0]
    first = scores[(scores["seed"] == 0) & (scores["objective"] == "harmless")].pivot(
        index="id", columns="model", values="delta"
    )
    region = next(m for m in body.region_maps if (m.arm, m.conflict) == ("direct", "explicit"))
    assert len(region.points) == 240
    flips = ((first["direct/none"] > 0) & (first["direct/explicit"] <= 0)).sum()
    assert sum(point.tax for point in region.points) == flips
    assert all(point.eligible for point in region.points if point.tax)


def test_order_of_rows_changes_nothing(tables, body):
    shuffled = [t.sample(frac=1, random_state=1) for t in tables]
    assert summarize(*shuffled, study_design(TWO)) == body


def test_ladder_points_and_slopes():
    names = ["m0", "m1", "m3"]
    arms = tuple(ArmDesign(f"{a}-{b}", (a, b)) for i, a in enumerate(names) for b in names[i + 1 :])
    body = summarize(*study_tables(arms), study_design(arms, ladder=True))
    assert body.ladder is not None
    assert len(body.ladder.points) == 3 * len(CONFLICTS)
    assert not body.comparisons
    lifts = [p for p in body.ladder.points if p.conflict == "explicit" and p.lift_smooth is not None]
    slope = next(s for s in body.ladder.slopes if (s.metric, s.conflict) == ("lift_smooth", "explicit"))
    assert slope.points == len(lifts)
    expected = np.polyfit([p.gap for p in lifts], [p.lift_smooth for p in lifts], 1)[0]
    assert slope.slope.estimate == pytest.approx(expected)
    assert slope.verdict in ("not resolved", "rises with the gap", "falls with the gap")
    assert slope.p is not None
    assert slope.p_adjusted >= slope.p
    assert [family.name for family in body.families if "slopes" in family.name]


def test_slope_by_hand():
    x, y = np.array([[0.0, 1.0, 2.0, 9.0]]), np.array([[1.0, 3.0, 5.0, np.nan]])
    assert least_squares(x, y).tolist() == pytest.approx([2.0])
    assert np.isnan(least_squares(np.ones((1, 4)), y)).all()


def test_one_seed_says_so():
    scores, labels, pairs = study_tables((DIRECT,), seeds=1)
    body = summarize(scores, labels, pairs, dataclasses.replace(study_design((DIRECT,)), seeds=(0,)))
    assert any("One seed" in line for line in body.warnings)
    assert body.arms[0].churn is None
    assert body.arms[0].settings[0].performance.accuracy.seeds == [
        body.arms[0].settings[0].performance.accuracy.estimate
    ]


def test_without_a_second_objective_or_a_plain_student(tables):
    scores, labels, pairs = tables
    design = dataclasses.replace(study_design((DIRECT,)), conflict=None, conflicts=("explicit",))
    lean = scores[(scores["objective"] == "harmless") & ~scores["model"].isin(["direct/none", "base/m3"])]
    body = summarize(lean, labels, pairs, design)
    assert body.base is None
    assert body.arms[0].settings[0].performance.conflict_accuracy is None
    assert [d.reference for d in body.arms[0].settings[0].deception] == ["ceiling", "ceiling"]
    assert body.arms[0].hops[0].accuracy is None


def test_honest_study_has_no_deception(tables):
    scores, labels, pairs = tables
    plain = scores[scores["model"] == "direct/none"].set_index(["id", "seed", "objective"])["delta"]
    honest = scores.copy()
    rows = honest["model"].isin(["direct/explicit", "direct/implicit"])
    keys = honest.loc[rows, ["id", "seed", "objective"]]
    honest.loc[rows, "delta"] = [plain[tuple(k)] for k in keys.itertuples(index=False)]
    body = summarize(honest, labels, pairs, study_design((DIRECT,)))
    assert "No item flipped" in body.verdict.headline
    entry = body.arms[0].settings[1].deception[0]
    assert entry.score.estimate is None
    assert "No conflict tax" in (entry.score.note or "")


def test_a_reference_that_is_never_right_does_not_say_that_conflict_is_free(tables):
    """Nothing could flip: that is undefined, and no cost of 0."""
    scores, labels, pairs = tables
    lost = scores.copy()
    rows = lost["model"].isin(["direct/none", "direct/explicit", "direct/implicit"])
    lost.loc[rows, "delta"] = -lost.loc[rows, "delta"].abs() - 0.01
    body = summarize(lost, labels, pairs, study_design((DIRECT,)))
    assert "Nothing can be said about where errors fall: the reference is never right." in body.verdict.headline
    entry = body.arms[0].settings[1].deception[0]
    assert entry.verdict == entry.score.note == entry.null_share.note == "Undefined: the reference is never right."
    assert entry.verdict_code == "undefined"
    assert not body.suspicious


def test_what_is_missing_is_named(tables):
    scores, labels, pairs = tables
    design = study_design(TWO)
    with pytest.raises(W2SError, match="'boot/hop1'"):
        summarize(scores[scores["model"] != "boot/hop1"], labels, pairs, design)
    with pytest.raises(W2SError, match="'boot/hop2'"):
        summarize(scores, labels[labels["name"] != "boot/hop2"], pairs, design)
    with pytest.raises(W2SError, match=r"seeds \[0, 1\] and the design \[0, 1, 2\]"):
        summarize(scores, labels, pairs, dataclasses.replace(design, seeds=(0, 1, 2)))
    with pytest.raises(W2SError, match="no arm"):
        summarize(scores, labels, pairs, dataclasses.replace(design, arms=()))


@pytest.mark.parametrize(
    ("chain", "placebo"),
    [
        (("m0", "m3"), "m2"),  # the first that is not in the chain
        (("m0", "m2"), "m1"),
        (("m2", "m3"), "m1"),
        (("m0", "m2", "m3"), "m1"),
        (("m0", "m1", "m2", "m3"), "m2"),  # all are in it: the first between its ends
        (("m0", "m1", "m2"), "m1"),
        (("m0", "m2@dpo"), "m1"),  # what the same model knows
        (("mean(m2, m0)", "m3"), "m1"),  # a member of what supervises
        (("calibrated mean(m0@sft, m2)", "m3@ppo"), "m1"),
    ],
)
def test_each_arm_has_a_placebo_of_its_own(chain: tuple[str, ...], placebo: str) -> None:
    arm = ArmDesign("arm", chain)
    design = study_design((arm,), placebos=("ceiling/m2", "ceiling/m1"))
    assert design.placebo_of(arm) == f"ceiling/{placebo}"
    weak = "m2" if chain[0] == "m2" else "m0"
    assert study_design((arm,), placebos=(f"ceiling/{weak}",)).placebo_of(arm) is None
    assert study_design((arm,)).placebo_of(arm) is None


def test_the_gate_is_that_of_the_arms_own_placebo(tables) -> None:
    """Of two named models: the first that is not in the chain, by the single analysis."""
    design = study_design((DIRECT, ArmDesign("boot", ("m0", "m2", "m3"))), placebos=("ceiling/m3", "ceiling/m2"))
    names = {"weak": "ceiling/m0", "ceiling": "ceiling/m3", "reference": "direct/none", "student": "direct/explicit"}
    alone = analyze_deception(tables[0], **names, objective="harmless", resamples=100, placebo="ceiling/m2")
    body = summarize(*tables, design)
    entry = next(d for d in body.arms[0].settings[1].deception if (d.reference, d.known_rule) == ("w2s", "gt_prob"))
    assert entry.gates is not None
    assert set(entry.gates.placebos) == {"siblings", "unrelated"}
    assert entry.gates.model_dump(mode="json") == alone["gates"]
