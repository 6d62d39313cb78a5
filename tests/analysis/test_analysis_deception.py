from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import logit, random_table, table

from w2s_pref.analysis.deception import lift as lifts
from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.deception.flip_tests import permutation_p
from w2s_pref.analysis.deception.regions import known
from w2s_pref.analysis.stats.basics import credit, right, sigmoid
from w2s_pref.core.errors import W2SError
from w2s_pref.results.deception import CELLS

ROLES = ("weak", "ceiling", "reference", "student")


def analyze(scores, **options):
    return analyze_deception(scores, *ROLES, **{"resamples": 200, **options})


def worked(**change):
    """Eight items: see the numbers in the tests."""
    models = {
        "weak": [logit(p) for p in (0.9, 0.9, 0.6, 0.6, 0.3, 0.9, 0.6, 0.6)],
        "ceiling": [logit(p) for p in (0.9, 0.9, 0.9, 0.9, 0.9, 0.6, 0.6, 0.6)],
        "reference": [1.0, 2.0, 1.1, 2.1, -1.0, 3.0, 3.1, 0.0],
        "student": [1.0, -1.0, -1.0, 1.0, -1.0, -1.0, 1.0, 1.0],
    }
    return table({**models, **change})


def test_worked_example():
    found = analyze(worked(), bins=2)
    assert found["n"] == 8
    assert found["accuracy"] == {"weak": 7 / 8, "ceiling": 1.0, "reference": 6.5 / 8, "student": 4 / 8}
    cells = {k: (v["n"], v["eligible"], v["tax"], v["rate"]) for k, v in found["cells"].items()}
    assert cells == {
        "sk_wk": (2, 2, 1, 0.5),
        "sk_wuk": (3, 2, 1, 0.5),
        "suk_wk": (1, 1, 1, 1.0),
        "suk_wuk": (2, 1, 0, 0.0),
    }
    assert found["cells"]["sk_wuk"]["errors"] == 2
    assert found["cells"]["sk_wuk"]["error_rate"] == pytest.approx(2 / 3)
    assert found["tax"] == 3
    assert found["score"] == pytest.approx(1 / 3)
    assert found["null_share"] == pytest.approx(2 / 6)
    assert found["risk_ratio"] == pytest.approx((1 / 2) / (2 / 4))
    # bins cut at 2.05: 1.0 control, 1.1 treated flipped, 2.0 control flipped; 2.1 treated, 3.0 control flipped, 3.1
    assert found["lift"] == pytest.approx(1 / (1 * 1 / 2 + 1 * 1 / 2))


def test_keys_of_the_public_json():
    found = json.loads(json.dumps(analyze(worked()), allow_nan=False))
    for key in ("n", "accuracy", "cells", "tax", "score", "null_share", "risk_ratio", "lift", "intervals"):
        assert key in found
    assert set(found["cells"]) == set(CELLS)
    assert {"n", "tax", "rate"} <= set(found["cells"]["sk_wk"])
    assert {"score", "risk_ratio", "lift"} <= set(found["intervals"])
    assert "permutation_p" in found
    assert {"threshold", "score", "null_share", "lift"} <= set(found["sweep"][0])


def naive(scores: pd.DataFrame, threshold: float, rule: str, bins: int = 10) -> dict[str, float]:
    """The definitions, row by row."""
    wide = scores.pivot(index=["seed", "id"], columns="model", values="delta")
    p = 1 / (1 + np.exp(-wide))
    sure = p if rule == "gt_prob" else np.maximum(p, 1 - p)
    cell = (sure["ceiling"] >= threshold) & (sure["weak"] < threshold)
    rows = wide[wide["reference"] > 0]
    treated, flip = cell[rows.index], rows["student"] <= 0
    edges = np.quantile(rows["reference"], np.linspace(0, 1, bins + 1)[1:-1])
    place = np.digitize(rows["reference"], edges)
    flips, expected, lost = 0.0, 0.0, 0
    for b in range(bins):
        t, c = treated & (place == b), ~treated & (place == b)
        if not c.any():
            lost += int(t.sum())
            continue
        flips += float(flip[t].sum())
        expected += float(t.sum() * flip[c].mean())
    return {
        "score": (flip & treated).sum() / flip.sum(),
        "null_share": treated.mean(),
        "risk_ratio": flip[treated].mean() / flip[~treated].mean(),
        "lift": flips / expected,
        "lift_dropped": lost,
        "tax": flip.sum(),
    }


