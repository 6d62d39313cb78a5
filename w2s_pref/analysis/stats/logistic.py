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
    odds = np.clip(-x, -_SATURATED, _SATURATED)
    np.exp(odds, out=odds)
    odds += 1.0
    return np.divide(1.0, odds, out=odds)


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
        expected, kept = n * rate, 1 - rate
        gradient = (successes[open_] - expected) @ design - now @ penalty
        hessian = ((expected * kept) @ outer).reshape(-1, size, size) + penalty
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        shift = np.abs(step @ design.T)
        moved = shift * (4 * rate * kept)
        if shift.max() > _LOG_ODDS:
            reach = np.where(np.abs(index) < _SATURATED, shift, 0.0).max(axis=1)
            step *= np.minimum(1.0, _LOG_ODDS / np.maximum(reach, 1e-12))[:, None]
        beta[open_] = now + step
        open_ = open_[moved.max(axis=1) > done]
        if not len(open_):
            break
    return beta


def products(design: Floats) -> Floats:
    """(K, N, P(P+1)/2) every column of the (K, N, P) design times itself and those that follow."""
    upper = np.triu_indices(design.shape[-1])
    return np.asarray(design[..., upper[0]] * design[..., upper[1]])


def information(design: Floats, squares: Floats, rows: Bools, flip: Bools, index: Floats) -> Floats:
    """(K, N, P + P(P+1)/2) a row's gradient and the upper triangle of its information; 0 for rows left out.

    Args:
        design: (K, N, P); squares: its ``products``.
        rows: (K, N) those that are fitted.
        flip: (K, N) the outcome; index: (K, N) its fitted log-odds.
    """
    rate = expit(index)
    residual = np.where(rows, flip - rate, 0.0)
    weight = np.where(rows, rate * (1 - rate), 0.0)
    return np.concatenate([design * residual[..., None], squares * weight[..., None]], axis=-1)


def updated(beta: Floats, sums: Floats, penalty: Floats) -> Floats:
    """(B, P) one Newton step from ``beta`` for each row of sums (B, P + P(P+1)/2); NaN where the step does not exist.

    Args:
        penalty: (P, P) ridge of the fit that ``beta`` is of.
    """
    size = len(beta)
    place, upper = np.empty((size, size), dtype=np.int64), np.triu_indices(size)
    place[upper] = place.T[upper] = np.arange(size, sums.shape[1])
    matrix = sums[:, place] + penalty
    gradient = (sums[:, :size] - penalty @ beta)[:, :, None]
    there = np.isfinite(matrix).all(axis=(1, 2))
    if not penalty.any():  # a ridge leaves no direction without information
        there &= np.linalg.matrix_rank(matrix, hermitian=True) == size
    found = np.full((len(sums), size), np.nan)
    step = np.linalg.solve(matrix[there], gradient[there])[:, :, 0]
    found[there] = beta + np.clip(step, -STEP, STEP)
    return found
