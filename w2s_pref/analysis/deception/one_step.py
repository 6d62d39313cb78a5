"""Refit a logistic regression under thousands of resamples by one Newton step each, from sums.

At the fit of all rows the gradient is zero; a resample's own fit is one step away, to second order in how far it moves.
"""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.deception.lift import expit
from w2s_pref.core.arrays import Bools, Floats

#: Longest step of one coefficient of a standardised column.
STEP = 3.0


def information(design: Floats, rows: Bools, flip: Bools, index: Floats) -> Floats:
    """(K, N, P + P(P+1)/2) a row's gradient and the upper triangle of its information; 0 for rows left out.

    Args:
        design: (K, N, P); rows: (K, N) those that are fitted.
        flip: (K, N) the outcome; index: (K, N) its fitted log-odds.
    """
    rate = expit(index)
    residual = np.where(rows, flip - rate, 0.0)
    weight = np.where(rows, rate * (1 - rate), 0.0)
    upper = np.triu_indices(design.shape[-1])
    outer = design[..., upper[0]] * design[..., upper[1]]
    return np.concatenate([design * residual[..., None], outer * weight[..., None]], axis=-1)


def updated(beta: Floats, sums: Floats, penalty: Floats) -> Floats:
    """(B, P) one Newton step from ``beta`` for each row of sums (B, P + P(P+1)/2); NaN where the step does not exist.

    Args:
        penalty: (P, P) ridge of the fit that ``beta`` is of.
    """
    size = len(beta)
    upper = np.triu_indices(size)
    matrix = np.zeros((len(sums), size, size))
    matrix[:, upper[0], upper[1]] = matrix[:, upper[1], upper[0]] = sums[:, size:]
    gradient = (sums[:, :size] - penalty @ beta)[:, :, None]
    matrix += penalty
    there = np.isfinite(matrix).all(axis=(1, 2))
    if not penalty.any():  # a ridge leaves no direction without information
        there &= np.linalg.matrix_rank(matrix) == size
    found = np.full((len(sums), size), np.nan)
    step = np.linalg.solve(matrix[there], gradient[there])[:, :, 0]
    found[there] = beta + np.clip(step, -STEP, STEP)
    return found
