"""The rule of intervals over prompts and seeds: worked arithmetic, and equality with formulas written out here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from w2s_pref.analysis.risk.sentences import bound_verdict, kl_verdict
from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.families import holm
from w2s_pref.analysis.stats.seeds import compatible_rates, disagreements, parted, reading, seeds_note, side
from w2s_pref.analysis.stats.stat import DIFFERENCE, NOISE_RESAMPLES, PLAIN, RATIO, SHARE, Form, Stat, combined


def world(seeds: int, between: float = 0.3, items: int = 240, groups: int = 80) -> tuple[np.ndarray, Resampler]:
    """Normal values (K, N) with effects of groups and seeds, and their resamples."""
    rng = np.random.default_rng([seeds, 7])
    codes = np.arange(items) % groups
    values = rng.normal(size=groups)[codes] + between * rng.normal(size=(seeds, 1)) + rng.normal(size=(seeds, items))
    return values, Resampler(codes, 500, 1)


def half_widths(own: np.ndarray, boot: np.ndarray, noise: np.ndarray, value: float, groups: int) -> np.ndarray:
    """The rule from the seeds' values (K,), the resamples (B,) and the seeds' values in them (B', K)."""
    seeds = len(own)
    w = sum(np.var(noise[:, k] - noise.mean(axis=1), ddof=1) for k in range(seeds)) / (seeds - 1)
    v, seed = np.var(boot, ddof=1), np.var(own, ddof=1) / seeds
    item = max(v - w / seeds, 0)
    small = student.ppf(0.975, groups - 1) / norm.ppf(0.975) * np.sqrt(groups / (groups - 1))
    h = np.array([value - np.quantile(boot, 0.025), np.quantile(boot, 0.975) - value]) * small
    return (h * np.sqrt(item / v) * np.sqrt(item) + student.ppf(0.975, seeds - 1) * seed) / np.sqrt(item + seed)


@pytest.mark.parametrize(
    ("values", "half"),
    [
        ((0.4, 0.6), 12.70620474 * 0.1),  # S2 = .02, t of 1 degree of freedom, sqrt(S2 / 2) = .1
        ((0.4, 0.5, 0.6), 4.30265273 * np.sqrt(0.01 / 3)),
        ((0.2, 0.2, 0.2, 0.6), 3.18244631 * 0.1),  # S2 = .04
    ],
)
def test_means_that_only_seeds_move_by_hand(values, half):
    """Every item alike: no variance from items, so the interval is a t interval of the seeds' values."""
    stat = Resampler(np.arange(50), 200).mean(np.repeat(np.array(values)[:, None], 50, axis=1), form=PLAIN)
    low, high = stat.interval()
    assert (stat.value - low, high - stat.value) == pytest.approx((half, half), rel=1e-5)
    assert stat.in_seeds() == pytest.approx((stat.value, stat.value), abs=1e-6)
    assert stat.over == "seeds"


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_mean_has_the_interval_of_the_formula(seeds):
    values, draw = world(seeds)
    stat = draw.mean(values, form=PLAIN)
    by_seed = (draw.weights @ np.eye(80)[draw.groups].T @ values.T) / (draw.weights.sum(axis=1, keepdims=True) * 3)
    expected = half_widths(
        values.mean(axis=1), by_seed.mean(axis=1), by_seed[:NOISE_RESAMPLES], float(values.mean()), 80
    )
    low, high = stat.interval()
    assert (values.mean() - low, high - values.mean()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("cautious", [False, True])
def test_a_ratio_has_pseudo_values_from_rows_at_half_weight(cautious):
    """Each seed's rows are counted one half in turn, by weights on the rows themselves."""
    values, draw = world(3)
    top, bottom = np.exp(values), np.exp(values[::-1] / 2)
    stat = draw.sums(np.stack([top, bottom], axis=-1)).stat(
        lambda c: divide(c[..., 0], c[..., 1]), Form(0.0, np.inf, "log", cautious)
    )

    def pseudo(rows: np.ndarray) -> np.ndarray:
        def at(weights: np.ndarray) -> float:
            return float(np.log((weights * top * rows).sum() / (weights * bottom * rows).sum()))

        whole = at(np.ones((3, 1)))
        pull = np.array([(whole - at(np.where(np.arange(3) == k, 0.5, 1.0)[:, None])) / 0.5 for k in range(3)])
        return whole + (3 if cautious else 2.5) * (pull - pull.mean())

    counts = draw.weights[:, draw.blocks]
    boot = np.log((counts @ top.T).sum(axis=1) / (counts @ bottom.T).sum(axis=1))
    noise = np.array([pseudo(row) for row in counts[:NOISE_RESAMPLES]])
    value = np.log(top.sum() / bottom.sum())
    below, above = half_widths(pseudo(np.ones(240)), boot, noise, value, 80)
    assert stat.pseudo == pytest.approx(pseudo(np.ones(240)), rel=1e-5)
    assert stat.interval() == pytest.approx((np.exp(value - below), np.exp(value + above)), rel=1e-4)


def test_the_pseudo_values_of_means_are_the_seeds_own():
    values, draw = world(4)
    assert draw.mean(values, form=PLAIN).pseudo == pytest.approx(values.mean(axis=1), rel=1e-9)
    own, boot = values.mean(axis=1), np.random.default_rng(0).normal(size=(300, 4))
    of_means = Stat.mean_of_seeds(own, boot, 80)
    assert of_means.pseudo == pytest.approx(own, rel=1e-9)
    assert of_means.variances.noise == pytest.approx(
        np.var(boot[:NOISE_RESAMPLES] - boot[:NOISE_RESAMPLES].mean(axis=1, keepdims=True), axis=0, ddof=1).sum() / 3
    )


def test_one_seed_is_items_only_and_one_model_under_all_seeds_is_too():
    values, draw = world(1)
    one, repeated = draw.mean(values, form=PLAIN), draw.mean(np.repeat(values, 3, axis=0), form=PLAIN)
    assert (one.over, repeated.over) == ("items", "items")
    assert one.interval() == one.in_seeds()
    assert repeated.interval() == pytest.approx(one.interval(), rel=1e-5)
    assert "in this seed" in reading(one)
    assert "in these seeds" in reading(repeated)
    assert "over" not in reading(repeated)


def test_seeds_that_tie_by_chance_have_the_interval_of_items_and_never_one_of_no_width():
    """Two seeds, each right on 30 of 60 items, 15 of them the same: the items' noise between them is far above 0."""
    place = np.arange(60)
    right = np.stack([place < 30, (place < 15) | (place >= 45)]).astype(float)
    stat = Resampler(place, 300).mean(right)
    assert stat.variances.between == 0.0
    assert stat.variances.noise > 0
    assert stat.over == "items"
    assert stat.interval() == stat.in_seeds()
    assert np.ptp(stat.interval()) > 0.15  # 1.96 standard errors of (.5 * .5 + covariance 0) / 60 and two seeds: .18


def test_few_groups_widen_the_interval_by_a_known_factor():
    """4 groups: t of 3 degrees of freedom over z, times sqrt(4 / 3)."""
    by_group = np.random.default_rng(0).normal(0.5, 0.1, 2000)
    few, many = (np.ptp(Stat.of_items(0.5, by_group, groups).interval()) for groups in (4, 10**6))
    assert few / many == pytest.approx(3.182446 / 1.959964 * np.sqrt(4 / 3), rel=1e-4)


def test_what_is_undefined_has_no_interval():
    boot = np.random.default_rng(0).normal(size=(100, 2))
    fine = Stat(0.0, np.zeros(2), boot[:, 0], np.array([0.1, -0.1]), boot, 20)
    assert fine.interval() is not None
    holes = np.where(np.arange(100) < 11, np.nan, boot[:, 0])
    for missing in (
        {"value": np.nan},
        {"by_group": holes},  # more than a tenth of the resamples
        {"less_boot": np.full((100, 2), np.nan)},  # every noise draw
        {"n_groups": 1},
    ):
        stat = replace(fine, **missing)
        assert stat.interval() is stat.in_seeds() is stat.p_above(0) is None
        assert np.isnan(stat.smallest_found)


def test_a_seed_whose_own_value_is_undefined_stays_in_the_variance():
    """Seed 0 has no row in the denominator: its own ratio is undefined, its pull is not."""
    top = np.ones((3, 60))
    bottom = np.repeat([[0.0], [1.0], [2.0]], 60, axis=1)
    stat = (
        Resampler(np.arange(60), 200)
        .sums(np.stack([top, bottom], axis=-1))
        .stat(lambda c: divide(c[..., 0], c[..., 1]), PLAIN)
    )
    assert np.isnan(stat.per_seed[0])
    assert np.isfinite(stat.pseudo).all()
    assert stat.variances.between > 0
    assert stat.interval() is not None


def test_differences_of_shares_stay_between_minus_one_and_one():
    draw = Resampler(np.arange(50), 200)
    high, low = (draw.mean(np.repeat(np.array(x)[:, None], 50, axis=1)) for x in ((1.0, 0.8), (0.0, 0.3)))
    assert (high - low).form[:2] == DIFFERENCE[:2]
    assert (high - low).interval()[1] == 1.0
    assert (low - high).interval()[0] == -1.0
    assert high.interval()[1] == 1.0
    assert low.interval()[0] == 0.0


def test_a_difference_is_the_mean_of_the_differences_and_a_combination_needs_the_same_seeds():
    values, draw = world(3)
    other = np.roll(values, 5, axis=1) + np.array([[0.1], [0.5], [-0.2]])
    a, b = draw.mean(values, form=PLAIN), draw.mean(other, form=PLAIN)
    one, two = a - b, draw.mean(values - other, form=PLAIN)
    assert one.value == pytest.approx(two.value)
    assert one.interval() == pytest.approx(two.interval(), abs=1e-5)
    assert one.in_seeds() == pytest.approx(two.in_seeds(), abs=1e-5)
    twice = combined([a, b], lambda x, y: x * y)
    assert twice.value == pytest.approx(a.value * b.value)
    with pytest.raises(ValueError, match="different seeds"):
        combined([a, draw.mean(values[:2], form=PLAIN)], np.subtract)
    with pytest.raises(ValueError, match="different seeds or resamples"):
        combined([a, Resampler(draw.groups, 100).mean(values, form=PLAIN)], np.subtract)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("form", [PLAIN, RATIO])
def test_p_inverts_the_interval(seeds, form):
    """The lower end of a 95 % interval has a one-sided p of .025, the upper one of .975."""
    values, draw = world(seeds)
    stat = draw.mean(np.exp(values), form=form)
    low, high = stat.interval()
    assert stat.p_above(low) == pytest.approx(0.025, abs=1e-5)
    assert stat.p_above(high) == pytest.approx(0.975, abs=1e-5)
    assert stat.p_above(low * 0.9) < 0.025 < stat.p_above(low * 1.1)


def test_an_interval_without_width_excludes_other_values_only():
    """A difference that is zero for every pair, as between two students that fail on nothing, is no finding."""
    stat = Resampler(np.arange(50), 200).mean(np.zeros((2, 50)), form=PLAIN)
    assert stat.interval() == (0.0, 0.0)
    assert stat.p_above(0.0) == pytest.approx(0.5, abs=0.001)
    assert stat.p_above(-0.1) < 0.01
    assert stat.p_above(0.1) > 0.99


def test_the_smallest_difference_that_is_found():
    """Only seeds vary: t of 2 degrees of freedom and the normal quantile of 80 %, times the standard error."""
    stat = Resampler(np.arange(50), 200).mean(np.repeat([[0.4], [0.5], [0.6]], 50, axis=1), form=PLAIN)
    assert stat.smallest_found == pytest.approx((4.30265273 + 0.84162123) * np.sqrt(0.01 / 3), rel=1e-5)


def accuracy(values: tuple[float, ...], items: int = 400) -> Stat:
    """Seeds that are right on the first so many items."""
    rights = np.arange(items) < np.array(values)[:, None] * items
    return Resampler(np.arange(items), 300).mean(rights.astype(float))


def test_seeds_that_split_disagree_and_seeds_that_scatter_do_not():
    one, other = parted(accuracy((0.018, 0.982, 0.074), 1000))
    assert one.tolist() == pytest.approx([0.018, 0.074])
    assert other.tolist() == pytest.approx([0.982])
    for values in ((0.5, 0.52, 0.54), (0.5, 0.5, 0.5), (0.5,), (0.5, 0.56), (0.6, 0.7, 0.8, 0.9)):
        assert parted(accuracy(values)) is None
    rng = np.random.default_rng(0)
    noisy = Resampler(np.arange(30), 300).mean((rng.random((3, 30)) < [[0.4], [0.5], [0.75]]).astype(float))
    assert parted(noisy) is None  # 30 items alone make such gaps
    (line,) = disagreements({"accuracy": accuracy((0.02, 0.98)), "other": accuracy((0.5, 0.52))})
    assert "accuracy: 0.020 against 0.980" in line


def test_failure_rates_that_are_compatible():
    for seeds in (1, 2, 3, 5):
        assert compatible_rates(seeds) == pytest.approx((0.0, 1 - 0.05 ** (1 / seeds)))
    low, high = compatible_rates(3, 1)
    # P(at least 1 of 3 | low) = .05 and P(at most 1 of 3 | high) = .05
    assert 1 - (1 - low) ** 3 == pytest.approx(0.05)
    assert (1 - high) ** 3 + 3 * high * (1 - high) ** 2 == pytest.approx(0.05)
    assert compatible_rates(2, 2) == pytest.approx((np.sqrt(0.05), 1.0))
    assert "failure rates up to 63 %" in seeds_note(3)
    assert "failure rates up to 45 %" in seeds_note(5)
    assert "in this seed" in seeds_note(1)
    assert "single difference" in seeds_note(2)


def test_readings_in_words():
    stat = accuracy((0.4, 0.5, 0.6))
    (low, high), (own_low, own_high) = stat.interval(), stat.in_seeds()
    over, here = f"{low:.2f} to {high:.2f} over 3 seeds", f"{own_low:.2f} to {own_high:.2f} in these seeds"
    assert reading(stat, 2) == f"0.50 (95 % {over}, {here})"
    assert reading(Stat.of_items(np.nan, np.zeros(5), 3)) == "undefined"
    assert reading(Stat.of_items(0.5, np.full(5, np.nan), 3, SHARE)) == "0.500 (no interval)"
    assert [side(x) for x in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), None)] == [1, -1, 0, 0]


def test_no_number_in_words_is_less_than_nothing():
    assert "-0.0000" not in reading(Stat.of_items(-1e-9, np.full(5, -1e-9), 1), 4)


def test_inequalities_hold_where_nothing_is_left_over():
    nothing = Stat.of_items(0.0, np.zeros(5), 3)
    assert "KL(s|w) holds: slack 0.0000" in kl_verdict(nothing)
    assert "holds: the residual is 0.0000" in bound_verdict(nothing)
    assert "is violated" in kl_verdict(Stat.of_items(-0.1, np.full(5, -0.1), 3))
    assert "is violated" in bound_verdict(Stat.of_items(0.1, np.full(5, 0.1), 3))
    assert "is not resolved" in kl_verdict(Stat.of_items(0.1, np.array([-0.1, 0.0, 0.1]), 3))


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
