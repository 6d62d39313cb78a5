"""What a verdict could have seen: plant extra flips in the blind spot, ask again, find the least that is found.

A planting turns every right answer of the student in the blind spot wrong with probability rho; the whole verdict is
made again. Brute force would need dozens of plantings for each rho. Here a few show where each gate and its seeds lie;
how far they scatter between plantings follows from the binomial law of the planted flips.
``tests/analysis/test_analysis_sensitivity.py`` compares both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import numpy as np

from w2s_pref.analysis.deception.adjusted import Expected, fitted_index
from w2s_pref.analysis.deception.gates import Gates
from w2s_pref.analysis.deception.measures import Evidence
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.logistic import expit
from w2s_pref.analysis.stats.quantiles import normal
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.results.deception import PowerPoint, Sensitivity

#: Planted effects of the curve.
RHOS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0)
#: Plantings at each effect, their resamples (enough for a limit to a tenth of its half-width), and draws of their law.
PLANTINGS, RESAMPLES, NOISE, DRAWS = 3, 200, 40, 400
#: Share of plantings that must be found, and how alike two powers must be that effects between them are not planted.
POWER, _SURE = 0.8, 0.0005
#: Powers are probits between points of the curve; beyond these they say no more of where it is steep.
_STEEPEST = (0.001, 0.999)

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
        seed: of the plantings. Power rises with rho; where that of single plantings falls, neighbours are pooled.
        tell: called with a line of progress at each effect.
    """
    few = draw.first(RESAMPLES, NOISE)
    expected = evidence.expected(few, bins)
    gates = evidence.gates_but(expected, few, bins)
    if _found(gates):
        evidence = _blind(evidence, np.random.default_rng([seed, PLANTINGS]))
        gates = evidence.gates_but(expected, few, bins)

    def power(rho: float) -> float:
        if tell is not None:
            tell(f"planting flips with probability {rho:g} in the blind spot")
        return _power(evidence, expected, few, bins, rho, seed)

    found = {0.0: float(_found(gates)), RHOS[-1]: power(RHOS[-1])}
    _fill(found, (0.0, *RHOS), power)
    powers = rising([found[rho] for rho in (0.0, *RHOS)])
    curve = [PowerPoint(rho=rho, power=power) for rho, power in zip((0.0, *RHOS), powers, strict=True)]
    return Sensitivity(rho_80=number(crossing(curve)), curve=curve)


def rising(values: list[float]) -> list[float]:
    """The nearest values that never fall, by least squares: isotonic regression, by its max-min formula.

    A dozen values need no more; scipy's own is a quarter of a second's import.
    """
    ends = range(len(values))
    return [max(min(fmean(values[a : b + 1]) for b in ends[i:]) for a in ends[: i + 1]) for i in ends]


def _fill(found: dict[float, float], rhos: tuple[float, ...], power: Callable[[float], float]) -> None:
    """Ask for the power at the middle, and so on, but where it is the same on both sides."""
    if len(rhos) < 3:
        return
    middle = len(rhos) // 2
    same = abs(found[rhos[0]] - found[rhos[-1]]) < _SURE
    found[rhos[middle]] = found[rhos[0]] if same else power(rhos[middle])
    for side in (rhos[: middle + 1], rhos[middle:]):
        _fill(found, side, power)


def _typical(evidence: Evidence, rho: float, rng: np.random.Generator) -> Evidence:
    """A planting whose flips are as many in every seed as are expected of it."""
    parts = evidence.parts
    wrong = parts.wrong.copy()
    for seed, row in enumerate(parts.treated & parts.eligible & ~parts.wrong):
        rows = rng.permutation(np.flatnonzero(row))
        wrong[seed, rows[: round(rho * len(rows))]] = True
    return replace(evidence, parts=replace(parts, wrong=wrong))


def _blind(evidence: Evidence, rng: np.random.Generator) -> Evidence:
    """The same student, but flipping in the blind spot no more than margin and ceiling score explain."""
    parts = evidence.parts
    index = fitted_index(evidence.by.design, parts.eligible & ~parts.treated, parts.wrong)
    drawn = rng.random(index.shape) < expit(index)
    return replace(evidence, parts=replace(parts, wrong=np.where(parts.treated & parts.eligible, drawn, parts.wrong)))


def _power(
    evidence: Evidence, expected: tuple[Expected, Expected], draw: Resampler, bins: int, rho: float, seed: int
) -> float:
    """Share of plantings at ``rho`` that are found.

    The planted flips of a seed are binomial, and move its pseudo-value by their share of the flips of one seed: drawn
    many times, they give the law of the limits, the uncertain variance between seeds included.
    """
    plantings = PLANTINGS if rho < 1 else 1  # where every answer turns wrong, all plantings are the same
    worlds = [_typical(evidence, rho, np.random.default_rng([seed, number])) for number in range(plantings)]
    parts, planted_ = evidence.parts, worlds[0].parts
    open_ = (parts.treated & parts.eligible & ~parts.wrong).sum(axis=1)
    flips = (planted_.tax & planted_.treated).sum()
    spread = np.sqrt(open_ * rho * (1 - rho)) * len(open_) / (flips + 0.5)
    moved = np.random.default_rng([seed, PLANTINGS]).normal(size=(DRAWS, len(open_))) * spread
    return float(np.mean([_passes(world.gates_but(expected, draw, bins), moved) for world in worlds]))


def _passes(gates: Gates, moved: Floats) -> Bools:
    """(DRAWS,) whether all gates that can tell are passed where the seeds' pseudo-values move by ``moved``."""
    found = (_low(gates.margin, moved) > 0) & (_low(gates.adjusted, moved) > 0)
    for contrast in gates.contrasts:
        if contrast.ratio is not None and contrast.defined:
            shared = 2 * (contrast.overlap or 0.0) / (1 + (contrast.overlap or 0.0))
            found &= _low(contrast.ratio, moved * (1 - shared)) > 0
    return np.asarray(found, dtype=np.bool_)


def _low(stat: Stat | None, moved: Floats) -> Floats:
    """(DRAWS,) lower limits on the log scale, far below where undefined."""
    return stat.low_if_moved(moved) if stat is not None and stat.defined else np.full(len(moved), -np.inf)


def _found(gates: Gates) -> bool:
    return not set(gates.failed()) & set(asked(gates))


def asked(gates: Gates) -> list[str]:
    """All gates, but a placebo that cannot tell: then the question is what "suspicious" could have seen."""
    return [name for name, stat in gates.stats.items() if stat is not None and (name != "placebo" or stat.defined)]


def crossing(curve: list[PowerPoint]) -> float:
    """Where the curve first reaches 80 %, between its points a line of probits; NaN where it does not."""
    for left, right in pairwise(curve):
        if left.power >= POWER:
            return left.rho
        if right.power >= POWER:
            low, high, at = (normal(float(np.clip(power, *_STEEPEST))) for power in (left.power, right.power, POWER))
            return float(left.rho + (right.rho - left.rho) * (at - low) / (high - low))
    return float("nan")
