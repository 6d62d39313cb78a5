"""Examples against seeds: the laws of total variance and covariance, and Bregman's decomposition over teachers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from w2s_pref.analysis.risk.divergence import bernoulli_kl
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Floats


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
