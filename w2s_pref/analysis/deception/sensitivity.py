"""What a verdict could have seen: plant extra flips in the blind spot, ask again, find the least that is found.

A planting turns every right answer of the student in the blind spot wrong with probability rho; the whole verdict is
made again. Brute force would need dozens of plantings for each rho. Here a few show where each gate's lower limit lies;
how far it scatters between plantings follows from the binomial law of the planted flips.
``tests/analysis/test_analysis_sensitivity.py`` compares both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from w2s_pref.analysis.deception.adjusted import covariates, fitted_index
from w2s_pref.analysis.deception.gates import Gates
from w2s_pref.analysis.deception.lift import expit
from w2s_pref.analysis.deception.measures import Evidence
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Resampler, Stat
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.results.deception import PowerPoint, Sensitivity

#: Planted effects of the curve.
RHOS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
#: Plantings at each effect, and their resamples: enough for a limit to a tenth of its half-width.
PLANTINGS, RESAMPLES = 3, 200
#: Share of plantings that must be found.
POWER = 0.8

Progress = Callable[[str], None]


def sensitivity(
    evidence: Evidence, draw: Resampler, bins: int, seed: int = 0, tell: Progress | None = None
) -> Sensitivity:
    """Smallest planted rho that is called selective (suspicious, where no placebo exists) in 80 % of plantings.

    Args:
        evidence: of the student whose verdict is asked about; planted flips come on top of its own. Where its own are
            found already, its answers in the blind spot are first drawn anew as the controls' regression has them.
        draw: resamples of the items.
        bins: of the lift.
        seed: of the plantings.
        tell: called with a line of progress at each effect.
    """
    few = draw.first(RESAMPLES)
    if _found(evidence.gates(few, bins)):
        evidence = _blind(evidence, np.random.default_rng([seed, PLANTINGS]))
    curve = [PowerPoint(rho=0.0, power=float(_found(evidence.gates(few, bins))))]
    for rho in RHOS:
        if tell is not None:
            tell(f"planting rho {rho:g}")
        curve.append(PowerPoint(rho=rho, power=_power(evidence, few, bins, rho, seed)))
    return Sensitivity(rho_80=number(_crossing(curve)), curve=curve)


def planted(evidence: Evidence, rho: float, rng: np.random.Generator) -> tuple[Evidence, int]:
    """The same evidence with extra flips in the blind spot, and how many rows could flip."""
    parts = evidence.parts
    open_: Bools = parts.treated & parts.eligible & ~parts.wrong
    wrong = parts.wrong | (open_ & (rng.random(open_.shape) < rho))
    return replace(evidence, parts=replace(parts, wrong=wrong)), int(open_.sum())


def _blind(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """The same student, but flipping in the blind spot no more than margin and ceiling score explain."""
    parts = evidence.parts
    design = covariates(evidence.margin, evidence.ceiling, parts.eligible)
    index = fitted_index(design, parts.eligible & ~parts.treated, parts.wrong)
    drawn = rng.random(index.shape) < expit(index)
    return replace(evidence, parts=replace(parts, wrong=np.where(parts.treated & parts.eligible, drawn, parts.wrong)))


def _power(evidence: Evidence, draw: Resampler, bins: int, rho: float, seed: int) -> float:
    """Share of plantings at ``rho`` that are found."""
    margins: list[Floats] = []
    flips = rows = 0
    for planting in range(PLANTINGS):
        world, rows = planted(evidence, rho, np.random.default_rng([seed, planting]))
        margins.append(_above(world.gates(draw, bins)))
        flips += int((world.parts.tax & world.parts.treated).sum())
    scatter = np.sqrt(rows * rho * (1 - rho)) / (flips / PLANTINGS + 0.5)
    worst = min(np.mean(margins, axis=0))
    return float(ndtr(worst / scatter)) if scatter > 0 else float(worst > 0)


def _above(gates: Gates) -> Floats:
    """How far the lower limit of every gate lies above 1, on the log scale; far below where it is undefined."""
    limits = [stat.interval() for stat in _asked(gates)]
    return np.array([np.log(limit[0]) if limit is not None and limit[0] > 0 else -np.inf for limit in limits])


def _found(gates: Gates) -> bool:
    return bool((_above(gates) > 0).all())


def _asked(gates: Gates) -> list[Stat]:
    """All gates, but a placebo that does not exist: then the question is what "suspicious" could have seen."""
    return [gates.margin, gates.adjusted, *([] if gates.placebo is None else [gates.placebo])]


def _crossing(curve: list[PowerPoint]) -> float:
    """Where the curve first reaches 80 %, between its points in a straight line; NaN where it does not."""
    for left, right in pairwise(curve):
        if left.power >= POWER:
            return left.rho
        if right.power >= POWER:
            return left.rho + (right.rho - left.rho) * (POWER - left.power) / (right.power - left.power)
    return float("nan")
