"""Bias, variance, covariance, misfit and risk of two models on the same rows; bounds and divergences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from w2s_pref.analysis.stats.basics import divide, sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import PLAIN, Form, Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError

#: A slack above this counts as holding: a bound met exactly may come out a rounding error below 0.
ROUNDING = 1e-12


class Bound(NamedTuple):
    """An upper bound on the strong risk, and how far the risk is below it."""

    value: Floats
    slack: Floats


@dataclass(frozen=True)
class Moments:
    """Population moments (ddof 0) of p of the true answer under the weak model w and the strong model s; any shape."""

    mean_weak: Floats
    mean_strong: Floats
    var_weak: Floats
    var_strong: Floats
    cov: Floats

    @property
    def bias_weak(self) -> Floats:
        """E w - 1, signed: 0 where the mean is on the target, -1 where it is as far below as it can be."""
        return self.mean_weak - 1

    @property
    def bias_strong(self) -> Floats:
        """E s - 1."""
        return self.mean_strong - 1

    @property
    def misfit(self) -> Floats:
        """M = E (s - w)^2 = (mean s - mean w)^2 + Var s + Var w - 2 Cov."""
        return (self.mean_strong - self.mean_weak) ** 2 + self.var_strong + self.var_weak - 2 * self.cov

    @property
    def risk_weak(self) -> Floats:
        """R_w = E (w - 1)^2 = bias^2 + variance."""
        return self.bias_weak**2 + self.var_weak

    @property
    def risk_strong(self) -> Floats:
        """R_s = E (s - 1)^2 = bias^2 + variance."""
        return self.bias_strong**2 + self.var_strong

    @property
    def residual(self) -> Floats:
        """E (s - w)(s - 1); the link R_s = R_w - M + 2 residual makes its sign decide Charikar's bound."""
        return self.var_strong - self.cov + (self.mean_strong - self.mean_weak) * self.bias_strong

    @property
    def correlation(self) -> Floats:
        """Cov / (sd w * sd s), NaN where either is constant."""
        return divide(self.cov, np.sqrt(self.var_weak * self.var_strong))

    def bounds(self) -> dict[str, Bound]:
        """Bounds on R_s: triangle 2 R_w + 2 M and minkowski (sqrt R_w + sqrt M)^2 always hold, charikar R_w - M
        exactly where the residual is at most 0 (Charikar et al. 2024)."""
        weak, misfit = self.risk_weak, np.maximum(self.misfit, 0.0)
        values = {
            "triangle": 2 * weak + 2 * misfit,
            "minkowski": (np.sqrt(weak) + np.sqrt(misfit)) ** 2,
            "charikar": weak - misfit,
        }
        return {name: Bound(value, value - self.risk_strong) for name, value in values.items()}

    def random_orientation(self) -> tuple[Floats, Floats]:
        """(Var s, Cov) where every pair is turned round by a fair coin, in closed form: the moments about one half.

        A turned pair has 1 - s and 1 - w, so both means become 1/2, Var = E (s - 1/2)^2 and
        Cov = E (s - 1/2)(w - 1/2). A perfect, sure model has Var 0 chosen-first and .25 here.
        """
        weak, strong = self.mean_weak - 0.5, self.mean_strong - 0.5
        return self.var_strong + strong**2, self.cov + weak * strong


def check_probabilities(p: Floats, name: str) -> None:
    """Raise a W2SError where a probability is not a number from 0 to 1."""
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        value = float(p[bad].flat[0])
        raise W2SError(f"{name}: {value} is not a probability ({int(bad.sum())} such values); give p from 0 to 1.")


def moments(weak: Floats, strong: Floats) -> Moments:
    """Moments over all entries of two arrays of one shape, p of the true answer.

    Raises:
        W2SError: no entries, different shapes, or a value outside [0, 1].
    """
    if weak.shape != strong.shape or weak.size == 0:
        raise W2SError(f"weak has shape {weak.shape}, strong {strong.shape}; give both the same items, at least one.")
    check_probabilities(weak, "weak")
    check_probabilities(strong, "strong")
    means = np.asarray(weak.mean()), np.asarray(strong.mean())
    w, s = weak - means[0], strong - means[1]
    return Moments(*means, np.asarray(np.mean(w * w)), np.asarray(np.mean(s * s)), np.asarray(np.mean(w * s)))


#: name -> (statistic of the moments, least value, greatest value)
MEASURES: dict[str, tuple[Callable[[Moments], Floats], float, float]] = {
    "mean_weak": (lambda m: m.mean_weak, 0, 1),
    "mean_strong": (lambda m: m.mean_strong, 0, 1),
    "var_weak": (lambda m: m.var_weak, 0, 0.25),
    "var_strong": (lambda m: m.var_strong, 0, 0.25),
    "cov": (lambda m: m.cov, -0.25, 0.25),
    "correlation": (lambda m: m.correlation, -1, 1),
    "bias_weak": (lambda m: m.bias_weak, -1, 0),
    "bias_strong": (lambda m: m.bias_strong, -1, 0),
    "misfit": (lambda m: m.misfit, 0, 1),
    "risk_weak": (lambda m: m.risk_weak, 0, 1),
    "risk_strong": (lambda m: m.risk_strong, 0, 1),
    "residual": (lambda m: m.residual, -1, 1),
    "slack_triangle": (lambda m: m.bounds()["triangle"].slack, -np.inf, np.inf),
    "slack_minkowski": (lambda m: m.bounds()["minkowski"].slack, -np.inf, np.inf),
    "slack_charikar": (lambda m: m.bounds()["charikar"].slack, -np.inf, np.inf),
    "random_var_strong": (lambda m: m.random_orientation()[0], 0, 0.25),
    "random_cov": (lambda m: m.random_orientation()[1], -0.25, 0.25),
}


