"""From a bootstrapped statistic to the form that ``results.json`` holds."""

from __future__ import annotations

from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.results.estimates import Estimate


def estimate(stat: Stat, undefined: str = "", note: str | None = None) -> Estimate:
    """An ``Estimate``; ``undefined`` is the note where the value is NaN, and ``note`` withholds value and interval."""
    value = number(stat.value)
    if note is not None:
        return Estimate(estimate=None, seeds=[None] * len(stat.per_seed), note=note)
    interval = stat.interval()
    why = None
    if value is None:
        why = undefined or "Undefined on these items."
    elif interval is None:
        seldom = "undefined in more than a tenth of the resamples"
        why = f"No interval: {seldom if stat.n_groups > 1 else 'all items are of one group'}."
    return Estimate(
        estimate=value,
        interval=interval,
        interval_in_seeds=stat.in_seeds(),
        over=None if interval is None else stat.over,
        seeds=[number(v) for v in stat.per_seed],
        note=why,
    )
