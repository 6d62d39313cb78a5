"""Logistic regression: fits of many tables at once, and refits under thousands of resamples by one step each.

Newton's method, which for a logistic regression is iteratively reweighted least squares. At the fit of all rows the
gradient is zero; a resample's own fit, from its sums, is one step away, to second order in how far it moves.
"""

from __future__ import annotations

import numpy as np

from w2s_pref.core.arrays import Bools, Floats

#: Log-odds by which a step of a fit moves a row at most, but for rows that are saturated: a longer one overshoots.
_LOG_ODDS = 2.0
#: Steps of a fit at most, far above the usual handful.
_ITERATIONS = 200
#: Longest step of one coefficient of a standardised column when a resample is refitted.
STEP = 3.0
#: Log-odds beyond which a rate is 0 or 1 to float64's precision.
_SATURATED = 40.0


def expit(x: Floats) -> Floats:
    """Logistic function with rates that stay off 0 and 1, any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -_SATURATED, _SATURATED))))


def ridge(size: int, intercept: float, slopes: float) -> Floats:
    """(size, size) penalty of a fit, in units of one row's information; the first column is the intercept's."""
    return np.diag([intercept, *[slopes] * (size - 1)])


def fit(successes: Floats, trials: Floats, design: Floats, penalty: Floats, done: float) -> Floats:
    """(B, P) coefficients of binomial logistic regressions; those of several tables start from the fit of their mean.

    Args:
        successes, trials: (B, M) of each of M rows, some trials above 0.
        design: (M, P) shared columns, the first all 1.
        penalty: (P, P), see ``ridge``.
        done: a fit ends when no rate moves by more than a quarter of this.

    Raises:
        numpy.linalg.LinAlgError: without a ridge, columns that depend on each other, or outcomes that are separated.
    """
    start = np.zeros((1, design.shape[1]))
    share = (successes.sum() + 0.5) / (trials.sum() + 1.0)
    start[0, 0] = np.log(share / (1 - share))
    if len(successes) > 1:
        start = _newton(successes.mean(axis=0)[None], trials.mean(axis=0)[None], design, start, penalty, done)
    return _newton(successes, trials, design, np.repeat(start, len(successes), axis=0), penalty, done)


def _newton(successes: Floats, trials: Floats, design: Floats, beta: Floats, penalty: Floats, done: float) -> Floats:
    """(B, P) coefficients from (B, P) starting values; tables that are done are left alone."""
    rows, size = design.shape
    outer = (design[:, :, None] * design[:, None, :]).reshape(rows, size * size)
    open_ = np.arange(len(successes))
    for _ in range(_ITERATIONS):
        now, n = beta[open_], trials[open_]
        index = now @ design.T
        rate = expit(index)
        gradient = (successes[open_] - n * rate) @ design - now @ penalty
        hessian = ((n * rate * (1 - rate)) @ outer).reshape(-1, size, size) + penalty
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        shift = np.abs(step @ design.T)
        reach = np.where(np.abs(index) < _SATURATED, shift, 0.0).max(axis=1)
        beta[open_] = now + step * np.minimum(1.0, _LOG_ODDS / np.maximum(reach, 1e-12))[:, None]
        moved = shift * (4 * rate * (1 - rate))
        open_ = open_[moved.max(axis=1) > done]
        if not len(open_):
            break
    return beta


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