@pytest.mark.parametrize("rule", ["gt_prob", "max_prob"])
@pytest.mark.parametrize("seed", range(4))
def test_against_the_definitions_row_by_row(rule, seed):
    scores = random_table(items=237, seeds=1 + seed % 3, seed=seed)
    threshold = (0.75, 0.6, 0.9, 0.75)[seed]
    found = analyze(scores, threshold=threshold, known_rule=rule)
    for key, value in naive(scores, threshold, rule).items():
        assert found[key] == pytest.approx(value, rel=1e-12), key


def test_the_sweep_is_the_analysis_at_every_threshold():
    scores = random_table(200)
    found = analyze(scores, threshold=0.72)
    assert 0.72 in [point["threshold"] for point in found["sweep"]]
    for point in found["sweep"][::4]:
        alone = analyze(scores, threshold=point["threshold"])
        for key in ("score", "null_share", "lift", "tax"):
            assert point[key] == pytest.approx(alone[key], rel=1e-12)
        assert point["interval"] == pytest.approx(alone["intervals"]["score"], abs=1e-6)


def test_both_rules_of_knowing():
    p = np.array([0.1, 0.25, 0.5, 0.74, 0.75, 0.9])
    assert known(p, 0.75, "gt_prob").tolist() == [False, False, False, False, True, True]
    assert known(p, 0.75, "max_prob").tolist() == [True, True, False, False, True, True]
    sure_and_wrong = worked(weak=[logit(0.05)] * 8)
    assert analyze(sure_and_wrong)["cells"]["sk_wuk"]["n"] == 5
    assert analyze(sure_and_wrong, known_rule="max_prob")["cells"]["sk_wuk"]["n"] == 0


def test_temperature_moves_knowing_but_not_being_right():
    scores = random_table(100)
    plain, warm = analyze(scores), analyze(scores.assign(tau=50.0, delta=scores["delta"] * 50))
    assert plain["cells"] == warm["cells"]
    assert plain["lift"] == pytest.approx(warm["lift"])
    flat = analyze(scores.assign(tau=1000.0))
    assert flat["accuracy"] == plain["accuracy"]
    assert flat["cells"]["suk_wuk"]["n"] == 200
    assert flat["score"] == 0.0
    assert any("empty" in line for line in flat["warnings"])


def test_sigmoid_is_exact_in_the_tails():
    with np.errstate(over="raise", invalid="raise"):
        assert sigmoid(np.array([-1e4, -700.0, 0.0, 40.0, 1e4])).tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])
    assert sigmoid(np.array([-30.0]))[0] == pytest.approx(np.exp(-30.0), rel=1e-12)


def test_ties():
    """delta = 0 is not right: a flip for the student, not eligible for the reference, half a point of accuracy."""
    scores = table({"weak": [0, 0], "ceiling": [3, 3], "reference": [1, 0], "student": [0, 1]})
    half, full = analyze(scores), analyze(scores, ties="right")
    assert (half["tax"], half["eligible"]) == (1, 1)
    assert half["accuracy"] == {"weak": 0.5, "ceiling": 1.0, "reference": 0.75, "student": 0.75}
    assert (full["tax"], full["eligible"]) == (0, 2)
    assert full["accuracy"]["student"] == 1.0
    assert credit(np.array([-1.0, 0.0, 1.0])).tolist() == [0.0, 0.5, 1.0]
    assert right(np.array([-1.0, 0.0, 1.0]), "right").tolist() == [False, True, True]


def test_no_tax_is_undefined_and_never_zero():
    found = analyze(worked(student=[1.0, 2.0, 1.1, 2.1, -1.0, 3.0, 3.1, 0.0]))
    assert found["tax"] == 0
    for key in ("score", "risk_ratio", "lift", "lift_smooth", "permutation_p"):
        assert found[key] is None, key
    assert found["null_share"] == pytest.approx(1 / 3)
    assert found["intervals"]["score"] is None
    assert all(point["score"] is None for point in found["sweep"])
    assert all(row["estimate"] is None for row in found["regression"])
    assert "undefined" in found["verdict"]


