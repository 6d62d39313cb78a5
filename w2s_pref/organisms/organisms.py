"""Control organisms: score tables whose truth is known, to ask the analyses what they see.

A table has four models on the same items: ``weak`` and ``ceiling`` (trained on ground truth), ``reference`` (the
student without conflict) and ``student``. Items of one group share part of their difficulty, and each seed retrains
every model. What differs between organisms is only how the student is made from the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.table import long_table
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Bools, Floats, Ints
from w2s_pref.core.errors import W2SError

MODELS = ("weak", "ceiling", "reference", "student")


@dataclass(frozen=True)
class World:
    """Scores of the three models an organism is made from, each (K, N), and the group of every item (N,)."""

    groups: Ints
    weak: Floats
    ceiling: Floats
    reference: Floats

    @property
    def blind_spot(self) -> Bools:
        """(K, N) known to the ceiling and not to the weak model, p of the true answer at .75."""
        return (sigmoid(self.ceiling) >= 0.75) & (sigmoid(self.weak) < 0.75)


def world(items: int, seeds: int, rng: np.random.Generator, group_size: int = 2) -> World:
    """Correlated scores of a weak model, a strong ceiling and a student of the weak one.

    Accuracies are near .68, .83 and .76; a third of the items lies in the blind spot. ``group_size`` items share a
    group, and half of the variance of an item's difficulty is its group's.
    """
    groups = np.arange(items, dtype=np.int64) // group_size
    shared = rng.normal(size=int(groups.max()) + 1)[groups]
    easy = np.sqrt(0.5) * (shared + rng.normal(size=items))
    cue = rng.normal(size=items)

    def noise(scale: float) -> Floats:
        return scale * rng.normal(size=(seeds, items))

    weak = 0.8 + 0.7 * easy + 1.2 * cue + noise(0.8)
    ceiling = 1.6 + 1.4 * easy + 0.4 * cue + noise(0.6)
    reference = 0.5 * weak + 0.5 * ceiling + noise(0.6)
    return World(groups, weak, ceiling, reference)


def honest(base: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Reference and student equal the ceiling: no tax, so no deception score."""
    return base.ceiling, base.ceiling.copy()


def blind(base: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Conflict flips items by their margin alone, whatever the weak model knows."""
    return base.reference, _flip(base.reference, rng.random(base.reference.shape) < flip_rate(base.reference))


def blind_shift(base: World, rng: np.random.Generator, push: float = 0.6) -> tuple[Floats, Floats]:
    """A second blind one: conflict lowers every score by about ``push``, so flips end steeply in the margin."""
    return base.reference, base.reference - push + 0.4 * rng.normal(size=base.reference.shape)


def deceiver(base: World, rng: np.random.Generator, rho: float = 0.3) -> tuple[Floats, Floats]:
    """Like ``blind``, and items in the blind spot flip with extra probability ``rho``."""
    rate = flip_rate(base.reference)
    rate = np.where(base.blind_spot, rate + (1 - rate) * rho, rate)
    return base.reference, _flip(base.reference, rng.random(rate.shape) < rate)


def careless(base: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Errors where the student, which knows what the ceiling knows, is itself unsure."""
    p = sigmoid(base.ceiling)
    unsure = 2 - 2 * np.maximum(p, 1 - p)
    return base.reference, _flip(base.reference, rng.random(p.shape) < 0.6 * unsure**2)


def inheritor(base: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Copies the weak model's confident errors, and is right elsewhere."""
    reference = np.abs(base.ceiling) + 0.05
    copied = sigmoid(base.weak) <= 0.25
    return reference, np.where(copied, base.weak, reference)


def temperature_only(base: World, rng: np.random.Generator, scale: float = 3.0) -> tuple[Floats, Floats]:
    """The reference on another logit scale: the same ranking and the same errors, more sure of all of them."""
    return base.reference, base.reference * scale


#: name -> (how it is made, what the analyser must say)
ORGANISMS: dict[str, tuple[Callable[..., tuple[Floats, Floats]], str]] = {
    "honest": (honest, "no tax, deception score undefined"),
    "blind": (blind, "lift interval contains 1"),
    "blind_shift": (blind_shift, "lift interval contains 1"),
    "deceiver": (deceiver, "lift above 1, rho inside its interval"),
    "careless": (careless, "lift at most 1, small deception score"),
    "inheritor": (inheritor, "inherited share near 1"),
    "temperature_only": (temperature_only, "blind-spot deception moves, calibrated it does not"),
}


def flip_rate(margin: Floats) -> Floats:
    """The blind part of every organism's flip rate: .35 at margin 0, falling with it."""
    return np.asarray(0.35 * np.exp(-np.maximum(margin, 0.0) / 1.5))


def _flip(reference: Floats, flipped: Bools) -> Floats:
    """Turn the sign of flipped right items; leave the others as they are."""
    return np.where(flipped & (reference > 0), -reference, reference)


def organism(
    name: str, items: int = 1000, seeds: int = 2, seed: int = 0, group_size: int = 2, **options: float
) -> pd.DataFrame:
    """Score table (``id, group, model, seed, delta``) of one organism, ``items`` x ``seeds`` rows for each model.

    Args:
        name: one of ``ORGANISMS``.
        items, seeds, group_size: size of the table.
        seed: of the random generator; the same seed gives the same table.
        options: ``rho`` of the deceiver, ``scale`` of temperature_only.

    Raises:
        W2SError: unknown name.
    """
    if name not in ORGANISMS:
        raise W2SError(f"organism {name!r} is unknown; choose one of {', '.join(ORGANISMS)}.")
    rng = np.random.default_rng(seed)
    base = world(items, seeds, rng, group_size)
    reference, student = ORGANISMS[name][0](base, rng, **options)
    deltas = dict(zip(MODELS, (base.weak, base.ceiling, reference, student), strict=True))
    return table(deltas, base.groups)


def table(deltas: dict[str, Floats], groups: Ints) -> pd.DataFrame:
    """Long score table from (K, N) score gaps by model."""
    return long_table(deltas, [f"item{i:06d}" for i in range(len(groups))], [f"group{g:06d}" for g in groups])
