"""Signals of the monitor: worked arithmetic, orientation, the standard error of a variance, and the schedule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.monitor import config
from w2s_pref.monitor.signals import BLIND, LABEL_FREE, LABELLED, expected_calibration_error, signals, variance_error


def logit(p: list[float]) -> np.ndarray:
    x = np.array(p)
    return np.log(x / (1 - x))


#: Strong p of ``a``, weak p of ``a``, truth. Turned weak-first: s' = .8, .1, .9, .4, w' = .9, .6, .6, .8.
STRONG, WEAK, TRUTH = [0.8, 0.9, 0.9, 0.4], [0.9, 0.4, 0.6, 0.8], [1, 0, 1, 1]


def test_signals_by_hand() -> None:
    found = signals(logit(STRONG), np.array(WEAK), np.array(TRUTH, dtype=float))
    assert list(found) == [*LABEL_FREE, *LABELLED]
    s, w = np.array([0.8, 0.1, 0.9, 0.4]), np.array([0.9, 0.6, 0.6, 0.8])
    assert found["var"] == pytest.approx((0.25**2 + 0.45**2 + 0.35**2 + 0.15**2) / 4)  # mean .55
    assert found["cov"] == pytest.approx(np.mean((s - 0.55) * (w - 0.725)))
    assert found["var_spot"] == pytest.approx(0.4**2)  # weak unsure on pairs 2 and 3: .1 and .9
    assert found["confidence"] == pytest.approx((0.8 + 0.9 + 0.9 + 0.6) / 4)
    assert found["misfit"] == pytest.approx((0.01 + 0.25 + 0.09 + 0.16) / 4)
    assert found["disagreement"] == 0.5  # pairs 2 and 4
    assert found["spot_share"] == 0.5
    assert found["spread"] == pytest.approx(np.sqrt(np.mean(logit(STRONG) ** 2)))
    # With the truth: p of the true answer is .8, .1, .9, .4; of the weak model .9, .6, .6, .8.
    assert found["risk"] == pytest.approx((0.04 + 0.81 + 0.01 + 0.36) / 4)
    assert found["bsd"] == 0.25  # pair 2: .9 for the wrong answer, the weak model unsure
    assert found["accuracy"] == 0.5
    assert found["residual"] == pytest.approx((0.1 * 0.2 + 0.5 * 0.9 - 0.3 * 0.1 + 0.4 * 0.6) / 4)
    assert found["nll"] == pytest.approx(-np.mean(np.log([0.8, 0.1, 0.9, 0.4])))
    assert found["var_true"] == pytest.approx(found["var"])  # here the weak model prefers every true answer
    assert list(signals(logit(STRONG), np.array(WEAK))) == list(LABEL_FREE)


def test_link_between_signals() -> None:
    """R_s = R_w - M + 2 residual, on random scores."""
    rng = np.random.default_rng(0)
    weak, truth = rng.random(500), rng.integers(0, 2, 500).astype(float)
    found = signals(rng.normal(size=500), weak, truth)
    risk_weak = np.mean((weak - truth) ** 2)
    assert found["risk"] == pytest.approx(risk_weak - found["misfit"] + 2 * found["residual"], abs=1e-12)


def test_no_signal_depends_on_which_answer_is_called_a() -> None:
    rng = np.random.default_rng(1)
    margin, weak, truth = rng.normal(size=300) * 2, rng.random(300), rng.integers(0, 2, 300).astype(float)
    turned = rng.random(300) < 0.5
    one = signals(margin, weak, truth)
    other = signals(np.where(turned, -margin, margin), np.where(turned, 1 - weak, weak), np.where(turned, 1 - truth, truth))  # fmt: skip  # noqa: E501
    assert other == pytest.approx(one, abs=1e-12)


def test_orientation_trap() -> None:
    """A sure model that agrees with the weak one: Var 0 weak-first, near .25 in the neutral order of the table."""
    weak = np.tile([0.9, 0.1], 500)
    margin = np.where(weak > 0.5, 30.0, -30.0)
    assert signals(margin, weak)["var"] < 1e-12
    assert np.var(1 / (1 + np.exp(-margin))) == pytest.approx(0.25)


def test_one_scale_leaves_the_unit_variance_alone() -> None:
    rng = np.random.default_rng(2)
    margin, weak = rng.normal(0.5, 1, size=400), rng.random(400)
    one, sharp = signals(margin, weak), signals(3 * margin, weak)
    assert sharp["var"] > 1.3 * one["var"]
    assert sharp["var_unit"] == pytest.approx(one["var_unit"], abs=1e-12)


def test_standard_error_of_the_variance_meets_simulation() -> None:
    rng = np.random.default_rng(3)
    draws = rng.beta(2, 1, size=(4000, 300))
    spread = np.var(draws, axis=1).std()
    assert np.mean([variance_error(x) for x in draws[:500]]) == pytest.approx(spread, rel=0.05)
    assert variance_error(np.array([0.0, 1.0])) == 0  # m4 = 1/16 = Var^2


def test_calibration_error_by_hand() -> None:
    """Bins .7-.75 and .9-.95: |.5 - .7| on two pairs, |1 - .9| on two."""
    assert expected_calibration_error(np.array([0.72, 0.28, 0.92, 0.92])) == pytest.approx(0.5 * 0.22 + 0.5 * 0.08)


def test_a_weak_model_that_is_never_uncertain() -> None:
    found = signals(logit(STRONG), np.array([0.9, 0.1, 0.95, 0.02]), np.array(TRUTH, dtype=float))
    assert [name for name, value in found.items() if math.isnan(value)] == [n for n in found if n in BLIND]
    assert found["bsd"] == 0


def test_a_strong_model_that_knows_nothing_yet() -> None:
    found = signals(np.zeros(4), np.array(WEAK), np.array(TRUTH, dtype=float))
    assert found["var"] == found["spread"] == 0
    assert math.isnan(found["var_unit"])
    assert found["accuracy"] == 0.5


def test_probabilities_outside_their_range() -> None:
    with pytest.raises(W2SError, match="not a probability"):
        signals(np.zeros(2), np.array([0.5, 1.2]))


def test_schedule_by_hand() -> None:
    """1,000 steps of 3,000 tokens, a probe of 6,000: 1.5 % pays for .015 * 3 * 3e6 / 6e3 = 22 looks."""
    assert config.affordable_scorings(6000, 3000, 1000, 0.015) == 22
    every = config.interval(6000, 3000, 1000, 0.015)
    assert every == 48  # 21 intervals: start, 20 inside, end
    assert config.estimated_cost(6000, 3000, 1000, every) == pytest.approx(22 * 6000 / (3 * 3000 * 1000))
    assert config.estimated_cost(6000, 3000, 1000, every - 1) > 0.015
    assert config.interval(6000, 3000, 10) == 10  # too short: start and end only
    assert config.interval(1, 3000, 10) == 1
    assert config.affordable_pairs(20_000, 11, 0.015) == 81  # .045 * 20,000 / 11


@pytest.mark.parametrize("steps", [50, 333, 5000, 100_000])
def test_the_estimate_keeps_to_the_budget(steps: int) -> None:
    every = config.interval(5000, 4000, steps)
    assert every == steps or config.estimated_cost(5000, 4000, steps, every) <= config.BUDGET + 1e-12
