from __future__ import annotations

import numpy as np
import pytest

from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import PLAIN, Form


def test_sums_equal_row_copies():
    """A resample by weights is the resample by copying rows."""
    rng = np.random.default_rng(0)
    groups = np.array([0, 0, 1, 2, 2, 2])
    values = rng.normal(size=(2, 6, 3))
    draw = Resampler(groups, resamples=50, seed=1)
    sums = draw.sums(values)
    assert np.allclose(sums.seeds, values.sum(axis=1))
    for b in range(50):
        copied = [i for g in range(3) for _ in range(int(draw.weights[b, g])) for i in np.flatnonzero(groups == g)]
        assert np.allclose(sums.boot_seeds[b], values[:, copied].sum(axis=1), atol=1e-5)
        assert np.allclose(sums.boot[b], values[:, copied].sum(axis=(0, 1)), atol=1e-5)


def test_counts_equal_sums_of_indicators():
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 20, 60))
    groups = np.unique(groups, return_inverse=True)[1]
    category = rng.integers(-1, 4, size=(3, 60))
    draw = Resampler(groups, resamples=30)
    indicator = (category[:, :, None] == np.arange(4)).astype(float)
    assert np.array_equal(draw.counts(category, 4).boot, draw.sums(indicator).boot)
    assert np.array_equal(draw.counts(category, 4).seeds, indicator.sum(axis=1))


def test_weights_are_multinomial_and_seeded():
    draw = Resampler(np.arange(40), resamples=700, seed=3)
    assert (draw.weights.sum(axis=1) == 40).all()
    assert np.array_equal(draw.weights, Resampler(np.arange(40), 700, 3).weights)
    assert not np.array_equal(draw.weights, Resampler(np.arange(40), 700, 4).weights)
    assert draw.weights.var() == pytest.approx(39 / 40, rel=0.05)


def coverage(seeds: int, group: float, between: float, noise: float, runs: int = 300) -> float:
    hits = 0
    groups = np.repeat(np.arange(100), 3)
    for run in range(runs):
        rng = np.random.default_rng([run, 11])
        shared = group * rng.normal(size=100)[groups]
        x = shared + between * rng.normal(size=(seeds, 1)) + noise * rng.normal(size=(seeds, 300))
        low, high = Resampler(groups, 300, run).mean(x, form=PLAIN).interval()
        hits += low <= 0 <= high
    return hits / runs


@pytest.mark.parametrize(
    ("seeds", "group", "between", "noise"),
    [(1, 1.0, 0.0, 1.0), (5, 1.0, 0.0, 1.0), (5, 0.0, 0.0, 1.0), (8, 1.0, 0.1, 1.0), (3, 1.0, 0.3, 1.0)],
)
def test_intervals_cover_near_95_percent(seeds, group, between, noise):
    """300 simulations: the 99 % range of an exact 95 % interval is .913 to .980."""
    assert 0.91 <= coverage(seeds, group, between, noise) <= 0.985


def test_ignoring_clusters_would_not_cover():
    groups = np.repeat(np.arange(100), 3)
    misses = 0
    for run in range(150):
        x = np.random.default_rng([run, 5]).normal(size=100)[groups][None]
        low, high = Resampler(np.arange(300), 200, run).mean(x, form=PLAIN).interval()
        misses += not low <= 0 <= high
    assert misses / 150 > 0.12


def test_seed_effects_widen_the_interval():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(5, 200))
    effect = 3.0 * np.array([-1.0, 1.0, 0.5, -0.5, 0.0])[:, None]
    draw = Resampler(np.arange(200), 500)
    plain, shifted = (draw.mean(x, form=PLAIN) for x in (noise, noise + effect))
    assert shifted.variances.between > 50 * plain.variances.between
    assert shifted.variances.noise == pytest.approx(plain.variances.noise, rel=1e-3)
    assert np.ptp(shifted.interval()) > 5 * np.ptp(plain.interval())
    assert np.ptp(shifted.in_seeds()) == pytest.approx(np.ptp(plain.in_seeds()), rel=1e-3)


def test_a_paired_difference_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(1, 300))
    draw = Resampler(np.arange(300), 500)
    a, b = (draw.mean(shared + 0.1 * rng.normal(size=(1, 300)), form=Form(-9, 9)) for _ in range(2))
    assert np.ptp((a - b).interval()) < 0.3 * np.ptp(a.interval())
    assert (a - b).value == pytest.approx(a.value - b.value)


def test_undefined_has_no_interval():
    draw = Resampler(np.arange(20), 100)
    never = draw.mean(np.ones((1, 20)), np.zeros((1, 20)))
    assert np.isnan(never.value)
    assert never.interval() is None
    rare = np.zeros((1, 20))
    rare[0, 0] = 1.0
    assert draw.mean(np.ones((1, 20)), rare).value == 1.0
    assert draw.mean(np.ones((1, 20)), rare).interval() is None


def test_many_groups_are_resampled_in_blocks_of_whole_groups(monkeypatch):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(2000), 2)
    x = rng.normal(size=2000)[groups][None]
    plain = Resampler(groups, 1000).mean(x, form=PLAIN)
    monkeypatch.setattr("w2s_pref.analysis.stats.bootstrap.MAX_BLOCKS", 400)
    draw = Resampler(groups, 1000)
    assert len(np.unique(draw.blocks)) == 400
    assert (draw.blocks[::2] == draw.blocks[1::2]).all()
    joined = draw.mean(x, form=PLAIN)
    assert joined.value == pytest.approx(plain.value)
    assert np.ptp(joined.interval()) == pytest.approx(np.ptp(plain.interval()), rel=0.15)
