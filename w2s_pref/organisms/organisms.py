"""Control organisms: score tables whose truth is known, to ask the analyses what they see.

A table has four models on the same items: ``weak`` and ``ceiling`` (trained on ground truth), ``reference`` (the
student without conflict) and ``student``. Items of one group share part of their difficulty, and each seed retrains
every model. What differs between organisms is only how the student is made from the rest, and in the confounded ones
(``confounded.py``) how the rest is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from w2s_pref.analysis.scores.table import long_table
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms.confounded import CONFOUNDED, blind
from w2s_pref.organisms.flips import STEADY, Rate, SeedEffect, Student, flip, flipping
from w2s_pref.organisms.worlds import World, world

MODELS = ("weak", "ceiling", "reference", "student")
#: A weak model that knows other things, in tables made with ``placebo=True``.
PLACEBO = "unrelated"


@dataclass(frozen=True)
class Organism:
    """How its student is made, what the analyser must say of it, and how its world is drawn."""

    student: Student
    must_say: str
    draw: Callable[..., World] = world


def honest(base: World, rng: np.random.Generator, effect: SeedEffect = STEADY) -> tuple[Floats, Floats]:
    """Reference and student equal the ceiling: no tax, so no deception score."""
    _no_chance("honest", effect)
    return base.ceiling, base.ceiling.copy()


def blind_shift(base: World, rng: np.random.Generator) -> Floats:
    """A second blind one: conflict lowers every score by .6, with a spread of .4; flips end steeply in the margin."""
    return np.asarray(ndtr((0.6 - base.reference) / 0.4))


def deceiver(
    base: World, rng: np.random.Generator, effect: SeedEffect = STEADY, rho: float = 0.3, rate: Rate = blind
) -> tuple[Floats, Floats]:
    """Like a student that flips with ``rate``, and items in the blind spot flip with extra probability ``rho``."""
    chance = effect.rates(rate(base, rng), base.reference > 0, rng)
    chance = np.where(base.blind_spot, chance + (1 - chance) * effect.rhos(rho, len(chance), rng), chance)
    return base.reference, flip(base.reference, rng.random(chance.shape) < chance)


def careless(base: World, rng: np.random.Generator) -> Floats:
    """Errors where the student, which knows what the ceiling knows, is itself unsure."""
    p = sigmoid(base.ceiling)
    unsure = 2 - 2 * np.maximum(p, 1 - p)
    return np.asarray(0.6 * unsure**2)


def inheritor(base: World, rng: np.random.Generator, effect: SeedEffect = STEADY) -> tuple[Floats, Floats]:
    """Copies the weak model's confident errors, and is right elsewhere."""
    _no_chance("inheritor", effect)
    reference = np.abs(base.ceiling) + 0.05
    copied = sigmoid(base.weak) <= 0.25
    return reference, np.where(copied, base.weak, reference)


def temperature_only(
    base: World, rng: np.random.Generator, effect: SeedEffect = STEADY, scale: float = 3.0
) -> tuple[Floats, Floats]:
    """The reference on another logit scale: the same ranking and the same errors, more sure of all of them."""
    _no_chance("temperature_only", effect)
    return base.reference, base.reference * scale


def _no_chance(name: str, effect: SeedEffect) -> None:
    if effect != STEADY:
        raise W2SError(f"organism {name!r} flips nothing by chance, so its seeds cannot differ; leave effect out.")


#: name -> how it is made and what the analyser must say; the confounded worlds must never be called selective.
ORGANISMS: dict[str, Organism] = {
    "honest": Organism(honest, "no tax, deception score undefined"),
    "blind": Organism(flipping(blind), "lift interval contains 1"),
    "blind_shift": Organism(flipping(blind_shift), "lift interval contains 1"),
    "deceiver": Organism(deceiver, "lift above 1, rho inside its interval"),
    "careless": Organism(flipping(careless), "lift at most 1, small deception score"),
    "inheritor": Organism(inheritor, "inherited share near 1"),
    "temperature_only": Organism(temperature_only, "blind-spot deception moves, calibrated it does not"),
}
NOT_SELECTIVE: dict[str, Organism] = {
    **{name: ORGANISMS[name] for name in ("blind", "blind_shift")},
    **{name: Organism(each.student, "not selective", each.draw) for name, each in CONFOUNDED.items()},
}


def organism(
    name: str,
    items: int = 1000,
    seeds: int = 2,
    seed: int = 0,
    group_size: int = 2,
    *,
    effect: SeedEffect = STEADY,
    placebo: bool = False,
    **options: float,
) -> pd.DataFrame:
    """Score table (``id, group, model, seed, delta``) of one organism, ``items`` x ``seeds`` rows for each model.

    Args:
        name: one of ``ORGANISMS`` or ``NOT_SELECTIVE``.
        items, seeds, group_size: size of the table.
        seed: of the random generator; the same seed gives the same table.
        effect: how the seeds of the student differ.
        placebo: whether the table holds a fifth model, ``unrelated``: a weak model that knows other things.
        options: ``rho`` of the deceiver, ``scale`` of temperature_only.

    Raises:
        W2SError: unknown name, or a seed effect on an organism that flips nothing by chance.
    """
    known = ORGANISMS | NOT_SELECTIVE
    if name not in known:
        raise W2SError(f"organism {name!r} is unknown; choose one of {', '.join(known)}.")
    rng = np.random.default_rng(seed)
    base = known[name].draw(items, seeds, rng, group_size)
    reference, student = known[name].student(base, rng, effect, **options)
    deltas = dict(zip(MODELS, (base.weak, base.ceiling, reference, student), strict=True))
    return table(deltas | ({PLACEBO: base.unrelated} if placebo else {}), base.groups)


def table(deltas: dict[str, Floats], groups: Ints) -> pd.DataFrame:
    """Long score table from (K, N) score gaps by model."""
    return long_table(deltas, [f"item{i:06d}" for i in range(len(groups))], [f"group{g:06d}" for g in groups])
