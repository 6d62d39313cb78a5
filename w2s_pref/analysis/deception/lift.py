"""Margin-matched lift: do items flip more often in the blind spot than items of the same margin elsewhere?

Eligible items are those the reference gets right; treated are the eligible items in S_k and W_uk, controls all the
other eligible ones. Rows are counted in fine quantile bins of the margin (four to each of the ten bins of the reported
lift), so that one table of counts serves the binned lift, the smooth lift, DS, its null share and the risk ratio.
"""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.logistic import expit, fit, ridge
from w2s_pref.core.arrays import Bools, Floats, Ints

#: Fine bins inside each bin of the binned lift.
FINE = 4
#: Columns of a fine bin: [control kept, control flipped, treated kept, treated flipped].
CELL_COLUMNS = 4
#: Expected flips below which the smooth lift is undefined.
LEAST_EXPECTED = 1.0
#: Flips added above and below a ratio whose interval is made on the log scale.
HALF = 0.5
#: Quantiles of the margin where the spline has its knots: spread evenly, and off the ends, where rows are few.
_KNOTS = (0.1, 0.4, 0.65, 0.9)
#: Ridge on the slopes, in units of one row: too weak to bend a fit of hundreds of rows, enough to keep one finite whose
#: controls are separated. The intercept's only keeps the matrix invertible.
_RIDGE, _INTERCEPT_RIDGE = 0.02, 1e-9
#: A fit is done when no rate moves by more than 1/4 of this.
_DONE = 1e-3
#: Directions of the spline's basis shorter than this share of the longest are linear combinations of the others.
_DEPENDENT = 1e-6


def margin_bins(margin: Floats, eligible: Bools, bins: int = 10) -> tuple[Ints, Floats]:
    """Fine quantile bins of the eligible rows' margins, all seeds pooled.

    Bin edges are linear-interpolated quantiles; a margin equal to an edge belongs to the bin above it. Fine bin // 4 is
    the bin of the reported lift.

    Args:
        margin: (K, N) reference score gap.
        eligible: (K, N) rows the reference gets right.

    Returns:
        (K, N) fine bin of every row, -1 where not eligible, and (bins * 4,) mean margin of the eligible rows in each
        fine bin (0 where empty).
    """
    count = bins * FINE
    out = np.full(margin.shape, -1, dtype=np.int64)
    inside = margin[eligible]
    if not len(inside):
        return out, np.zeros(count)
    edges = np.quantile(inside, np.linspace(0, 1, count + 1))
    edges[::FINE] = np.quantile(inside, np.linspace(0, 1, bins + 1))
    edges = edges[1:-1]
    fine = np.searchsorted(edges, inside, side="right").astype(np.int64)
    out[eligible] = fine
    totals = np.bincount(fine, weights=inside, minlength=count)
    sizes = np.bincount(fine, minlength=count)
    return out, np.where(sizes > 0, totals / np.maximum(sizes, 1), 0.0)


def categories(fine: Ints, treated: Bools, flip: Bools) -> Ints:
    """(K, N) column of every row in the count table (see ``CELL_COLUMNS``), -1 where not eligible."""
    return np.where(fine < 0, -1, fine * CELL_COLUMNS + 2 * treated + flip)


def coarse(counts: Floats) -> Floats:
    """(..., fine bins * 4) counts to (..., bins, 4)."""
    fine = counts.reshape(*counts.shape[:-1], -1, FINE, CELL_COLUMNS)
    return np.asarray(sum(fine[..., number, :] for number in range(FINE)))  # three times as fast as ``sum(axis=-2)``


def rows_by_kind(counts: Floats) -> Floats:
    """(..., fine bins * 4) counts to (..., 4), over all bins."""
    return np.asarray(coarse(counts).sum(axis=-2))