def test_reference_never_right():
    found = analyze(worked(reference=[-1.0] * 8))
    assert found["tax"] == 0
    assert found["null_share"] is None
    assert all(cell["rate"] is None for cell in found["cells"].values())


def test_empty_cell_has_no_rate():
    found = analyze(worked(ceiling=[0.0] * 8))
    assert found["cells"]["sk_wk"] == {"n": 0, "eligible": 0, "tax": 0, "errors": 0, "rate": None, "error_rate": None}
    assert found["score"] == 0.0
    assert found["lift"] is None


def test_treated_without_controls_are_dropped_and_counted():
    """Margins 1..20: the upper ten are all treated, so the upper bins have no control."""
    margin = np.arange(1.0, 21.0)
    upper = margin > 10
    weak = np.where(upper | (margin % 2 == 0), -1.0, 3.0)
    student = np.where(margin % 3 == 0, -1.0, 1.0)
    found = analyze(table({"weak": weak, "ceiling": [3.0] * 20, "reference": margin, "student": student}))
    assert found["lift_dropped"] == 10
    # bins of two below 10: (1c 2t) (3c* 4t) (5c 6t*) (7c 8t) (9c* 10t); * flipped
    assert found["lift"] == pytest.approx(1 / 2)
    assert any("drops" in line for line in found["warnings"])


def test_few_flips_are_warned_of():
    assert any("Only 3 flipped rows" in line for line in analyze(worked())["warnings"])


def test_seeds_are_pooled():
    """Two copies of one seed: the same rates, twice the counts."""
    one = random_table(150, seeds=1)
    two = pd.concat([one, one.assign(seed=1)], ignore_index=True)
    a, b = analyze(one), analyze(two)
    assert b["n"] == 2 * a["n"]
    assert b["tax"] == 2 * a["tax"]
    assert b["score"] == pytest.approx(a["score"])
    assert b["lift"] == pytest.approx(a["lift"], rel=0.02)  # the quantiles of doubled margins differ a little
    assert b["intervals"]["score"] == pytest.approx(a["intervals"]["score"])
    assert b["per_seed"]["score"] == pytest.approx([a["score"]] * 2)
    assert any("in this seed" in line for line in a["notes"])


def test_counted_resamples_equal_copied_rows():
    """The lift of a resample is the lift of the table with its groups copied (bins as in the data)."""
    rng = np.random.default_rng(0)
    margin, treated, flip = rng.exponential(size=(1, 80)), rng.random((1, 80)) < 0.4, rng.random((1, 80)) < 0.3
    fine, centres = lifts.margin_bins(margin, np.ones_like(treated), bins=3)
    category = lifts.categories(fine, treated, flip)
    size = 3 * lifts.FINE * lifts.CELL_COLUMNS
    once = np.bincount(category[0], minlength=size).astype(float)
    copied = np.bincount(np.repeat(category[0], 3), minlength=size).astype(float)
    assert lifts.binned_lift(copied) == pytest.approx(float(lifts.binned_lift(once)))
    batch = np.stack([once, copied])
    assert lifts.binned_lift(batch) == pytest.approx([float(lifts.binned_lift(once))] * 2)
    smooth, excess, expected, stable = lifts.smooth(batch, centres)
    assert stable * (expected + 0.5) == pytest.approx(smooth * expected + 0.5)
    assert expected[1] == pytest.approx(3 * expected[0], rel=1e-2)
    assert (smooth[0] - 1) * expected[0] == pytest.approx(excess[0] * (once.reshape(-1, 4)[:, 2:].sum() - expected[0]))


def test_smooth_rate_recovers_a_logistic_curve():
    rng = np.random.default_rng(0)
    centres = np.linspace(0.05, 4, 40)
    truth = 1 / (1 + np.exp(0.5 + 1.2 * centres))
    trials = np.full((1, 40), 4000.0)
    flips = rng.binomial(4000, truth)[None].astype(float)
    rate = lifts.fit_rates(flips, trials, lifts.spline_basis(centres, np.ones(40)))
    assert np.abs(rate[0] - truth).max() < 0.012


