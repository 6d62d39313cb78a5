"""Adjusted lift: the flip rate of the controls is explained by margin *and* ceiling score, not by margin alone.

Matching on the margin alone calls flips selective that depend on what the reference's margin measures badly: true
difficulty, or the strong model's confidence. Here a ridge logistic regression of flip on the controls makes a linear
index of the margin and the ceiling's score; the index takes the margin's place in the smooth lift.

Inside a resample the covariates, their knots and the bins stay; the coefficients are refitted by one Newton step from
those of all rows, and move the centre of every bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s_pref.analysis.deception import lift as lifts
from w2s_pref.analysis.stats.bootstrap import PLAIN, Resampler, Stat
from w2s_pref.core.arrays import Bools, Floats, Ints

#: Scores beyond this many log-odds say no more.
CLIP = 8.0
#: Ridge on all coefficients but the intercept, on standardised columns: .5 rows' worth of information.
RIDGE = 0.5
_INTERCEPT_RIDGE = 1e-6
_DONE, _ITERATIONS, _STEP = 1e-8, 50, 3.0


def covariates(margin: Floats, ceiling: Floats, eligible: Bools) -> Floats:
    """(K, N, P) columns of the regression: 1, margin and ceiling score, each with a hinge at its median.

    Scores are clipped at +-8 log-odds and standardised over the eligible rows. With several seeds both scores' means
    over seeds, with their hinges, stand beside them: what all seeds share measures difficulty better.

    Args:
        margin: (K, N) the reference's score gap over its temperature.
        ceiling: (K, N) the large ceiling's.
        eligible: (K, N) rows the reference gets right.
    """
    scores = [np.clip(margin, -CLIP, CLIP), np.clip(ceiling, -CLIP, CLIP)]
    if len(margin) > 1:
        scores += [np.broadcast_to(each.mean(axis=0), each.shape) for each in scores[:2]]
    columns = [np.ones(margin.shape)]
    for score in scores:
        inside = score[eligible]
        spread = inside.std() if len(inside) else 0.0
        if spread > 0:
            standard = (score - inside.mean()) / spread
            columns += [standard, np.maximum(standard - np.median(standard[eligible]), 0.0)]
    return np.stack(columns, axis=-1)


def fitted_index(design: Floats, controls: Bools, flip: Bools) -> Floats:
    """(K, N) log-odds of a flip for every row, as the controls' regression gives them."""
    return np.asarray(design @ _fit(design[controls], flip[controls].astype(np.float64)))


@dataclass(frozen=True)
class Expected:
    """Flips of the treated, and flips expected of them.

    Attributes:
        flips, expected: with their resamples; ``expected`` is NaN without controls.
    """

    flips: Stat
    expected: Stat


def expected_flips(
    design: Floats,
    treated: Bools,
    eligible: Bools,
    flip: Bools,
    draw: Resampler,
    bins: int,
    lowered: Floats | None = None,
) -> Expected:
    """Flips of the treated eligible rows against what the other eligible rows' index explains.

    Args:
        design: (K, N, P), see ``covariates``.
        treated, eligible, flip: (K, N).
        bins: quantile bins of the index, each cut in ``lift.FINE``.
        lowered: (K, K) weights of the seeds where one is lowered, see ``bootstrap.Sums``.
    """
    controls, inside = eligible & ~treated, eligible & treated
    beta = _fit(design[controls], flip[controls].astype(np.float64))
    index = design @ beta
    fine, _ = lifts.margin_bins(index, eligible, bins)
    places = _Places(design, beta, fine, controls, inside, bins * lifts.FINE)
    counts = draw.counts(lifts.categories(fine, treated, flip), bins * lifts.FINE * lifts.CELL_COLUMNS)
    sums = counts.join(draw.sums(_information(design, controls, flip, index)))
    sums = sums if lowered is None else sums.lowered_by(lowered)

    def statistics(table: Floats) -> tuple[Floats, ...]:
        lead, width = table.shape[:-1], bins * lifts.FINE * lifts.CELL_COLUMNS
        flat = table.reshape(-1, table.shape[-1])
        cells = flat[:, :width].reshape(len(flat), -1, lifts.CELL_COLUMNS)
        own, other = places.at(_updated(beta, flat[:, width:]))
        trials, there = cells[:, :, 0] + cells[:, :, 1], cells[:, :, 2] + cells[:, :, 3]
        expected = lifts.expected_flips(cells[:, :, 1], trials, there, own, other)
        return cells[:, :, 3].sum(axis=1).reshape(lead), expected.reshape(lead)

    return Expected(*sums.stats(statistics, [PLAIN, PLAIN]))


