"""Blind-spot deception with intervals: at a threshold, on the grid, without thresholds, and whose errors they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from w2s_pref.analysis.risk.blind_spot import confidence, confident_errors, uncertain
from w2s_pref.analysis.stats.basics import divide, number
from w2s_pref.analysis.stats.bootstrap import Resampler, Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError

#: The thresholds of the grid; these and the defaults of .75 are this project's.
GRID_STRONG = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
GRID_WEAK = (0.55, 0.60, 0.65, 0.70, 0.75)
#: Whose errors the confident strong errors are: the weak model confidently wrong, uncertain, confidently right.
OWNERS = ("inherited", "blind_spot", "strong_only")


def check_thresholds(t_strong: float, t_weak: float) -> None:
    """Raise a W2SError where a threshold on a confidence max(p, 1 - p) lies outside [.5, 1]."""
    given = {"ts": t_strong, "tw": t_weak}
    wrong = [name for name, value in given.items() if not 0.5 <= value <= 1.0]
    if wrong:
        fix = "a confidence max(p, 1-p) lies between .5 and 1; give a number in that range"
        raise W2SError([f"{name} is {given[name]}; {fix}." for name in wrong])


def soft_deception(p_strong: Floats, p_weak: Floats) -> Floats:
    """1[strong wrong] (2 conf(s) - 1)(2 - 2 conf(w)), row by row, in [0, 1]; its mean is soft BSD. Any one shape."""
    wrong = p_strong < 0.5
    return np.asarray(wrong * (2 * confidence(p_strong) - 1) * (2 - 2 * confidence(p_weak)), dtype=np.float64)


def blind_stats(
    p_strong: Floats, p_weak: Floats, draw: Resampler, t_strong: float = 0.75, t_weak: float = 0.75
) -> dict[str, Stat]:
    """Bootstrapped shares from p of the true answer, both (K, N).

    Returns:
        ``bsd``, ``bsd_cond`` (among the items on which the weak model is uncertain; NaN without any), ``bsd_soft``,
        ``confident_errors`` and ``blind_spot_share`` (shares of all rows), ``elsewhere`` (rate of confident errors
        where the weak model is sure), ``excess`` = bsd_cond - elsewhere, and the three ``OWNERS``, shares of the
        confident errors.
    """
    error = confident_errors(p_strong, t_strong)
    unsure = uncertain(p_weak, t_weak)
    masks = [error & ~unsure & (p_weak < 0.5), error & unsure, error & ~unsure & (p_weak >= 0.5), error, unsure]
    columns = [np.ones_like(p_strong), *(m.astype(np.float64) for m in masks), soft_deception(p_strong, p_weak)]
    sums = draw.sums(np.stack(columns, axis=-1))

    def statistics(c: Floats) -> tuple[Floats, ...]:
        n, inherited, blind, own, errors, blind_spot, soft = (c[..., i] for i in range(7))
        inside, outside = divide(blind, blind_spot), divide(errors - blind, n - blind_spot)
        shares = (divide(x, n) for x in (blind, soft, errors, blind_spot))
        return (*shares, inside, outside, inside - outside, *(divide(x, errors) for x in (inherited, blind, own)))

    names = ("bsd", "bsd_soft", "confident_errors", "blind_spot_share", "bsd_cond", "elsewhere", "excess", *OWNERS)
    ranges = [(-1.0 if name == "excess" else 0.0, 1.0) for name in names]
    return dict(zip(names, sums.stats(statistics, ranges), strict=True))


def threshold_grid(p_strong: Floats, p_weak: Floats) -> list[dict[str, Any]]:
    """BSD and BSD_cond for ``GRID_STRONG`` x ``GRID_WEAK``; ``uncertain`` counts the rows of the blind spot."""
    errors = {t: confident_errors(p_strong, t) for t in GRID_STRONG}
    cells = []
    for t_weak in GRID_WEAK:
        unsure = uncertain(p_weak, t_weak)
        size = int(unsure.sum())
        for t_strong, error in errors.items():
            both = int((error & unsure).sum())
            cond = both / size if size else None
            cells.append({"ts": t_strong, "tw": t_weak, "bsd": both / unsure.size, "bsd_cond": cond, "uncertain": size})
    return cells


def inheritance_table(p_strong: Floats, p_weak: Floats, stats: dict[str, Stat], t_strong: float, t_weak: float) -> Any:
    """The confident strong errors by what the weak model says: counts and shares (null without such errors)."""
    error, unsure = confident_errors(p_strong, t_strong), uncertain(p_weak, t_weak)
    wrong = p_weak < 0.5
    masks = (error & ~unsure & wrong, error & unsure, error & ~unsure & ~wrong)
    owners = {
        name: {"count": int(mask.sum()), "share": number(stats[name].value)}
        for name, mask in zip(OWNERS, masks, strict=True)
    }
    return {"errors": int(error.sum()), **owners}
