"""The identities of the spec to 1e-12, on random worlds and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from w2s_pref.analysis.risk.blind_spot import (
    OWNERS,
    blind_spot_deception,
    blind_stats,
    inheritance_counts,
    soft_deception,
    threshold_grid,
)
from w2s_pref.analysis.risk.moments import (
    ROUNDING,
    bernoulli_kl,
    bregman_kl,
    bregman_squared,
    moment_stats,
    moments,
    reverse_kl,
    total_covariance,
)
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.core.errors import W2SError

TIGHT = {"rel": 0, "abs": 1e-12}


def worlds(count: int = 200, size: int = 40):
    """Pairs of probability vectors from flat to nearly 0 and 1, and correlated in both ways."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        scale, link = rng.uniform(0.1, 8), rng.uniform(-1, 1)
        weak = rng.normal(rng.uniform(-2, 2), scale, size)
        yield sigmoid(weak), sigmoid(link * weak + rng.normal(rng.uniform(-2, 2), scale, size))


def test_identities():
    for weak, strong in worlds():
        m = moments(weak, strong)
        assert float(m.var_strong) == pytest.approx(np.var(strong), **TIGHT)
        assert float(m.cov) == pytest.approx(np.cov(strong, weak, ddof=0)[0, 1], **TIGHT)
        assert float(m.misfit) == pytest.approx(np.mean((strong - weak) ** 2), **TIGHT)
        for risk, p in ((m.risk_weak, weak), (m.risk_strong, strong)):
            assert float(risk) == pytest.approx(np.mean((p - 1) ** 2), **TIGHT)
        residual = np.mean((strong - weak) * (strong - 1))
        assert float(m.residual) == pytest.approx(residual, **TIGHT)
        assert float(m.risk_strong) == pytest.approx(float(m.risk_weak - m.misfit) + 2 * residual, **TIGHT)


def test_bounds_on_random_worlds():
    """(a) and (b) never violated, (b) never looser than (a), (c) holds exactly where the residual is at most 0."""
    held = []
    for weak, strong in worlds():
        m = moments(weak, strong)
        bounds = m.bounds()
        assert bounds["triangle"].slack >= -ROUNDING
        assert bounds["minkowski"].slack >= -ROUNDING
        assert bounds["minkowski"].value <= bounds["triangle"].value + ROUNDING
        assert float(bounds["charikar"].slack) == pytest.approx(-2 * float(m.residual), **TIGHT)
        held.append(bool(bounds["charikar"].slack >= 0))
    assert 0 < sum(held) < len(held)


def test_a_linear_head_fitted_exactly_meets_charikars_bound():
    """Least squares on weak labels, with an intercept so that y = 1 is in the class: R_s = R_w - M."""
    rng = np.random.default_rng(1)
    features = np.column_stack([np.ones(300), rng.normal(size=(300, 4))])
    weak = np.clip(0.55 + features[:, 1:] @ [0.05, -0.04, 0.02, 0.03] + rng.normal(0, 0.1, 300), 0, 1)
    strong = features @ np.linalg.lstsq(features, weak, rcond=None)[0]
    m = moments(weak, strong)
    assert float(m.residual) == pytest.approx(0, **TIGHT)
    assert float(m.risk_strong) == pytest.approx(float(m.risk_weak - m.misfit), **TIGHT)
    assert float(m.misfit) > 0.005


def test_by_hand():
    """w = .5, 1; s = 0, 1: means .75 and .5, Var .0625 and .25, Cov .125, M .125, R_w .125, R_s .5, residual .25."""
    m = moments(np.array([0.5, 1.0]), np.array([0.0, 1.0]))
    found = [float(v) for v in (m.var_weak, m.var_strong, m.cov, m.misfit, m.risk_weak, m.risk_strong, m.residual)]
    assert found == [0.0625, 0.25, 0.125, 0.125, 0.125, 0.5, 0.25]
    assert (float(m.bias_weak), float(m.bias_strong)) == (-0.25, -0.5)  # signed: mean minus target
    assert {name: float(b.value) for name, b in m.bounds().items()} == pytest.approx(
        {"triangle": 0.5, "minkowski": 0.5, "charikar": 0.0}, abs=1e-15
    )