class _Places:
    """Where controls and treated rows of each bin stand on the index, for any coefficients; knots are ``beta``'s."""

    def __init__(self, design: Floats, beta: Floats, fine: Ints, controls: Bools, inside: Bools, bins: int) -> None:
        self.means = [_bin_means(design[rows], fine[rows], bins) for rows in (controls, inside)]
        used = fine >= 0
        sizes = np.bincount(fine[used], minlength=bins).astype(np.float64)
        self.spline = lifts.Spline(_bin_means(design[used], fine[used], bins) @ beta, sizes)

    def at(self, betas: Floats) -> tuple[Floats, Floats]:
        """(B, P) coefficients to the spline (B, M, Q) at the controls' and at the treated rows' places."""
        own, other = (self.spline(betas @ means.T) for means in self.means)
        return own, other


def _bin_means(design: Floats, fine: Ints, bins: int) -> Floats:
    """(bins, P) mean covariates of the rows in each bin, 0 where there are none."""
    sizes = np.bincount(fine, minlength=bins)
    totals = np.stack([np.bincount(fine, weights=column, minlength=bins) for column in design.T], axis=-1)
    return np.asarray(totals / np.maximum(sizes, 1)[:, None])


def _information(design: Floats, controls: Bools, flip: Bools, index: Floats) -> Floats:
    """(K, N, P + P(P+1)/2) a control's gradient and the upper triangle of its information; 0 for other rows."""
    rate = lifts.expit(index)
    residual = np.where(controls, flip - rate, 0.0)
    weight = np.where(controls, rate * (1 - rate), 0.0)
    upper = np.triu_indices(design.shape[-1])
    outer = design[..., upper[0]] * design[..., upper[1]]
    return np.concatenate([design * residual[..., None], outer * weight[..., None]], axis=-1)


def _updated(beta: Floats, sums: Floats) -> Floats:
    """(B, P) one Newton step from ``beta`` for each row of sums (B, P + P(P+1)/2)."""
    size = len(beta)
    upper = np.triu_indices(size)
    information = np.zeros((len(sums), size, size))
    information[:, upper[0], upper[1]] = information[:, upper[1], upper[0]] = sums[:, size:]
    penalty = _penalty(size)
    step = np.linalg.solve(information + penalty, (sums[:, :size] - penalty @ beta)[:, :, None])[:, :, 0]
    return np.asarray(beta + np.clip(step, -_STEP, _STEP))


def _penalty(size: int) -> Floats:
    penalty = RIDGE * np.eye(size)
    penalty[0, 0] = _INTERCEPT_RIDGE
    return penalty


def _fit(design: Floats, flip: Floats) -> Floats:
    """(P,) ridge logistic regression by Newton's method; zeros where there are no rows."""
    size = design.shape[-1]
    beta, penalty = np.zeros(size), _penalty(size)
    if not len(flip):
        return beta
    share = (flip.sum() + 0.5) / (len(flip) + 1.0)
    beta[0] = np.log(share / (1 - share))
    for _ in range(_ITERATIONS):
        rate = lifts.expit(design @ beta)
        information = (design * (rate * (1 - rate))[:, None]).T @ design + penalty
        step = np.clip(np.linalg.solve(information, design.T @ (flip - rate) - penalty @ beta), -_STEP, _STEP)
        beta = beta + step
        if np.abs(step).max() < _DONE:
            break
    return beta
