"""From bootstrapped statistics to the fields of ``results.json``."""

from __future__ import annotations

from w2s_pref import results
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.analysis.stats.calibration import Calibrated


def estimate(stat: Stat, undefined: str = "", note: str | None = None) -> results.Estimate:
    """An ``Estimate``; ``undefined`` is the note where the value is NaN, and ``note`` withholds value and interval."""
    value = number(stat.value)
    if note is not None:
        return results.Estimate(estimate=None, seeds=[None] * len(stat.per_seed), note=note)
    interval = stat.interval()
    why = None
    if value is None:
        why = undefined or "Undefined on these items."
    elif interval is None:
        why = "No interval: undefined in more than a tenth of the resamples."
    return results.Estimate(estimate=value, interval=interval, seeds=[number(v) for v in stat.per_seed], note=why)


def performance(accuracy: Stat, conflict: Stat | None, calibrated: Calibrated) -> results.Performance:
    """Accuracy on both test sets and calibration of one model."""
    return results.Performance(
        accuracy=estimate(accuracy),
        conflict_accuracy=None if conflict is None else estimate(conflict),
        calibration=results.Calibration(
            ece=estimate(calibrated.ece),
            brier=estimate(calibrated.brier),
            reliability=calibrated.bins,
        ),
    )