def test_random_orientation_is_the_mean_over_all_orders():
    """Every one of the 2^10 orders of ten pairs; the exact mean of their moments is (1 - 1/n) times the closed form."""
    rng = np.random.default_rng(2)
    weak, strong = rng.random(10), rng.random(10)
    turned = (np.arange(1024)[:, None] >> np.arange(10)) & 1
    w, s = (np.where(turned, 1 - p, p) for p in (weak, strong))
    var = s.var(axis=1).mean()
    cov = np.mean((s - s.mean(axis=1, keepdims=True)) * (w - w.mean(axis=1, keepdims=True)), axis=1).mean()
    expected = moments(weak, strong).random_orientation()
    assert [var, cov] == pytest.approx([0.9 * float(x) for x in expected], **TIGHT)
    perfect = moments(weak, np.ones(10))
    assert (float(perfect.var_strong), float(perfect.random_orientation()[0])) == (0.0, 0.25)


def test_bsd_does_not_depend_on_orientation_and_variance_does():
    rng = np.random.default_rng(3)
    strong, weak, truth = rng.random(500), rng.random(500), rng.integers(0, 2, 500)
    confidence = [np.maximum(p, 1 - p) for p in (strong, weak)]
    by_definition = np.mean(((strong > 0.5) != truth) & (confidence[0] >= 0.75) & (confidence[1] <= 0.75))
    chosen_first = [np.where(truth == 1, p, 1 - p) for p in (strong, weak)]
    assert blind_spot_deception(*chosen_first) == by_definition
    assert abs(np.var(np.sort(strong)) - np.var(np.sort(np.maximum(strong, 1 - strong)))) > 0.01


