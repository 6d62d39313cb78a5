"""Two tests beside the lift: permutation of the region within strata of the margin, and a logistic regression."""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.logistic import expit, fit, information, products, updated
from w2s_pref.analysis.stats.stat import PLAIN
from w2s_pref.core.arrays import Bools, Floats, Ints
from w2s_pref.results.deception import Coefficient

#: Coefficients of the regression, in order.
NAMES = ("intercept", "p_strong", "p_weak", "margin", "p_strong*(1-p_weak)")
#: Sign flips: sums that differ by less are equal but for rounding; draws made at once, to bound memory.
_ROUNDING, _CHUNK = 1e-9, 500
#: A fit ends when no rate moves by more than a quarter of the first; it is none where the next step is longer than the
#: second, as it is where flips are separated.
_DONE, _LEFT = 1e-10, 1e-6
#: Nothing is fitted where the information matrix is singular to float64, a coefficient of a scaled column runs away
#: (flips are separated), or margins cannot be squared.
_SINGULAR, _MAX_LOG_ODDS, _MAX_MARGIN = 1e12, 200.0, 1e100


def permutation_p(
    stratum: Ints, treated: Bools, flip: Bools, groups: Ints, draws: int = 2000, seed: int = 0
) -> float | None:
    """P(as many flips among the treated, or more) when cell labels are exchangeable within strata of the margin.

    Where every group has one eligible row, labels are permuted within strata; the number of treated flips is then a
    sum of hypergeometric numbers, drawn as such. Where groups have several rows (several pairs of one prompt, or
    several seeds) rows are not exchangeable one by one: the group contributions
    u_g = sum over the group's rows of (treated - stratum mean)(flip - stratum mean)
    keep their size and get random signs.

    Args:
        stratum: (K, N) margin bin, -1 where not eligible.
        treated, flip: (K, N).
        groups: (N,) group codes.
        draws: number of random draws, the observed one counts as one more: p >= 1 / (draws + 1).

    Returns:
        p, or None where no stratum has both treated and controls, or nothing (or everything) flips there.
    """
    rows = stratum >= 0
    code, is_treated, is_flip = stratum[rows], treated[rows], flip[rows]
    unit = np.broadcast_to(groups, stratum.shape)[rows]
    if not len(code):
        return None
    size = int(code.max()) + 1
    n = np.bincount(code, minlength=size).astype(np.int64)
    n_treated = np.bincount(code, weights=is_treated, minlength=size).astype(np.int64)
    n_flip = np.bincount(code, weights=is_flip, minlength=size).astype(np.int64)
    informative = (n_treated > 0) & (n_treated < n) & (n_flip > 0) & (n_flip < n)
    if not informative.any():
        return None
    rng = np.random.default_rng([seed, 1])
    if np.bincount(unit).max() == 1:
        inside = informative[code]
        observed = int((is_treated & is_flip)[inside].sum())
        parts = (n_flip[informative], (n - n_flip)[informative], n_treated[informative])
        drawn = rng.hypergeometric(*parts, size=(draws, int(informative.sum()))).sum(axis=1)
        return float((1 + (drawn >= observed).sum()) / (1 + draws))
    share = np.maximum(n, 1)
    product = (is_treated - (n_treated / share)[code]) * (is_flip - (n_flip / share)[code])
    by_group = np.bincount(unit, weights=product)
    return _sign_flips(by_group[by_group != 0], draws, rng)


def _sign_flips(parts: Floats, draws: int, rng: np.random.Generator) -> float | None:
    """One-sided p of sum(parts) against random signs, in blocks to bound memory."""
    if not len(parts):
        return None
    observed = parts.sum() - _ROUNDING
    above = 0
    for start in range(0, draws, _CHUNK):
        count = min(_CHUNK, draws - start)
        # Not in single precision: sums that tie with the observed one would fall below it by more than the rounding.
        signs = rng.integers(0, 2, size=(count, len(parts)), dtype=np.int8).astype(np.float64) * 2 - 1
        above += int((signs @ parts >= observed).sum())
    return float((1 + above) / (1 + draws))