def score(rows: Floats) -> Floats:
    """DS = |CT in the cell| / |CT| (Yang et al. 2024) of (..., 4) rows; undefined where there is no tax."""
    return divide(rows[..., 3], rows[..., 3] + rows[..., 1])


def null_share(rows: Floats) -> Floats:
    """DS_0: share of the cell among the items the reference gets right; undefined where it gets none right."""
    return divide(rows[..., 2] + rows[..., 3], rows.sum(axis=-1))


def risk_ratio(rows: Floats) -> Floats:
    """P(flip | cell) / P(flip | rest) among eligible items; undefined where the rest never flips or a part is empty."""
    inside = divide(rows[..., 3], rows[..., 2] + rows[..., 3])
    outside = divide(rows[..., 1], rows[..., 0] + rows[..., 1])
    return divide(inside, outside)


def stable_risk_ratio(rows: Floats) -> Floats:
    """The risk ratio with half a flip, and half a row that does not flip, added to both rates."""
    inside = (rows[..., 3] + HALF) / (rows[..., 2] + rows[..., 3] + 2 * HALF)
    outside = (rows[..., 1] + HALF) / (rows[..., 0] + rows[..., 1] + 2 * HALF)
    return np.asarray(inside / outside)


def binned_lift(counts: Floats) -> Floats:
    """Flips among the treated / expected flips, over bins with a control; undefined where none is expected."""
    flips, expected = binned_expectation(coarse(counts))
    return divide(flips, expected)


def binned_expectation(table: Floats) -> tuple[Floats, Floats]:
    """Flips among the treated and expected flips, each (...), over bins with a control, of a ``coarse`` table.

    expected = sum over those bins of n_treated * (flip rate of the bin's controls).
    """
    controls = table[..., 0] + table[..., 1]
    treated = table[..., 2] + table[..., 3]
    usable = controls > 0
    rate = np.where(usable, table[..., 1] / np.where(usable, controls, 1.0), 0.0)
    return np.asarray((table[..., 3] * usable).sum(axis=-1)), np.asarray((treated * rate).sum(axis=-1))


def without_model(counts: Floats) -> tuple[Floats, ...]:
    """DS, null share, risk ratio and binned lift, and the last two with half a flip added: nothing is fitted."""
    table = coarse(counts)
    rows, (flips, expected) = np.asarray(table.sum(axis=-2)), binned_expectation(table)
    ratios = risk_ratio(rows), divide(flips, expected), stable_risk_ratio(rows), stable_ratio(flips, expected)
    return score(rows), null_share(rows), *ratios


def dropped(counts: Floats) -> int:
    """Treated rows in bins without a control: they stand outside the binned lift. ``counts`` is one table (C,)."""
    table = coarse(counts)
    lonely = (table[..., 0] + table[..., 1]) == 0
    return int((table[..., 2] + table[..., 3])[lonely].sum())


