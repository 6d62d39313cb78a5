from __future__ import annotations

import numpy as np
import pytest
from analysis_helpers import logit, table

from w2s_pref.analysis.scores.calibration import analyze_calibration, confidence_bin, fit_temperature
from w2s_pref.analysis.stats.basics import sigmoid


def test_worked_example():
    """p of the true answer .9 .9 .2 .55: confidence .9 .9 .8 .55, right 1 1 0 1."""
    found = analyze_calibration(table({"m": [logit(p) for p in (0.9, 0.9, 0.2, 0.55)]}), "m", resamples=50)
    assert found["accuracy"] == 0.75
    assert found["brier"] == pytest.approx((0.01 + 0.01 + 0.64 + 0.2025) / 4)
    assert found["ece"] == pytest.approx((2 * 0.1 + 0.8 + 0.45) / 4)
    filled = [(b["n"], b["accuracy"]) for b in found["reliability"] if b["n"]]
    assert sum(n for n, _ in filled) == 4
    assert found["reliability"][9]["confidence"] is None


def test_bins():
    places = confidence_bin(np.array([0.5, 0.549, 0.56, 0.76, 0.999, 1.0]))
    assert places.tolist() == [0, 0, 1, 5, 9, 9]


def test_a_calibrated_model_has_a_small_ece():
    rng = np.random.default_rng(0)
    gap = np.abs(rng.normal(0, 2, 8000))
    delta = np.where(rng.random(8000) < sigmoid(gap), gap, -gap)
    assert analyze_calibration(table({"m": delta}), "m", resamples=50)["ece"] < 0.02
    assert analyze_calibration(table({"m": 3 * delta}), "m", resamples=50)["ece"] > 0.08


def test_temperature_recovers_the_scale():
    rng = np.random.default_rng(0)
    gap = rng.normal(0, 2, 20000)
    truth = (rng.random(20000) < sigmoid(gap)).astype(float)
    assert fit_temperature(gap * 3, truth) == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(-gap * 3, 1 - truth) == pytest.approx(fit_temperature(gap * 3, truth))
    assert fit_temperature(gap * 7, truth) == pytest.approx(7 / 3 * fit_temperature(gap * 3, truth), rel=1e-6)


def test_temperature_is_the_minimum():
    margin = np.array([1.0, 2.0, -0.5, 0.3])

    def loss(t: float) -> float:
        return float(np.mean(np.log1p(np.exp(-margin / t))))

    t = fit_temperature(margin)
    assert loss(t) < min(loss(t * 1.01), loss(t / 1.01))


def test_temperature_at_its_bounds():
    assert fit_temperature(np.array([1.0, 2.0])) == 0.01
    assert fit_temperature(np.array([-1.0, 0.5])) == 100.0
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(np.array([np.nan]))
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.array([]))
