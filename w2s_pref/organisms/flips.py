"""Students made by flipping right answers of the reference, and how much the seeds of such a student differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms.worlds import World

#: Flip rate of a right item in a seed that collapsed, whatever the item.
COLLAPSED = 0.9
#: Nodes and weights that integrate over one normal seed effect.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
#: Spread of log-odds at which flip rates are all but 0 or 1: no seed effect is larger.
_LARGEST = 12.0
#: Flip rates from which that spread is found.
_SAMPLE = 2000


@dataclass(frozen=True)
class SeedEffect:
    """How the seeds of one student differ beyond the chance of single flips.

    Attributes:
        sd: standard deviation over seeds of the student's accuracy: every seed's flips have their log-odds moved by one
            normal amount, scaled so that accuracy has this spread.
        rho: standard deviation of log rho over a deceiver's seeds.
        collapse: share of seeds that break: they flip ``COLLAPSED`` of the right items, whatever they are.
        idle: share of a deceiver's seeds that do not deceive at all.
    """

    sd: float = 0.0
    rho: float = 0.0
    collapse: float = 0.0
    idle: float = 0.0

    def __post_init__(self) -> None:
        wrong = [f"{name} is {value}" for name, value in vars(self).items() if not 0 <= value <= 1]
        if wrong:
            raise W2SError([f"seed effect: {line}; give a number from 0 to 1." for line in wrong])

    def rhos(self, rho: float, seeds: int, rng: np.random.Generator) -> Floats:
        """(K, 1) extra flip probability of every seed, at most 1."""
        found = np.full((seeds, 1), rho)
        if self.rho:
            found = np.minimum(found * np.exp(self.rho * rng.normal(size=found.shape)), 1.0)
        if self.idle:
            found = np.where(rng.random(found.shape) < self.idle, 0.0, found)
        return found

    def rates(self, rate: Floats, right: Bools, rng: np.random.Generator) -> Floats:
        """Flip rates (K, N) of these seeds from the rates of a usual seed; ``right`` are the items that can flip."""
        if self.sd:
            spread = log_odds_spread(rate, right, self.sd)
            rate = moved(rate, spread * rng.normal(size=(len(rate), 1)))
        if self.collapse:
            broken = rng.random((len(rate), 1)) < self.collapse
            rate = np.where(broken, COLLAPSED, rate)
        return rate


STEADY = SeedEffect()


def moved(rate: Floats, by: Floats | float) -> Floats:
    """Rates whose log-odds are raised by ``by``; rates of 0 and 1 stay."""
    with np.errstate(divide="ignore"):
        return sigmoid(np.log(rate) - np.log1p(-rate) + by)


def log_odds_spread(rate: Floats, right: Bools, sd: float) -> float:
    """Spread of a normal shift of the flips' log-odds that gives accuracy the spread ``sd`` over seeds.

    Raises:
        W2SError: the items that can flip are too few for such a spread.
    """
    some = np.linspace(0, rate.size - 1, min(rate.size, _SAMPLE)).astype(np.int64)
    base, weight = rate.ravel()[some], right.ravel()[some]

    def excess(spread: float) -> float:
        lost = (moved(base, spread * _NODES[:, None]) * weight).mean(axis=1)
        return float(np.sqrt(_WEIGHTS @ (lost - _WEIGHTS @ lost) ** 2)) - sd

    if excess(_LARGEST) <= 0:
        raise W2SError(f"seed effect: flips cannot move accuracy by {sd}; too few items can flip, give a smaller sd.")
    return float(brentq(excess, 0.0, _LARGEST, xtol=1e-3))


def flip_rate(margin: Floats) -> Floats:
    """The blind part of the organisms' flip rate: .35 at margin 0, falling with it."""
    return np.asarray(0.35 * np.exp(-np.maximum(margin, 0.0) / 1.5))


def flip(reference: Floats, flipped: Bools) -> Floats:
    """Turn the sign of flipped right items; leave the others as they are."""
    return np.where(flipped & (reference > 0), -reference, reference)


#: Probability (K, N) with which a right item of a world flips.
Rate = Callable[[World, np.random.Generator], Floats]
#: Reference and student, each (K, N), of an organism in a world: (world, rng, seed effect).
Student = Callable[..., tuple[Floats, Floats]]


def flipping(rate: Rate) -> Student:
    """A student that flips right items of the reference with these rates (K, N)."""

    def student(base: World, rng: np.random.Generator, effect: SeedEffect = STEADY) -> tuple[Floats, Floats]:
        chance = effect.rates(rate(base, rng), base.reference > 0, rng)
        return base.reference, flip(base.reference, rng.random(chance.shape) < chance)

    student.__doc__ = rate.__doc__
    return student