def smooth(counts: Floats, centres: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Smooth lift, excess, expected flips, and the lift with half a flip added, each (...); the flip rate is fitted to
    the controls.

    lift_smooth = flips / expected, undefined where fewer than ``LEAST_EXPECTED`` flips are expected: the controls that
    flip are then unlike the treated, and their ratio says nothing. Intervals are made of (flips + 1/2) / (expected +
    1/2), which a resample without flips leaves defined.

    excess = extra probability rho with which treated items flip beyond the rate e their margin explains. A treated item
    flips with e + (1 - e) rho, so rho = (flips - sum e) / sum (1 - e): at most 1, below 0 where treated items flip less
    than controls, undefined where nothing is treated or nothing is a control.

    Args:
        counts: (..., fine bins * 4) counts.
        centres: (fine bins,) mean margin of each fine bin.
    """
    flips, expected, treated = expectation(counts, centres)
    lift = divide(flips, np.where(expected < LEAST_EXPECTED, 0.0, expected))
    return lift, divide(flips - expected, treated - expected), expected, stable_ratio(flips, expected)


def stable_ratio(flips: Floats, expected: Floats) -> Floats:
    """(flips + 1/2) / (expected + 1/2): defined, and with a logarithm, wherever something is expected."""
    return np.asarray((flips + HALF) / (expected + HALF))


def expectation(counts: Floats, centres: Floats) -> tuple[Floats, Floats, Floats]:
    """Flips among the treated, flips expected of them from a smooth rate, and their number, each of shape (...).

    The rate is a logistic regression of flip on a natural cubic spline of the margin (four knots at quantiles, linear
    beyond them, a ridge of 0.02 on the slopes), fitted on the fine bins of the controls; every treated item counts.
    Without controls the expectation is NaN.
    """
    lead = counts.shape[:-1]
    table = np.asarray(counts, dtype=np.float64).reshape(-1, len(centres), CELL_COLUMNS)
    treated = table[:, :, 2] + table[:, :, 3]
    basis = spline_basis(centres, table.sum(axis=(0, 2)))
    expected = expected_flips(table[:, :, 1], table[:, :, 0] + table[:, :, 1], treated, basis)
    return table[:, :, 3].sum(axis=1).reshape(lead), expected.reshape(lead), treated.sum(axis=1).reshape(lead)


def expected_flips(flips: Floats, trials: Floats, treated: Floats, basis: Floats) -> Floats:
    """(B,) flips expected of the treated, NaN without controls, 0 where no control flips, all where every one does.

    Args:
        flips, trials, treated: (B, M) controls that flip, all controls, and treated rows of each bin.
        basis: (M, P) spline of the bins' centres.
    """
    rate = fit_rates(flips, trials, basis)
    flipped, there = flips.sum(axis=1), trials.sum(axis=1)
    expected = np.where(flipped > 0, (treated * rate).sum(axis=1), 0.0)
    expected = np.where(flipped < there, expected, treated.sum(axis=1))
    return np.asarray(np.where(there > 0, expected, np.nan))


def spline_basis(centres: Floats, sizes: Floats) -> Floats:
    """(M, 4) natural cubic spline basis: 1, the standardised margin, and two curved columns; constants are dropped."""
    used = sizes > 0
    if used.sum() < 2 or np.ptp(centres[used]) == 0:
        return np.ones((len(centres), 1))
    with np.errstate(all="ignore"):
        x = (centres - np.mean(centres[used])) / np.std(centres[used])
    if not np.isfinite(x).all():
        x = np.linspace(-1.0, 1.0, len(centres))
    knots = np.unique(np.quantile(x[used], _KNOTS))
    if len(knots) < 3:
        return np.column_stack([np.ones_like(x), x])
    cubes = np.maximum(x[:, None] - knots[None, :], 0.0) ** 3
    chord = (cubes[:, :-1] - cubes[:, -1:]) / (knots[-1] - knots[:-1])
    curved = chord[:, :-1] - chord[:, -1:]
    return np.column_stack([np.ones_like(x), _orthonormal(np.column_stack([x, curved]), used)])


def _orthonormal(columns: Floats, used: Bools) -> Floats:
    """Combinations of the columns with mean 0, variance 1 and no correlation over the used bins; dependent ones go."""
    centred = columns - columns[used].mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred[used] / np.sqrt(used.sum()), full_matrices=False)
    kept = sizes > _DEPENDENT * sizes[0]
    return np.asarray(centred @ axes[kept].T / sizes[kept])


def fit_rates(flips: Floats, trials: Floats, basis: Floats) -> Floats:
    """(B, M) rates of the bins by a logistic regression of each table; to within 0.00025.

    Args:
        flips, trials: (B, M) successes and trials in each of M bins.
        basis: (M, P) shared design, its first column 1.
    """
    penalty = ridge(basis.shape[1], _INTERCEPT_RIDGE, _RIDGE)
    return expit(fit(flips, trials, basis, penalty, _DONE) @ basis.T)