def test_bootstrapped_moments_have_the_values_of_the_plain_ones():
    rng = np.random.default_rng(4)
    weak, strong = rng.random((3, 60)), rng.random((3, 60))
    found = moment_stats(weak, strong, Resampler(np.arange(60) // 2, 300))
    plain = moments(weak, strong)
    for name in ("mean_weak", "var_strong", "cov", "misfit", "risk_strong", "residual", "correlation"):
        assert found[name].value == pytest.approx(float(getattr(plain, name)), **TIGHT)
        low, high = found[name].interval()
        assert low < found[name].value < high
    assert found["var_strong"].per_seed == pytest.approx(strong.var(axis=1), **TIGHT)
    assert found["slack_charikar"].value == pytest.approx(float(plain.bounds()["charikar"].slack), **TIGHT)


def test_variance_interval_covers():
    """Var of uniforms is 1/12: the 95 % interval holds it in near 95 of 100 samples of 200."""
    hits = 0
    for seed in range(100):
        p = np.random.default_rng(seed).random((1, 200))
        low, high = moment_stats(p, p, Resampler(np.arange(200), 200, seed))["var_strong"].interval()
        hits += low <= 1 / 12 <= high
    assert 87 <= hits <= 100


@pytest.mark.parametrize("bad", [-0.1, 1.2, np.nan])
def test_probabilities_outside_the_unit_interval(bad):
    with pytest.raises(W2SError, match=r"strong: .* is not a probability"):
        moments(np.array([0.5, 0.5]), np.array([0.5, bad]))
    with pytest.raises(W2SError, match="same items"):
        moments(np.array([0.5]), np.array([0.5, 0.5]))


def test_bsd_by_hand():
    """Strong: four sure errors, one unsure; weak on them: unsure, sure and right, sure and wrong, on the threshold."""
    strong = np.array([[0.1, 0.1, 0.1, 0.25, 0.4, 0.9]])
    weak = np.array([[0.55, 0.9, 0.1, 0.75, 0.5, 0.5]])
    found = blind_stats(strong, weak, Resampler(np.arange(6), 50))
    values = {name: stat.value for name, stat in found.items()}
    assert values["bsd"] == pytest.approx(2 / 6)
    assert values["bsd_cond"] == pytest.approx(2 / 4)
    assert values["elsewhere"] == pytest.approx(2 / 2)
    assert values["excess"] == pytest.approx(-0.5)
    assert [values[name] for name in OWNERS] == pytest.approx([1 / 4, 2 / 4, 1 / 4])
    soft = 0.8 * 0.9 + 0.8 * 0.2 + 0.8 * 0.2 + 0.5 * 0.5 + 0.2 * 1.0
    assert values["bsd_soft"] == pytest.approx(soft / 6)
    assert float(soft_deception(strong, weak).mean()) == pytest.approx(soft / 6)
    assert inheritance_counts(strong, weak, 0.75, 0.75) == dict(zip(OWNERS, (1, 2, 1), strict=True))
    counts = inheritance_counts(strong, weak)
    assert (sum(counts.values()), counts["blind_spot"]) == (4, 2)


def test_a_threshold_met_exactly_counts_whatever_the_logit_rounds_to():
    on_it = sigmoid(np.array([-np.log(3.0)]))
    assert blind_spot_deception(on_it, on_it) == 1.0


def test_grid_holds_every_threshold_and_agrees_with_bsd():
    rng = np.random.default_rng(5)
    strong, weak = rng.random((2, 300)), rng.random((2, 300))
    cells = threshold_grid(strong, weak)
    assert len(cells) == 8 * 5
    for cell in cells:
        assert cell.bsd == pytest.approx(blind_spot_deception(strong, weak, cell.t_strong, cell.t_weak))
        assert cell.bsd_cond * cell.uncertain == pytest.approx(cell.bsd * 600)
    assert all(cell.bsd_cond is None for cell in threshold_grid(strong, np.ones((2, 300))))


def test_law_of_total_variance():
    rng = np.random.default_rng(6)
    strong, weak = rng.random((4, 50)), rng.random((4, 50))
    both, own = total_covariance(strong, weak), total_covariance(strong, strong)
    assert own.total == pytest.approx(np.var(strong), **TIGHT)
    assert own.within == pytest.approx(strong.var(axis=0).mean(), **TIGHT)
    assert own.across == pytest.approx(strong.mean(axis=0).var(), **TIGHT)
    for parts in (both, own):
        assert parts.total == pytest.approx(parts.within + parts.across, **TIGHT)
    assert total_covariance(weak, weak[[0] * 4]).within == 0.0


def test_inherited_covariance_is_the_share_of_the_teachers_chance_that_is_copied():
    """s_k = .6 w_k + .4 c: within items the covariance is .6 of the teacher's variance."""
    rng = np.random.default_rng(7)
    weak = rng.random((3, 80))
    strong = 0.6 * weak + 0.4 * rng.random(80)
    assert total_covariance(strong, weak).within == pytest.approx(0.6 * total_covariance(weak, weak).within, **TIGHT)


def test_bregman_identity():
    rng = np.random.default_rng(8)
    target, logits = rng.random(60), rng.normal(0, 3, (5, 60))
    for found in (bregman_squared(target, sigmoid(logits)), bregman_kl(target, logits)):
        assert found.loss == pytest.approx(found.bias + found.variance, **TIGHT)
        assert found.variance > 0.01


def test_kl():
    p, q = np.array([0.3, 0.0, 1.0]), np.array([0.6, 0.2, 0.2])
    by_hand = [stats.entropy([a, 1 - a], [b, 1 - b]) for a, b in zip(p, q, strict=True)]
    assert bernoulli_kl(p, np.log(q / (1 - q))) == pytest.approx(by_hand, **TIGHT)
    assert np.isfinite(bernoulli_kl(np.array([0.0, 1.0]), np.array([800.0, -800.0]))).all()


def test_reverse_kl_fit_meets_the_inequality_and_its_reverse_breaks_it():
    """The projection of w on a constant by KL(s|w) is the sigmoid of the mean logit: f* constant is in the class."""
    rng = np.random.default_rng(9)
    weak = rng.normal(0.3, 1.5, (1, 400))
    target, strong = np.full_like(weak, 1.0), np.full_like(weak, weak.mean())
    draw = Resampler(np.arange(400), 50)
    found = reverse_kl(target, strong, weak, draw)
    f, s = sigmoid(target), sigmoid(strong)
    slack = np.mean(bernoulli_kl(f, weak) - bernoulli_kl(s, weak) - bernoulli_kl(f, strong))
    assert found["slack"].value == pytest.approx(slack, **TIGHT)
    assert found["slack"].value == pytest.approx(0, abs=1e-9)
    assert reverse_kl(target, -strong - 3, weak, draw)["slack"].value < -0.5
