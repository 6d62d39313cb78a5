"""What K training seeds show and cannot show: both readings in words, seeds that disagree, failures nobody has seen."""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats

#: Seeds disagree where the widest gap between neighbouring values exceeds this share of their range (two groups, and
#: farther apart than either is wide), this many standard errors of what the items alone make of a difference of two
#: seeds, and this share of the statistic's natural range: ten points of accuracy. .018/.074/.982 do, .50/.52/.54 not.
GAP_OF_RANGE, GAP_IN_ERRORS, LEAST_GAP = 0.5, 5.0, 0.1
#: One-sided level of the failure rates that are compatible with what was seen.
_LEVEL = 0.05
#: The two readings of a statistic by the names that tables have for them: over seeds (items, where there is one seed),
#: and over items only.
READINGS = {"intervals": Stat.pair, "intervals_in_seeds": Stat.pair_in_seeds}


def side(interval: tuple[float, float] | None, neutral: float = 0.0) -> int:
    """1 where the whole interval lies above ``neutral``, -1 below, 0 where it holds it or does not exist."""
    if interval is None or interval[0] <= neutral <= interval[1]:
        return 0
    return 1 if interval[0] > neutral else -1


#: Ends of intervals beyond this have three significant digits.
LARGE = 100.0


def reading(stat: Stat, digits: int = 3) -> str:
    """``0.45 (95 % 0.20 to 0.70 over 3 seeds, 0.30 to 0.60 in these seeds)``; of one seed ``… in this seed``.

    The interval over seeds stands first because another training draws another seed.
    """
    if not np.isfinite(stat.value):
        return "undefined"
    interval, own = stat.interval(), stat.in_seeds()
    if interval is None or own is None:
        return f"{stat.value:z.{digits}f} (no interval)"
    here = "in this seed" if stat.n_seeds == 1 else "in these seeds"
    if stat.over == "items":
        return f"{stat.value:z.{digits}f} (95 % {span(interval, digits)} {here})"
    over = f"{span(interval, digits)} over {stat.n_seeds} seeds"
    return f"{stat.value:z.{digits}f} (95 % {over}, {span(own, digits)} {here})"


def span(interval: tuple[float, float], digits: int) -> str:
    """``0.20 to 0.70``."""
    return " to ".join(f"{end:z.{digits}f}" if abs(end) < LARGE else f"{end:.3g}" for end in interval)


def parted(stat: Stat) -> tuple[Floats, Floats] | None:
    """The seeds' own values of a mean, ascending, in two groups where they disagree; None where they do not."""
    values = np.sort(stat.per_seed[np.isfinite(stat.per_seed)])
    if len(values) < 2:
        return None
    gaps = np.diff(values)
    at = int(gaps.argmax())
    natural = stat.form.high - stat.form.low
    least = [
        GAP_OF_RANGE * (values[-1] - values[0]),
        GAP_IN_ERRORS * np.sqrt(2 * stat.variances.noise),
        LEAST_GAP * natural if np.isfinite(natural) else 0.0,
    ]
    return (values[: at + 1], values[at + 1 :]) if gaps[at] > np.max(least) else None


def disagreements(stats: dict[str, Stat]) -> list[str]:
    """A sentence for each of the statistics, by what a reader calls them, on which the seeds disagree."""
    found = []
    for name, stat in stats.items():
        groups = parted(stat)
        if groups is None:
            continue
        few = min(len(group) for group in groups)
        low, high = compatible_rates(stat.n_seeds, few)
        one, other = (", ".join(f"{value:.3f}" for value in group) for group in groups)
        found.append(
            f"Seeds disagree on {name}: {one} against {other}. {few} of {stat.n_seeds} seeds stand apart; rates of "
            f"{100 * low:.0f} to {100 * high:.0f} % are compatible with that, and an average describes no seed."
        )
    return found


def compatible_rates(seeds: int, failed: int = 0) -> tuple[float, float]:
    """One-sided 95 % limits of the rate of an event that struck ``failed`` of ``seeds`` trainings (Clopper-Pearson).

    Where it struck none the upper limit is 1 - .05^(1/K): .63 of 3 seeds, .45 of 5.
    """
    from scipy.special import betaincinv  # a tenth of what a plan would import, which asks for none

    low = float(betaincinv(failed, seeds - failed + 1, _LEVEL)) if failed else 0.0
    high = float(betaincinv(failed + 1, seeds - failed, 1 - _LEVEL)) if failed < seeds else 1.0
    return low, high


def seeds_note(seeds: int) -> str:
    """What so many seeds cannot show. Which of the two intervals leads is said where they are shown."""
    if seeds == 1:
        return "One seed: intervals and verdicts hold in this seed, for other prompts; they say nothing of other seeds."
    _, most = compatible_rates(seeds)
    few = " Seed-to-seed variation is estimated from a single difference and poorly known." if seeds == 2 else ""
    return (
        f"With {seeds} seeds, failure rates up to {100 * most:.0f} % are compatible: no interval covers a kind of "
        f"failure that no seed has shown.{few}"
    )
