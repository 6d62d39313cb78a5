"""Threshold-free view: logistic regression of flip on p_s, p_w, margin and p_s (1 - p_w), errors clustered by group."""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.stats.basics import number
from w2s_pref.core.arrays import Floats, Ints

NAMES = ("intercept", "p_strong", "p_weak", "margin", "p_strong*(1-p_weak)")
_Z = 1.959963984540054
_MAX_LOG_ODDS = 200.0
_MAX_MARGIN = 1e100


def flip_regression(
    p_strong: Floats, p_weak: Floats, margin: Floats, flip: Floats, groups: Ints
) -> list[dict[str, object]]:
    """Log-odds coefficients of a flip among the eligible rows, maximum likelihood.

    Args:
        p_strong, p_weak: (R,) probability of the true answer by the ceilings.
        margin: (R,) reference score gap over its temperature.
        flip: (R,) 1 where the student is wrong.
        groups: (R,) group codes; intervals are 1.96 cluster-robust standard errors (a row's other seeds belong to its
            group, so seeds add no independent rows).

    Returns:
        ``{name, estimate, interval}`` for each of ``NAMES``; all null where the fit does not exist (no flips, only
        flips, perfect separation, margins beyond 1e100, or a column that is a combination of the others).
    """
    undefined: list[dict[str, object]] = [{"name": name, "estimate": None, "interval": None} for name in NAMES]
    if len(flip) < 2 * len(NAMES) or flip.min() == flip.max():
        return undefined
    design = np.column_stack([np.ones_like(margin), p_strong, p_weak, margin, p_strong * (1 - p_weak)])
    if np.abs(margin).max() > _MAX_MARGIN:
        return undefined
    scale = np.where(design.std(axis=0) > 0, design.std(axis=0), 1.0)
    scale[0] = 1.0
    fit = _logit(design / scale, flip)
    if fit is None:
        return undefined
    weights, inverse = fit
    residual = flip - _rate(design / scale, weights)
    scores = np.zeros((int(groups.max()) + 1, len(NAMES)))
    np.add.at(scores, groups, residual[:, None] * design / scale)
    clusters = len(np.unique(groups))
    covariance = inverse @ (scores.T @ scores) @ inverse * clusters / max(clusters - 1, 1)
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0)) / scale
    estimate = weights / scale
    return [
        {"name": n, "estimate": number(b), "interval": [float(b - _Z * e), float(b + _Z * e)]}
        for n, b, e in zip(NAMES, estimate, error, strict=True)
    ]


def _rate(design: Floats, weights: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(design @ weights, -40.0, 40.0))))


def _logit(design: Floats, outcome: Floats) -> tuple[Floats, Floats] | None:
    """Newton's method; (weights, inverse information), or None where it does not converge to a finite optimum."""
    weights = np.zeros(design.shape[1])
    for _ in range(60):
        rate = _rate(design, weights)
        information = (design * (rate * (1 - rate))[:, None]).T @ design
        if np.linalg.cond(information) > 1e12:
            return None
        step = np.linalg.solve(information, design.T @ (outcome - rate))
        weights = weights + np.clip(step, -3.0, 3.0)
        if np.abs(weights).max() > _MAX_LOG_ODDS:
            return None
        if np.abs(step).max() < 1e-8:
            return np.asarray(weights, dtype=np.float64), np.asarray(np.linalg.inv(information), dtype=np.float64)
    return None
