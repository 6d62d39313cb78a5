"""Rank correlations of few settings, and the study on settings that differ in logit scale alone."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import random_table, table
from scipy import stats

from w2s_pref.analysis.risk.predictors import Thresholds, predictor_study, signals
from w2s_pref.analysis.risk.sentences import predictor_headline as headline
from w2s_pref.analysis.risk.sentences import signal_verdict as verdict
from w2s_pref.analysis.risk.settings import read_settings, validate_settings
from w2s_pref.analysis.risk.summary import risk_summary
from w2s_pref.analysis.stats import ranks
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms.scales import scale_null
from w2s_pref.results.risk import SIGNALS, TARGET


def study(frame, **options):
    found = predictor_study(frame, "weak", "student", **{"resamples": 200, **options})
    json.dumps(found, allow_nan=False)
    return found


def entry(found, name):
    return next(row for row in found["signals"] if row["signal"] == name)


def test_spearman_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.integers(0, 4, 12).astype(float), rng.normal(size=12)
        assert ranks.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert np.isnan(ranks.spearman(np.ones(5), np.arange(5.0)))
    assert np.isnan(ranks.spearman(np.arange(2.0), np.arange(2.0)))


def test_weights_are_copies():
    rng = np.random.default_rng(1)
    x, y, z = rng.normal(size=(3, 9))
    weights = ranks.cluster_weights(np.array([0, 0, 1, 1, 2, 3, 3, 3, 4]), 20, 0)
    found = ranks.weighted_spearman(x, y, weights)
    partial = ranks.weighted_partial(x, y, z, weights)
    for k, w in enumerate(weights):
        again = np.repeat(np.arange(9), w.astype(int))
        assert w[0] == w[1]
        assert found[k] == pytest.approx(stats.spearmanr(x[again], y[again]).statistic, abs=1e-12)
        rx, ry, rz = (stats.rankdata(v[again]) for v in (x, y, z))
        left = [r - np.polyval(np.polyfit(rz, r, 1), rz) for r in (rx, ry)]
        if np.isfinite(partial[k]):
            assert partial[k] == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-6)
    assert np.isfinite(partial).sum() > 10


def test_exact_p_counts_every_order():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])
    observed = abs(stats.spearmanr(x, y).statistic)
    every = [abs(stats.spearmanr(x, order).statistic) for order in itertools.permutations(y)]
    assert ranks.spearman_p(x, y) == pytest.approx(np.mean(np.array(every) >= observed - 1e-9))
    assert ranks.spearman_p(np.arange(4.0), np.arange(4.0)) == pytest.approx(2 / 24)
    assert ranks.spearman_p(np.ones(4), np.arange(4.0)) is None


def test_permutation_p_above_nine_values():
    rng = np.random.default_rng(2)
    x = rng.normal(size=14)
    y = 0.5 * x + rng.normal(size=14)
    found = ranks.spearman_p(x, y, seed=5)
    assert found == ranks.spearman_p(x, y, seed=5)
    expected = stats.spearmanr(x, y).pvalue
    assert 0.02 < expected < 0.6
    assert found == pytest.approx(expected, abs=0.02)


def test_what_a_number_of_settings_supports():
    """Published critical values of Spearman's rho, two-sided .05: .738 for 8, 1.0 for 5, none for 4."""
    eight = ranks.support(8, 9)
    assert eight["smallest_p"] == pytest.approx(2 / 40320)
    assert eight["critical_rho"] == pytest.approx(0.738, abs=5e-4)
    assert eight["critical_rho_holm"] > eight["critical_rho"]
    assert ranks.support(5, 9)["critical_rho"] == 1.0
    assert ranks.support(5, 9)["critical_rho_holm"] is None
    assert ranks.support(4, 9)["critical_rho"] is None
    assert ranks.support(4, 9)["interval_at_0"] is None
    assert ranks.support(20, 9)["critical_rho"] == pytest.approx(0.447, abs=0.01)
    low, high = eight["interval_at_0"]
    assert (low, high) == pytest.approx((-0.7047, 0.7047), abs=1e-4)


