"""``risk_summary`` on score tables: keys, calibration, seeds, and everything a table can have wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from analysis_helpers import logit, random_table, table

from w2s_pref.analysis.risk.blind_spot import blind_spot_deception
from w2s_pref.analysis.risk.moments import moments
from w2s_pref.analysis.risk.summary import risk_summary
from w2s_pref.analysis.scores.calibration import cross_fitted, fit_temperature
from w2s_pref.analysis.scores.panel import panel
from w2s_pref.analysis.scores.table import read_scores, validate_scores
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms.organisms import organism


def analyze(scores, **options):
    found = risk_summary(scores, "weak", "student", **{"resamples": 200, **options})
    json.dumps(found, allow_nan=False)
    return found


def test_by_hand():
    """w = .5, .9, .5, .9; s = .1, .9, .9, .1: one blind-spot error, one where the weak model is surely right."""
    gaps = {"weak": [0, logit(0.9)] * 2, "student": [logit(0.1), logit(0.9), logit(0.9), logit(0.1)]}
    found = analyze(table(gaps))
    named = {"n": 4, "mean_weak": 0.7, "mean_strong": 0.5, "var_weak": 0.04, "var_strong": 0.16, "cov": 0.0}
    named |= {"bias_weak": -0.3, "bias_strong": -0.5, "misfit": 0.24, "risk_weak": 0.13, "risk_strong": 0.41}
    named |= {"residual": 0.26, "bsd": 0.25, "bsd_cond": 0.5, "bsd_soft": (0.8 * 1.0 + 0.8 * 0.2) / 4}
    for name, value in named.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    assert found["bounds"]["charikar"] == {
        "value": pytest.approx(-0.11),
        "slack": pytest.approx(-0.52),
        "holds": False,
    }
    assert found["bounds"]["triangle"]["value"] == pytest.approx(0.74)
    assert found["bounds"]["triangle"]["holds"]
    assert found["inheritance"] == {
        "errors": 2,
        "inherited": {"count": 0, "share": 0.0},
        "blind_spot": {"count": 1, "share": 0.5},
        "strong_only": {"count": 1, "share": 0.5},
    }
    assert found["random_orientation"] == pytest.approx({"var_strong": 0.16, "cov": 0.0}, abs=1e-12)


def test_values_are_those_of_the_plain_functions_and_intervals_hold_them():
    scores = random_table(300, seeds=3, group_size=3)
    found = analyze(scores)
    data = panel(validate_scores(scores), ("weak", "student"))
    plain = moments(data.p("weak"), data.p("student"))
    for name in ("mean_weak", "var_weak", "var_strong", "cov", "misfit", "risk_strong", "residual"):
        assert found[name] == pytest.approx(float(getattr(plain, name)), abs=1e-12)
        low, high = found["intervals"][name]
        assert low < found[name] < high
    assert found["bsd"] == blind_spot_deception(data.p("student"), data.p("weak"))
    for name, parts in found["over_seeds"].items():
        assert parts["total"] == pytest.approx(found[name], abs=1e-12)
        assert parts["total"] == pytest.approx(parts["within"] + parts["across"], abs=1e-12)
    for parts in found["teachers"].values():
        assert parts["loss"] == pytest.approx(parts["bias"] + parts["variance"], abs=1e-12)
    assert found["teachers"]["squared"]["loss"] == pytest.approx(found["risk_weak"], abs=1e-12)


def test_order_of_rows_changes_nothing():
    scores = random_table(90, seeds=2, group_size=3)
    assert analyze(scores) == analyze(scores.sample(frac=1, random_state=0))


def test_a_change_of_scale_moves_bsd_and_not_calibrated_bsd():
    scores = organism("temperature_only", 2000, 1, 0)
    before = risk_summary(scores, "weak", "reference", resamples=100)
    after = risk_summary(scores, "weak", "student", resamples=100)
    assert after["bsd"] - before["bsd"] > 0.03
    assert after["calibrated"]["bsd"] == before["calibrated"]["bsd"]
    assert after["calibrated"]["var_strong"] == pytest.approx(before["calibrated"]["var_strong"], abs=1e-9)
    temperatures = [found["calibrated"]["temperature"]["strong"] for found in (before, after)]
    assert temperatures[1] == pytest.approx(3 * temperatures[0], rel=1e-6)
    assert any("Calibration lowers BSD" in s for s in after["sentences"])


def test_no_item_helps_to_fit_its_own_temperature():
    rng = np.random.default_rng(0)
    logits, groups = rng.normal(1, 2, (1, 200)), np.arange(200) // 2
    one = cross_fitted(logits, groups)
    changed = logits.copy()
    changed[:, groups % 2 == 0] *= -3
    two = cross_fitted(changed, groups)
    even = groups % 2 == 0
    assert np.allclose(two.logits[:, even], -3 * one.logits[:, even])
    assert not np.allclose(two.logits[:, ~even], one.logits[:, ~even])
    assert cross_fitted(logits, np.zeros(200, dtype=np.int64)) is None


def test_temperatures_from_a_calibration_table():
    scores, held = random_table(200, 2, 0), random_table(400, 2, 1)
    held["group"] = "other" + held["group"]
    found = analyze(scores, calibration=held)
    given = np.array(found["calibrated"]["temperatures"]["strong"])
    student = held[held["model"] == "student"]
    fitted = [[fit_temperature(student.loc[student["seed"] == k, "delta"].to_numpy())] for k in (0, 1)]
    assert given == pytest.approx(np.array(fitted), rel=1e-9)
    assert not any("calibration table" in w for w in found["warnings"])
    assert any("200 groups of the calibration" in w for w in analyze(scores, calibration=scores)["warnings"])
    with pytest.raises(W2SError, match="calibration table: seeds"):
        analyze(scores, calibration=held[held["seed"] == 0])


def test_reverse_kl_needs_a_ceiling():
    scores = random_table(100)
    assert analyze(scores)["reverse_kl"] is None
    assert "undefined without a ceiling" in analyze(scores)["sentences"][-1]
    terms = analyze(scores, ceiling="ceiling")["reverse_kl"]
    assert terms["slack"] == pytest.approx(
        terms["kl_target_weak"] - terms["kl_strong_weak"] - terms["kl_target_strong"], abs=1e-12
    )
    itself = analyze(scores, ceiling="student")["reverse_kl"]
    assert itself["kl_target_strong"] == pytest.approx(0, abs=1e-12)
    assert itself["holds"]


def test_one_seed_and_broadcast_models():
    one = analyze(random_table(60, seeds=1))
    assert one["over_seeds"] is None
    assert one["teachers"] is None
    assert any("undefined with one seed" in text for text in one["notes"])
    scores = random_table(60, seeds=3)
    found = analyze(scores[(scores["model"] != "weak") | (scores["seed"] == 0)])
    assert found["over_seeds"]["var_weak"]["within"] is None
    assert found["over_seeds"]["cov"]["within"] is None
    assert found["over_seeds"]["var_strong"]["within"] > 0
    assert any("'weak' has one seed" in text for text in found["notes"])


def said(found, words):
    return any(words in text for text in found["warnings"])


def test_a_weak_model_that_is_never_uncertain():
    found = analyze(table({"weak": [3.0, -3.0] * 30, "student": [2.0, -2.0, -3.0] * 20}))
    assert found["bsd"] == 0
    assert found["bsd_cond"] is None
    assert found["intervals"]["bsd_cond"] is None
    assert said(found, "never uncertain")
    assert "undefined" in found["verdict"]


def test_a_weak_model_that_is_always_uncertain():
    found = analyze(table({"weak": [0.3, -0.3] * 30, "student": [2.0, -2.0, -3.0] * 20}))
    assert found["inheritance"]["blind_spot"]["share"] == 1.0
    assert found["elsewhere"] is None
    assert "undefined: every item is in the blind spot" in found["verdict"]
    assert said(found, "always uncertain")


def test_a_strong_model_that_is_never_confident():
    found = analyze(table({"weak": [0.3, 2.0] * 30, "student": [0.5, -0.5, 1.0] * 20}))
    assert found["bsd"] == 0
    assert found["inheritance"]["inherited"] == {"count": 0, "share": None}
    assert said(found, "never confident")


def test_constant_scores():
    found = analyze(table({"weak": [0.0] * 40, "student": [2.0] * 40}))
    assert (found["var_weak"], found["var_strong"], found["correlation"]) == (0.0, 0.0, None)
    assert said(found, "'weak' gives every item the same probability")
    assert said(found, "end of its range")


def test_few_items_and_one_group():
    found = analyze(random_table(12, seeds=1))
    assert said(found, "Only 12 items")
    one = analyze(table({"weak": [1.0, -1.0], "student": [1.0, -1.0]}, groups=["g", "g"]))
    assert one["calibrated"] is None
    assert said(one, "one group")
    alike = analyze(random_table(12, seeds=1, group_size=12))
    assert "not compared inside and outside the blind spot: undefined" in alike["verdict"]
    assert "Charikar's bound R_s <= R_w - M is undefined: the residual is" in alike["sentences"][0]
    assert any("Calibrated BSD is undefined" in text for text in one["sentences"])
    assert analyze(table({"weak": [1.0], "student": [-2.0]}))["n"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"t_strong": 0.4}, "ts is 0.4"),
        ({"t_weak": 1.5}, "tw is 1.5"),
        ({"resamples": 1}, "resamples"),
        ({"ceiling": "ceilin"}, "did you mean 'ceiling'"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(W2SError, match=words):
        analyze(random_table(40), **options)


def test_mismatched_ids():
    scores = random_table(40)
    lost = scores[(scores["model"] != "weak") | (scores["id"] != "i0007")]
    with pytest.raises(W2SError, match="'weak' has no row for id 'i0007'"):
        analyze(lost)


def test_a_column_p_in_place_of_delta(tmp_path):
    scores = random_table(50)
    p = scores.drop(columns="delta").assign(p=1 / (1 + np.exp(-scores["delta"])))
    one, two = analyze(scores), analyze(p)
    for name in ("var_strong", "cov", "risk_weak", "bsd"):
        assert two[name] == pytest.approx(one[name], abs=1e-12)
    tempered = validate_scores(p.assign(tau=7.0))
    assert np.allclose(tempered["delta"] / tempered["tau"], scores["delta"])
    (tmp_path / "s.csv").write_text("id,group,model,seed,p\na,g,m,0,1\nb,g,m,0,0\n")
    ends = read_scores(tmp_path / "s.csv")["delta"]
    assert np.isfinite(ends).all()
    assert ends[0] == -ends[1] > 36
    (tmp_path / "s.csv").write_text("id,group,model,seed,p\na,g,m,0,.5\nb,g,m,0,1.2\nc,g,m,0,-1\n")
    with pytest.raises(W2SError, match=r"row 2, id 'b': p is outside \[0, 1\] \(1.2\).*1 more such"):
        read_scores(tmp_path / "s.csv")