def flip_regression(
    p_strong: Floats, p_weak: Floats, margin: Floats, flip: Bools, eligible: Bools, draw: Resampler
) -> list[Coefficient]:
    """Log-odds coefficients of a flip among the eligible rows, maximum likelihood, refitted in every resample.

    Args:
        p_strong, p_weak: (K, N) probability of the true answer by the ceilings.
        margin: (K, N) reference score gap over its temperature.
        flip, eligible: (K, N) the student is wrong, the reference is right.

    Returns:
        One for each of ``NAMES``; all null where the fit does not exist (no flips, only
        flips, perfect separation, margins beyond 1e100, or a column that is a combination of the others).
    """
    undefined = [Coefficient(name=name, estimate=None) for name in NAMES]
    flips, rows = flip[eligible].sum(), eligible.sum()
    if rows < 2 * len(NAMES) or flips in {0, rows}:
        return undefined
    if np.abs(margin[eligible]).max() > _MAX_MARGIN:
        return undefined
    design = np.stack([np.ones_like(margin), p_strong, p_weak, margin, p_strong * (1 - p_weak)], axis=-1)
    found = _uncorrelated(design[eligible])
    if found is None:
        return undefined
    centre, back = found
    scaled = np.where(eligible[..., None], (design - centre) @ back, 0.0)
    weights = _fit(scaled[eligible], flip[eligible])
    if weights is None:
        return undefined
    sums = draw.sums(information(scaled, products(scaled), eligible, flip, scaled @ weights))
    none = np.zeros((len(NAMES), len(NAMES)))

    def coefficients(table: Floats) -> tuple[Floats, ...]:
        fitted = updated(weights, table.reshape(-1, table.shape[-1]), none) @ back.T
        fitted[:, 0] -= fitted @ centre
        return tuple(np.moveaxis(fitted.reshape(*table.shape[:-1], len(NAMES)), -1, 0))

    stats = sums.stats(coefficients, [PLAIN] * len(NAMES))
    return [
        Coefficient(name=name, estimate=number(stat.value), interval=stat.interval(), interval_in_seeds=stat.in_seeds())
        for name, stat in zip(NAMES, stats, strict=True)
    ]


def _uncorrelated(design: Floats) -> tuple[Floats, Floats] | None:
    """Centre (P,) and matrix (P, P) that give columns of mean 0 (but the first, all 1), variance 1, no correlation.

    None where a column depends on the others. Sums of resamples are in single precision, good to 4e-7. Refitted on the
    columns as they are, with a condition of 1e8, an interval moved by a twentieth from one processor to another.
    """
    scale = design.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    scale[0] = 1.0
    if np.linalg.cond((design / scale).T @ (design / scale)) > _SINGULAR:
        return None
    centre = design.mean(axis=0)
    centre[0] = 0.0
    around = (design - centre) / scale
    try:
        lower = np.linalg.cholesky(around.T @ around / len(design))
    except np.linalg.LinAlgError:
        return None
    return centre, np.linalg.inv(lower).T / scale[:, None]


def _fit(design: Floats, flip: Bools) -> Floats | None:
    """(P,) coefficients by maximum likelihood; None where no optimum is finite, or found to float64's precision."""
    none = np.zeros((design.shape[1], design.shape[1]))
    try:
        weights = fit(flip[None].astype(np.float64), np.ones((1, len(flip))), design, none, _DONE)[0]
    except np.linalg.LinAlgError:
        return None
    rate = expit(design @ weights)
    matrix = (design * (rate * (1 - rate))[:, None]).T @ design
    if np.abs(weights).max() > _MAX_LOG_ODDS or np.linalg.cond(matrix) > _SINGULAR:
        return None
    left = np.linalg.solve(matrix, design.T @ (flip - rate))
    return weights if np.abs(left).max() < _LEFT else None
