"""What can be read off the two models' scores on a probe set, without labels and with them.

Var(s) and Cov(s, w) depend on which answer of a pair comes first. Chosen-first needs labels, and the neutral order of
the tables is a coin flip, under which a sure model has Var .25 whatever it is sure of. So without labels each pair is
turned such that the weak model prefers the first answer (``var``, ``cov``): Var(s) is then 0 for a strong model that is
sure of all the weak model prefers, and grows where it departs from it. With labels the chosen-first moments stand
beside them (``var_true``, ``cov_true``). All other signals are the same in every order.
"""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.risk.blind_spot import EDGE, blind_spot_deception, confidence, uncertain
from w2s_pref.analysis.risk.moments import moments
from w2s_pref.analysis.scores.calibration import confidence_bin
from w2s_pref.analysis.stats.basics import credit, sigmoid
from w2s_pref.core.arrays import Bools, Floats

#: Signals that need no labels.
LABEL_FREE = (
    "var", "var_se", "var_spot", "var_unit", "spread", "confidence", "cov", "misfit", "disagreement", "spot_share",
)  # fmt: skip
#: Signals that need the truth of the probe pairs.
LABELLED = ("var_true", "var_true_se", "var_true_spot", "cov_true", "risk", "bsd", "ece", "residual", "accuracy", "nll")
#: Undefined where the weak model is never uncertain.
BLIND = ("var_spot", "var_true_spot", "spot_share")

BINS = 10


def variance_error(x: Floats) -> float:
    """SE of the population variance of N independent values: sqrt((m4 - Var^2) / N), m4 the fourth central moment."""
    centred = x - x.mean()
    return float(np.sqrt(max(0.0, np.mean(centred**4) - np.mean(centred**2) ** 2) / len(x)))


def expected_calibration_error(p: Floats) -> float:
    """ECE of max(p, 1 - p) in equal-width bins of [.5, 1]; p (N,) of the true answer, a tie is half right."""
    place, sure = confidence_bin(confidence(p), BINS), confidence(p)
    gaps = np.bincount(place, weights=credit(p - 0.5) - sure, minlength=BINS)
    return float(np.abs(gaps).sum() / len(p))


def signals(
    margin: Floats, weak: Floats, truth: Floats | None = None, t_strong: float = 0.75, t_weak: float = 0.75
) -> dict[str, float]:
    """Every signal of one look at the strong model.

    Args:
        margin: (N,) strong score of ``a`` minus that of ``b``, over its temperature: s = sigmoid(margin).
        weak: (N,) the weak model's probability that ``a`` is preferred, in [0, 1].
        truth: (N,) 1 where ``a`` is the true answer, else 0; None where it is not known.
        t_strong, t_weak: thresholds of blind-spot deception, in [.5, 1].

    Returns:
        ``LABEL_FREE``, and ``LABELLED`` where ``truth`` is given; NaN where undefined.
            var, var_se: Var(s) weak-first and its standard error. var_spot: the same in the blind spot.
            var_unit: Var of sigmoid(margin / rms of the margins), weak-first: what is left of ``var`` at one scale.
            spread: root mean square of the margins, in nats. confidence: mean max(s, 1 - s). cov: Cov(s, w) weak-first.
            misfit: E(s - w)^2. disagreement: share of pairs that the two order differently.
            spot_share: share of pairs with the weak model uncertain and the strong one sure; BSD is at most this.
            risk: E(s - y)^2, which is the Brier score. bsd, ece, accuracy: as the analyses define them.
            residual: E[(s - w)(s - y)]. nll: mean -log s of the true answer, in nats.

    Raises:
        W2SError: a probability outside [0, 1].
    """
    strong = sigmoid(margin)
    blind = uncertain(weak, t_weak)
    first = np.where(weak >= 0.5, 1.0, -1.0)
    found = _oriented(margin, weak, first, blind, "")
    scale = float(np.sqrt(np.mean(margin**2)))
    sure = confidence(strong) >= t_strong - EDGE
    found |= {
        "var_unit": float(np.var(sigmoid(first * margin / scale))) if scale > 0 else float("nan"),
        "spread": scale,
        "confidence": float(confidence(strong).mean()),
        "misfit": float(np.mean((strong - weak) ** 2)),
        "disagreement": float(np.mean((strong - 0.5) * (weak - 0.5) < 0)),
        "spot_share": float(np.mean(sure & blind)) if blind.any() else float("nan"),
    }
    if truth is not None:
        sign = 2 * np.asarray(truth, dtype=np.float64) - 1
        found |= _oriented(margin, weak, sign, blind, "_true") | _judged(margin, weak, sign, t_strong, t_weak)
    order = LABEL_FREE if truth is None else LABEL_FREE + LABELLED
    return {name: found[name] for name in order}


def _oriented(margin: Floats, weak: Floats, sign: Floats, blind: Bools, suffix: str) -> dict[str, float]:
    """Var(s), its error, Var(s) in the blind spot and Cov(s, w), pairs turned where ``sign`` is -1."""
    strong, other = sigmoid(sign * margin), np.where(sign > 0, weak, 1 - weak)
    both = moments(other, strong)
    return {
        f"var{suffix}": float(both.var_strong),
        f"var{suffix}_se": variance_error(strong),
        f"var{suffix}_spot": float(np.var(strong[blind])) if blind.any() else float("nan"),
        f"cov{suffix}": float(both.cov),
    }


def _judged(margin: Floats, weak: Floats, sign: Floats, t_strong: float, t_weak: float) -> dict[str, float]:
    strong, other = sigmoid(sign * margin), np.where(sign > 0, weak, 1 - weak)
    both = moments(other, strong)
    return {
        "risk": float(both.risk_strong),
        "bsd": blind_spot_deception(strong, other, t_strong, t_weak),
        "ece": expected_calibration_error(strong),
        "residual": float(both.residual),
        "accuracy": float(credit(sign * margin).mean()),
        "nll": float(np.logaddexp(0.0, -sign * margin).mean()),
    }
