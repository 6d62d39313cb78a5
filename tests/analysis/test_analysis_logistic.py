"""Logistic fits end at their optimum, however heavy the tails of a column and however few the flips."""

from __future__ import annotations

import numpy as np
import pytest

from w2s_pref.analysis.deception import flip_tests
from w2s_pref.analysis.deception.adjusted import covariates
from w2s_pref.analysis.deception.flip_tests import NAMES, flip_regression
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.logistic import expit, fit, ridge, updated


@pytest.mark.parametrize("seed", [0, 1, 2, 8])
def test_the_gradient_is_zero_at_the_fit(seed: int) -> None:
    """Also where most scores are clipped, because the models are sure, and only the others flip."""
    rng = np.random.default_rng(seed)
    truth = 20 * rng.normal(size=300)
    margin, ceiling = truth + rng.normal(size=(2, 1, 300))
    eligible = margin > 0
    design = covariates(margin, ceiling, eligible)[eligible]
    flips = (rng.random(len(design)) < expit(2 - margin[eligible])).astype(float)
    penalty = ridge(design.shape[1], 1e-6, 0.5)
    beta = fit(flips[None], np.ones((1, len(flips))), design, penalty, 1e-10)[0]
    # a sum of 150 terms below 10, each rounded to 2**-53 of itself, is off by 2e-13 at most; Newton ends below that
    assert np.abs(design.T @ (flips - expit(design @ beta)) - penalty @ beta).max() < 1e-12


def test_tables_fitted_together_are_fitted_alone() -> None:
    rng = np.random.default_rng(1)
    design = np.column_stack([np.ones(40), rng.standard_t(1, size=(40, 3)).clip(-30, 30)])
    trials = rng.integers(1, 9, size=(5, 40)).astype(float)
    flips = np.floor(trials / 2)
    penalty = ridge(4, 1e-9, 0.02)
    alone = [fit(flips[at : at + 1], trials[at : at + 1], design, penalty, 1e-10)[0] for at in range(5)]
    np.testing.assert_allclose(fit(flips, trials, design, penalty, 1e-10), alone, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("separated", [False, True])
def test_flips_that_the_margin_separates_have_no_coefficients(separated: bool) -> None:
    rng = np.random.default_rng(3)
    strong, weak, margin = rng.random((1, 300)), rng.random((1, 300)), rng.standard_t(1, size=(1, 300)) ** 2
    flip = margin > np.median(margin) if separated else rng.random((1, 300)) < 0.1
    found = flip_regression(strong, weak, margin, flip, margin > 0, Resampler(np.arange(300), 20))
    assert [each.name for each in found] == list(NAMES)
    assert all((each.estimate is None) == separated for each in found)


def test_no_processors_order_of_additions_moves_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of resamples are in single precision; ceilings that are sure make columns that nearly depend on others."""
    rng = np.random.default_rng(5)
    strong, weak = 0.95 + 0.05 * rng.random((2, 300)), 0.5 + 0.05 * rng.random((2, 300))
    margin = rng.normal(size=(2, 300)) ** 2
    flip, eligible = rng.random((2, 300)) < 0.2, np.ones((2, 300), dtype=bool)

    def intervals() -> list[float]:
        found = flip_regression(strong, weak, margin, flip, eligible, Resampler(np.arange(300), 100))
        return [end for each in found for pair in (each.interval, each.interval_in_seeds) if pair for end in pair]

    before = np.array(intervals())
    noise = np.random.default_rng(6)

    def rounded(beta: np.ndarray, sums: np.ndarray, penalty: np.ndarray) -> np.ndarray:
        return updated(beta, sums * (1 + 1e-7 * noise.normal(size=sums.shape)), penalty)

    monkeypatch.setattr(flip_tests, "updated", rounded)
    assert np.isfinite(before).all()
    assert len(before) == 4 * len(NAMES)
    np.testing.assert_allclose(intervals(), before, rtol=2e-5)