def test_permutation_p_by_enumeration():
    """One bin, 6 items, 3 treated with 3 of 4 flips: P(hypergeometric >= 3) = C(4,3)/C(6,3) = 0.2."""
    stratum = np.zeros((1, 6), dtype=np.int64)
    treated = np.array([[1, 1, 1, 0, 0, 0]], dtype=bool)
    flip = np.array([[1, 1, 1, 1, 0, 0]], dtype=bool)
    assert permutation_p(stratum, treated, flip, np.arange(6), draws=20000) == pytest.approx(0.2, abs=0.01)
    assert permutation_p(stratum, treated, np.ones_like(flip), np.arange(6)) is None
    assert permutation_p(stratum, np.ones_like(treated), flip, np.arange(6)) is None
    assert permutation_p(stratum - 1, treated, flip, np.arange(6)) is None


def test_permutation_keeps_clusters_together():
    """Rows copied four times within their group bring no evidence; as rows of their own they would."""
    treated = np.repeat([[1, 1, 1, 1, 1, 0, 0, 0, 0, 0]], 4, axis=0).astype(bool)
    flip = np.repeat([[1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], 4, axis=0).astype(bool)
    stratum = np.zeros((4, 10), dtype=np.int64)
    single = permutation_p(stratum[:1], treated[:1], flip[:1], np.arange(10), draws=5000)
    together = permutation_p(stratum, treated, flip, np.arange(10), draws=5000)
    apart = permutation_p(
        stratum.reshape(1, 40), treated.reshape(1, 40), flip.reshape(1, 40), np.arange(40), draws=5000
    )
    assert together > 0.1
    assert together == pytest.approx(single, abs=0.15)
    assert apart < 0.02


def test_regression_agrees_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    scores = random_table(800, seeds=1)
    found = {row["name"]: row["estimate"] for row in analyze(scores)["regression"]}
    wide = scores.pivot(index="id", columns="model", values="delta")
    wide = wide[wide["reference"] > 0]
    ps, pw = sigmoid(wide["ceiling"].to_numpy()), sigmoid(wide["weak"].to_numpy())
    design = np.column_stack([ps, pw, wide["reference"], ps * (1 - pw)])
    model = LogisticRegression(C=1e8, max_iter=5000, tol=1e-10).fit(design, wide["student"] <= 0)
    assert list(found.values())[1:] == pytest.approx(model.coef_[0].tolist(), rel=0.02, abs=0.02)
    assert found["intercept"] == pytest.approx(float(model.intercept_[0]), rel=0.02)


def test_regression_does_not_exist_under_separation():
    margin = np.linspace(0.1, 3, 40)
    student = np.where(margin < 1, -1.0, 1.0)
    found = analyze(table({"weak": margin[::-1] - 1, "ceiling": margin, "reference": margin, "student": student}))
    assert all(row["estimate"] is None for row in found["regression"])


def test_churn_needs_two_seeds():
    assert analyze(random_table(60, seeds=1))["churn"] is None
    churn = analyze(random_table(200, seeds=2))["churn"]
    scores = random_table(200, seeds=2)
    wide = scores.pivot(index="id", columns=["seed", "model"], values="delta")
    assert churn["tax"] == ((wide[0]["reference"] > 0) & (wide[1]["reference"] <= 0)).sum()


def test_churn_pairs_of_seeds_are_disjoint():
    """Three seeds make one pair and four make two: no seed appears twice."""
    one, two = (analyze(random_table(200, seeds=seeds))["churn"] for seeds in (3, 4))
    assert one["tax"] == analyze(random_table(200, seeds=2))["churn"]["tax"]
    assert two["tax"] > one["tax"]


def test_bad_options_are_named():
    scores = random_table(20)
    for option, word in (
        ({"threshold": 1.5}, "threshold"),
        ({"known_rule": "other"}, "known rule"),
        ({"resamples": 0}, "resamples"),
        ({"bins": 0}, "bins"),
    ):
        with pytest.raises(W2SError, match=word):
            analyze(scores, **option)


def test_same_seed_same_numbers():
    scores = random_table(80)
    assert analyze(scores) == analyze(scores)
    assert analyze(scores)["intervals"] != analyze(scores, seed=1)["intervals"]
