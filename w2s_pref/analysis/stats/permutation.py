"""Is the flip rate of the blind spot what chance would give among items of the same margin? One-sided p value."""

from __future__ import annotations

import numpy as np

from w2s_pref.core.arrays import Bools, Floats, Ints


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
    observed = parts.sum() - 1e-9
    above = 0
    for start in range(0, draws, 500):
        count = min(500, draws - start)
        signs = rng.integers(0, 2, size=(count, len(parts)), dtype=np.int8).astype(np.float32) * 2 - 1
        above += int((signs @ parts.astype(np.float32) >= observed).sum())
    return float((1 + above) / (1 + draws))