def test_signals_are_those_of_the_summary():
    scores = random_table(200, seeds=2)
    frame = validate_settings(scores.assign(setting="one"))
    logits = [
        np.stack([g["delta"] for _, g in scores[scores["model"] == m].groupby("seed")]) for m in ("weak", "student")
    ]
    found = signals(*logits, Thresholds())
    assert set(found) == {*SIGNALS, TARGET}
    for seed in (0, 1):
        one = risk_summary(scores[scores["seed"] == seed], "weak", "student", resamples=100)
        for name in ("var_strong", "cov", "var_weak", "bias_strong", "misfit", "confident_errors", TARGET):
            assert found[name][seed] == pytest.approx(one[name], abs=1e-12)
        point = study(frame)["points"][seed]
        assert point["raw"]["var_strong"] == pytest.approx(one["var_strong"], abs=1e-12)
        for name in ("var_strong", "cov", TARGET):
            assert point["calibrated"][name] == pytest.approx(one["calibrated"][name], abs=1e-12)
    assert found["logit_scale"][0] == pytest.approx(np.sqrt(np.mean(logits[1][0] ** 2)))


def test_a_null_of_scale_alone_looks_like_prediction_until_it_is_calibrated():
    raw, calibrated, verdicts = [], [], []
    for seed in range(6):
        row = entry(study(scale_null(8, 1000, seed=seed)), "var_strong")
        raw.append(row["raw"]["rho"])
        calibrated.append(row["calibrated"]["rho"])
        verdicts.append(row["verdict"])
    assert np.mean(raw) > 0.88
    assert np.mean(calibrated) < 0.5
    assert verdicts.count("survives calibration") <= 1
    assert verdicts.count("raw only") >= 5


def planted(settings=8, items=400, **labels):
    """Settings of one scale and one weak model, with more and more confident errors where the weak model is unsure."""
    rng = np.random.default_rng(3)
    parts = []
    for k in range(settings):
        weak = rng.normal(0.5, 1.5, items)
        wrong = (np.abs(weak) < 1) & (rng.random(items) < 0.1 + 0.08 * k)
        strong = np.where(wrong, -2.0, 2.0) + rng.normal(0, 0.3, items)
        scores = table({"weak": weak, "student": strong})
        parts.append(scores.assign(setting=f"s{k}", **{name: f"{name}{k % n}" for name, n in labels.items()}))
    return pd.concat(parts, ignore_index=True)


def test_a_relation_that_is_there_is_found():
    found = study(planted(pipeline=4, dataset=2))
    row = entry(found, "confident_errors")
    assert row["raw"]["rho"] == pytest.approx(1.0, abs=0.05)
    assert row["raw"]["p_holm"] <= 0.05
    assert set(row["raw"]["leave_out"]) == {"pipeline", "dataset"}
    assert set(row["raw"]["leave_out"]["pipeline"]) == {f"pipeline{k}" for k in range(4)}
    assert min(row["raw"]["leave_out"]["dataset"].values()) > 0.8
    assert found["pipelines"] == [f"pipeline{k}" for k in range(4)]
    assert entry(found, "accuracy")["raw"]["rho"] < -0.9
    weak = entry(found, "var_weak")["raw"]
    assert weak["interval"][0] < weak["rho"] < weak["interval"][1]
    assert weak["interval"] == weak["interval_points"]
    assert any("8 independent settings" in text for text in found["sentences"])


def test_checkpoints_and_seeds_are_points_and_not_settings():
    frame = pd.concat([scale_null(4, 100, seeds=2, seed=k).assign(step=10 * k) for k in range(3)])
    found = study(frame.sample(frac=1, random_state=0))
    assert found["n_points"] == 4 * 2 * 3
    assert found["support"]["settings"] == 4
    assert {p["step"] for p in found["points"]} == {0, 10, 20}
    row = entry(found, "var_strong")["raw"]
    assert row["p"] >= 2 / 24 - 1e-12
    assert row["rho_points"] != row["rho"]
    assert "cannot be reached" in " ".join(found["sentences"])
    again = study(frame)
    assert again == found