def moment_stats(weak: Floats, strong: Floats, draw: Resampler) -> dict[str, Stat]:
    """Every entry of ``MEASURES`` with its bootstrap, from p of shape (K, N); seeds pooled."""
    found = moments(weak, strong)
    w, s = weak - found.mean_weak, strong - found.mean_strong
    sums = draw.sums(np.stack([np.ones_like(w), w, s, w * w, s * s, w * s], axis=-1))

    def statistics(table: Floats) -> tuple[Floats, ...]:
        at = _from_sums(table, found)
        return tuple(np.asarray(function(at)) for function, _, _ in MEASURES.values())

    stats = sums.stats(statistics, [Form(low, high) for _, low, high in MEASURES.values()])
    return dict(zip(MEASURES, stats, strict=True))


def _from_sums(table: Floats, centre: Moments) -> Moments:
    """Moments from sums (..., 6) of values centred at ``centre``'s means, so that nothing cancels."""
    w, s, ww, ss, ws = (divide(table[..., i], table[..., 0]) for i in range(1, 6))
    var_weak, var_strong = np.maximum(ww - w * w, 0.0), np.maximum(ss - s * s, 0.0)
    return Moments(centre.mean_weak + w, centre.mean_strong + s, var_weak, var_strong, ws - w * s)


KL_TERMS = ("kl_target_strong", "kl_target_weak", "kl_strong_weak")


def bernoulli_kl(p: Floats, logit: Floats) -> Floats:
    """KL(p || sigmoid(logit)) in nats, entry by entry; finite for every p in [0, 1] and every finite logit."""
    from scipy.special import xlogy  # a tenth of what a plan would import, which computes no divergence

    cross = p * np.logaddexp(0.0, -logit) + (1 - p) * np.logaddexp(0.0, logit)
    return np.asarray(xlogy(p, p) + xlogy(1 - p, 1 - p) + cross, dtype=np.float64)


def reverse_kl(target: Floats, strong: Floats, weak: Floats, draw: Resampler) -> dict[str, Stat]:
    """KL(f* || s) <= KL(f* || w) - KL(s || w), which holds for a convex class and a reverse-KL fit.

    Args:
        target, strong, weak: logits (K, N) of f* (the ceiling), the strong and the weak model.

    Returns:
        Means of the three ``KL_TERMS`` in nats, and ``slack``, the right side minus the left.
    """
    f, s = sigmoid(target), sigmoid(strong)
    terms = (bernoulli_kl(f, strong), bernoulli_kl(f, weak), bernoulli_kl(s, weak))
    stats = {name: draw.mean(term, form=Form(0.0)) for name, term in zip(KL_TERMS, terms, strict=True)}
    return {**stats, "slack": draw.mean(terms[1] - terms[2] - terms[0], form=PLAIN)}


class TotalVariance(NamedTuple):
    """total = within + across, exactly.

    Attributes:
        total: variance (or covariance) over rows, items and seeds together.
        within: mean over items of the variance over seeds: what retraining changes.
        across: variance over items of the mean over seeds: what differs between items.
    """

    total: float
    within: float
    across: float


class Bregman(NamedTuple):
    """loss = bias + variance, exactly; the mean over items of E_k D(y, f_k) = D(y, f) + E_k D(f, f_k)."""

    loss: float
    bias: float
    variance: float


def total_covariance(strong: Floats, weak: Floats) -> TotalVariance:
    """Cov_{x,k}(s, w) = E_x Cov_k(s_k, w_k) + Cov_x(E_k s, E_k w), arrays (K, N), all with ddof 0.

    ``within`` over teacher seeds is the inherited covariance: how much of a teacher's run-to-run chance its own student
    repeats. With K seeds it is (K - 1) / K times the unbiased estimate. ``total_covariance(s, s)`` is the law of total
    variance.
    """
    means = strong.mean(axis=0), weak.mean(axis=0)
    within = float(np.mean((strong - means[0]) * (weak - means[1])))
    across = float(np.mean((means[0] - means[0].mean()) * (means[1] - means[1].mean())))
    total = float(np.mean((strong - strong.mean()) * (weak - weak.mean())))
    return TotalVariance(total, within, across)


def bregman_squared(target: Floats, teachers: Floats) -> Bregman:
    """Squared loss; the dual mean of the teachers is their mean. target (N,), teachers (K, N), both probabilities."""
    centre = teachers.mean(axis=0)
    loss = float(np.mean((target - teachers) ** 2))
    return Bregman(loss, float(np.mean((target - centre) ** 2)), float(np.mean((centre - teachers) ** 2)))


def bregman_kl(target: Floats, logits: Floats) -> Bregman:
    """Binary KL; the dual mean is the sigmoid of the mean logit. target (N,) probabilities, logits (K, N)."""
    centre = logits.mean(axis=0)
    loss = float(np.mean(bernoulli_kl(np.broadcast_to(target, logits.shape), logits)))
    variance = float(np.mean(bernoulli_kl(np.broadcast_to(sigmoid(centre), logits.shape), logits)))
    return Bregman(loss, float(np.mean(bernoulli_kl(target, centre))), variance)
