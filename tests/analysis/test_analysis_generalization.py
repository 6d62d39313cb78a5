from __future__ import annotations

import json

import numpy as np
import pytest
from analysis_helpers import random_table, table

from w2s_pref.analysis.preferences.generalization import analyze_generalization, fieller
from w2s_pref.analysis.stats.bootstrap import Resampler


def signs(rights: int, size: int) -> np.ndarray:
    return np.where(np.arange(size) < rights, 1.0, -1.0)


def analyze(models, **options):
    return analyze_generalization(table(models), "weak", "student", "ceiling", **{"resamples": 300, **options})


def test_worked_example():
    """Weak .6, student .7, ceiling .8 of 1,000: PGR 1/2. The student repeats 300 of the 400 weak errors."""
    found = analyze({"weak": signs(600, 1000), "student": signs(700, 1000), "ceiling": signs(800, 1000)})
    assert found["accuracy"] == {"weak": 0.6, "student": 0.7, "ceiling": 0.8}
    assert found["pgr"] == pytest.approx(0.5)
    assert found["pgr_raw"] == pytest.approx(0.5)
    assert found["agreement"] == {"overall": 0.9, "supervisor_right": 1.0, "supervisor_wrong": 0.75}
    assert found["inheritance"] == {"inherited": 0.75, "corrected": 0.25, "new_errors": 0.0}
    low, high = found["intervals"]["pgr"]
    assert low < 0.5 < high
    assert found["pgr_fieller"] == pytest.approx([low, high], abs=0.03)
    assert "better than its supervisor" in found["verdict"]
    json.dumps(found, allow_nan=False)


def test_new_errors():
    found = analyze({"weak": [1, 1, 1, -1], "student": [1, -1, -1, 1], "ceiling": [1, 1, 1, 1]})
    assert found["inheritance"]["new_errors"] == pytest.approx(2 / 3)
    assert found["inheritance"]["corrected"] == 1.0
    assert found["agreement"]["overall"] == 0.25


def test_no_gap_is_never_a_number():
    found = analyze({"weak": signs(70, 100), "student": signs(75, 100), "ceiling": signs(70, 100)})
    assert found["pgr"] is None
    assert found["pgr_raw"] is None
    assert "No gap" in found["verdict"]
    below = analyze({"weak": signs(70, 100), "student": signs(75, 100), "ceiling": signs(60, 100)})
    assert below["pgr"] is None
    assert below["pgr_raw"] == pytest.approx(-0.5)
    assert below["intervals"]["pgr"] is None


def test_a_gap_within_noise_gives_only_the_raw_ratio():
    rng = np.random.default_rng(0)
    found = analyze(
        {"weak": rng.normal(0.5, 1, 100), "student": rng.normal(0.5, 1, 100), "ceiling": rng.normal(0.55, 1, 100)}
    )
    assert found["pgr"] is None
    assert found["pgr_raw"] is not None
    assert any("No gap" in w or "within noise" in w for w in found["warnings"])


def test_pgr_may_leave_the_unit_interval():
    above = analyze({"weak": signs(500, 1000), "student": signs(900, 1000), "ceiling": signs(800, 1000)})
    below = analyze({"weak": signs(500, 1000), "student": signs(400, 1000), "ceiling": signs(800, 1000)})
    assert above["pgr"] == pytest.approx(4 / 3)
    assert below["pgr"] == pytest.approx(-1 / 3)
    assert "worse than its supervisor" in below["verdict"]


def test_a_small_gap_is_warned_of():
    n = 20000
    found = analyze({"weak": signs(12000, n), "student": signs(12200, n), "ceiling": signs(12400, n)})
    assert found["pgr"] == pytest.approx(0.5)
    assert any("less than 0.03" in line for line in found["warnings"])


def test_ties_are_fair_coins():
    found = analyze({"weak": [0, 0, 1, -1], "student": [0, 1, 0, 0], "ceiling": [1, 1, 1, 1]})
    assert found["accuracy"]["weak"] == 0.5
    # P(same): 1/2 each; weak right with weights 1/2, 1/2, 1, 0 and student credits 1/2, 1, 1/2, 1/2
    assert found["agreement"]["overall"] == pytest.approx(0.5)
    assert found["agreement"]["supervisor_right"] == pytest.approx((0.25 + 0.5 + 0.5) / 2)
    right = analyze({"weak": [0, 0, 1, -1], "student": [0, 1, 0, 0], "ceiling": [1, 1, 1, 1]}, ties="right")
    assert right["accuracy"]["weak"] == 0.75


def test_supervisor_never_wrong():
    found = analyze({"weak": [1, 1, 1], "student": [1, 1, -1], "ceiling": [1, 1, 1]})
    assert found["agreement"]["supervisor_wrong"] is None
    assert found["inheritance"]["inherited"] is None
    assert found["intervals"]["agreement"]["supervisor_wrong"] is None


def test_fieller_by_hand():
    """Independent groups of one: the roots of (t - r b)^2 = z^2 (vtt - 2 r vtb + r^2 vbb)."""
    rng = np.random.default_rng(0)
    top, bottom = rng.normal(0.4, 1, (1, 500)), rng.normal(0.9, 1, (1, 500))
    low, high = fieller(top, bottom, Resampler(np.arange(500), 2))
    covariance = np.cov(np.stack([top[0], bottom[0]])) * 500
    for root in (low, high):
        left = (top.sum() - root * bottom.sum()) ** 2
        rightside = 1.959963984540054**2 * (covariance[0, 0] - 2 * root * covariance[0, 1] + root**2 * covariance[1, 1])
        assert left == pytest.approx(rightside, rel=1e-9)
    assert fieller(top, bottom - bottom.mean(), Resampler(np.arange(500), 2)) is None


def test_order_of_items_and_models_changes_nothing():
    scores = random_table(120, seeds=2, group_size=3)
    one = analyze_generalization(scores, "weak", "student", "ceiling", resamples=100)
    two = analyze_generalization(scores.sample(frac=1, random_state=0), "weak", "student", "ceiling", resamples=100)
    assert one == two
