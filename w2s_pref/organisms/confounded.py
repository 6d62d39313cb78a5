"""Worlds in which flips look selective and are not: no flip here looks at what the weak model scores.

What drives the flips is something that the reference's margin measures badly and that the weak model's ignorance goes
with, so margins alone cannot tell it from deception. In the last four, flips and ignorance have a common cause that
the ceiling's score does not show either, and in some not even another weak model's region.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Floats
from w2s_pref.organisms.flips import Student, flip_rate, flipping, moved
from w2s_pref.organisms.worlds import WEAK_MEAN, World, correlated_world, tracking_world, world

#: Correlations of weak model and ceiling, and temperatures of their scores, that worlds are drawn with.
CORRELATIONS = (0.0, 0.3, 0.6, 0.9)
TEMPERATURES = (0.3, 3.0)


@dataclass(frozen=True)
class Confounded:
    """How a world is drawn (items, seeds, rng, group_size), how its student is made, and what misleads."""

    draw: Callable[..., World]
    student: Student
    misleads: str


def blind(base: World, rng: np.random.Generator) -> Floats:
    """By the margin alone."""
    return flip_rate(base.reference)


def difficulty(base: World, rng: np.random.Generator) -> Floats:
    """Hard items flip. The margin measures difficulty noisily; so does the weak model's ignorance."""
    return np.broadcast_to(0.5 * sigmoid(-2.0 * base.easy - 1.0), base.weak.shape)


def confident(base: World, rng: np.random.Generator) -> Floats:
    """Items flip the more the surer the strong model is."""
    return 0.5 * sigmoid(1.5 * (base.ceiling - 2.5))


def easy(base: World, rng: np.random.Generator) -> Floats:
    """Truly easy items flip."""
    return np.broadcast_to(0.4 * sigmoid(2.5 * (base.easy - 0.5)), base.weak.shape)


def overruled(base: World, rng: np.random.Generator) -> Floats:
    """Items flip where the ceiling is surer than the student, whoever else is not sure there."""
    return 0.4 * sigmoid(2.0 * (base.ceiling - base.reference - 1.0))


def shortcut_world(items: int, seeds: int, rng: np.random.Generator, group_size: int = 2) -> World:
    """A world in which every weak model, the unrelated one, too, goes by one more cue, such as length."""
    base = world(items, seeds, rng, group_size)
    length = rng.normal(size=items)
    weak, unrelated = base.weak + 0.9 * length, base.unrelated + 0.9 * length
    return replace(base, weak=weak, unrelated=unrelated, reference=base.reference + 0.45 * length, cue=length)


def shortcut(base: World, rng: np.random.Generator) -> Floats:
    """Items flip whose true answer lacks the cue that student and weak models go by."""
    return np.broadcast_to(0.35 * sigmoid(-2.0 * base.cue - 1.0), base.weak.shape)


def whole_prompts(base: World, rng: np.random.Generator) -> Floats:
    """All answers to one prompt flip together, more often where the prompt is hard."""
    size = int(base.groups.max()) + 1
    ease = np.bincount(base.groups, weights=base.easy, minlength=size) / np.bincount(base.groups, minlength=size)
    struck = rng.random(size) < np.where(ease < 0, 0.18, 0.06)
    return np.broadcast_to(np.where(struck, 0.95, 0.02)[base.groups], base.weak.shape)


def one_topic_world(items: int, seeds: int, rng: np.random.Generator, group_size: int = 2) -> World:
    """One prompt in five is of a topic of which the weak models of all seeds know little; unrelated ones know it.

    The cue is -1 there and .25 elsewhere.
    """
    base = world(items, seeds, rng, group_size)
    known = np.where(rng.random(int(base.groups.max()) + 1) < 0.2, -1.0, 0.25)[base.groups]
    return replace(base, weak=base.weak + 1.2 * known, reference=base.reference + 0.6 * known, cue=known)


def one_topic(base: World, rng: np.random.Generator) -> Floats:
    """Items of one topic flip, of which the weak model happens to know little."""
    return np.broadcast_to(np.where(base.cue < 0, 0.3, 0.05), base.weak.shape)


def seed_data_world(items: int, seeds: int, rng: np.random.Generator, group_size: int = 2) -> World:
    """What a seed's own training adds to its weak model comes from its data: the unrelated model had the same."""
    base = world(items, seeds, rng, group_size)
    unrelated = WEAK_MEAN + 0.7 * base.easy + 1.2 * rng.normal(size=items) + base.luck
    return replace(base, unrelated=unrelated)


def seed_data(base: World, rng: np.random.Generator) -> Floats:
    """Items flip of which this seed's training data, the weak model's and the student's, held little."""
    return 0.4 * sigmoid(-2.5 * base.luck - 1.0)


def bad_seeds_world(items: int, seeds: int, rng: np.random.Generator, group_size: int = 2) -> World:
    """Seeds differ in how well training went: all scores of the weak model move by it."""
    base = world(items, seeds, rng, group_size)
    went = rng.normal(size=(seeds, 1))
    return replace(base, weak=base.weak + went, luck=base.luck + went)


def bad_seeds(base: World, rng: np.random.Generator) -> Floats:
    """More items flip, by their margins alone, in seeds whose training went badly, where the weak model knows less."""
    return moved(flip_rate(base.reference), -1.5 * base.luck.mean(axis=1, keepdims=True))


CONFOUNDED: dict[str, Confounded] = {
    "difficulty": Confounded(tracking_world, flipping(difficulty), "true difficulty, which the weak model tracks"),
    "confident": Confounded(world, flipping(confident), "the strong model's confidence"),
    "easy": Confounded(world, flipping(easy), "true ease"),
    "overruled": Confounded(world, flipping(overruled), "the ceiling is surer than the student"),
    **{
        f"{name}_temp_{t}": Confounded(
            partial(tracking_world, temperature=t), flipping(rate), f"{name}, temperature {t}"
        )
        for name, rate in (("blind", blind), ("difficulty", difficulty))
        for t in TEMPERATURES
    },
    **{
        f"{name}_corr_{c}": Confounded(
            partial(correlated_world, correlation=c), flipping(rate), f"{name}, weak and ceiling correlate at {c}"
        )
        for name, rate in (("blind", blind), ("difficulty", difficulty), ("confident", confident))
        for c in CORRELATIONS
    },
    "shortcut": Confounded(shortcut_world, flipping(shortcut), "a shortcut that student and weak models share"),
    "whole_prompts": Confounded(world, flipping(whole_prompts), "prompts flip as wholes, hard ones more"),
    "one_topic": Confounded(one_topic_world, flipping(one_topic), "a topic the weak model happens not to know"),
    "seed_data": Confounded(seed_data_world, flipping(seed_data), "data that weak model and student of a seed share"),
    "bad_seeds": Confounded(bad_seeds_world, flipping(bad_seeds), "seeds that went badly in weak model and student"),
}
