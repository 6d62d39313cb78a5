"""KL between Bernoulli predictions, and the reverse-KL misfit inequality (Mulgund and Pabbaraju 2025)."""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler, Stat
from w2s_pref.core.arrays import Floats

KL_TERMS = ("kl_target_strong", "kl_target_weak", "kl_strong_weak")


def bernoulli_kl(p: Floats, logit: Floats) -> Floats:
    """KL(p || sigmoid(logit)) in nats, entry by entry; finite for every p in [0, 1] and every finite logit."""
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
    stats = {name: draw.mean(term, low=0.0, high=np.inf) for name, term in zip(KL_TERMS, terms, strict=True)}
    return {**stats, "slack": draw.mean(terms[1] - terms[2] - terms[0], low=-np.inf, high=np.inf)}