def test_too_few_settings_or_no_deception_is_undefined():
    few = study(scale_null(2, 80))
    assert all(row["verdict"] == "undefined" for row in few["signals"])
    assert "Fewer than 3 settings" in " ".join(few["sentences"])
    sure = planted(4).assign(delta=lambda f: f["delta"].where(f["model"] == "student", 9.0))
    none = study(sure)
    assert none["verdict"].startswith("Undefined")
    assert entry(none, "var_strong")["raw"]["rho"] is None
    assert "BSD (raw) is 0.000 in every setting: its correlations are undefined." in none["warnings"]


@pytest.mark.parametrize(
    ("before", "after", "word", "start"),
    [
        ((0.9, 0.01), (0.9, 0.01), "survives calibration", "Correlated with BSD, raw and after"),
        ((0.9, 0.01), (-0.9, 0.01), "turns its sign", "Correlated with BSD raw and after calibration, but not"),
        ((0.9, 0.01), (0.9, 0.06), "raw only", "Not resolved after calibration"),
        ((0.9, 0.06), (0.9, 0.01), "calibrated only", "Not resolved raw"),
        ((0.9, 0.06), (None, None), "not resolved", "Not resolved: no signal"),
        ((None, None), (None, None), "undefined", "Undefined"),
    ],
)
def test_verdicts(before, after, word, start):
    raw, calibrated = ({"rho": rho, "p_holm": p} for rho, p in (before, after))
    assert verdict(raw, calibrated) == word
    assert headline([{"signal": "cov", "verdict": word}], SIGNALS, 9).startswith(start)


def test_the_headline_names_all_that_is_resolved() -> None:
    words = {"cov": "raw only", "misfit": "calibrated only", "accuracy": "turns its sign", "var_weak": "not resolved"}
    said = headline([{"signal": name, "verdict": word} for name, word in words.items()], SIGNALS, 9)
    assert said == (
        f"Correlated with BSD raw only: {SIGNALS['cov']}; after calibration only: {SIGNALS['misfit']}. "
        f"Turns its sign with calibration: {SIGNALS['accuracy']}."
    )


def test_files_are_settings(tmp_path):
    for name in ("one", "two", "three"):
        random_table(40, seeds=1).to_csv(tmp_path / f"{name}.csv", index=False)
    files = [tmp_path / f"{name}.csv" for name in ("one", "two", "three")]
    assert study(read_settings(files))["settings"] == ["one", "three", "two"]
    with pytest.raises(W2SError, match="setting 'one' is in"):
        read_settings([files[0], files[0]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="setting"), "column 'setting' is missing"),
        (lambda f: f.assign(setting=["", *["a"] * (len(f) - 1)]), "row 1: setting is empty"),
        (lambda f: f.assign(step=0.5), "row 1: step is not a whole number"),
        (lambda f: f.assign(pipeline=["x", *["y"] * (len(f) - 1)]), "'a' has several values of pipeline"),
        (lambda f: f.assign(delta=np.nan), r"setting 'a', step 0\), row 1.*delta is not a finite number"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f[f["model"] != "weak"], "setting 'a', step 0: no rows for model 'weak'"),
    ],
)
def test_bad_tables_of_settings(change, words):
    frame = random_table(5, seeds=1).assign(setting="a")
    with pytest.raises(W2SError, match=words):
        study(change(frame))


def test_a_signal_that_is_constant_is_neither_tested_nor_counted():
    frame = planted()
    weak = frame["model"] == "weak"
    frame.loc[weak, "delta"] = np.tile(frame.loc[weak & (frame["setting"] == "s0"), "delta"], 8)
    found = study(frame)
    assert [row["signal"] for row in found["signals"] if row["raw"]["p"] is None] == ["var_weak"]
    tested = [row["raw"] for row in found["signals"] if row["raw"]["p"] is not None]
    assert min(row["p_holm"] / row["p"] for row in tested) >= 1
    assert max(row["p_holm"] / row["p"] for row in tested) == pytest.approx(8)
    assert any("the first of 8 signals after Holm" in each for each in found["sentences"])
    assert found["support"] == ranks.support(8, 8)
    assert headline([{"signal": "cov", "verdict": "not resolved"}], SIGNALS, 1).endswith("over 1 signal.")
