"""Simulated worlds: scores of a weak model, a ceiling and a student without conflict, with what made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Bools, Floats, Ints

#: Mean and spread of the weak model's scores: right on .68 of the items.
WEAK_MEAN, WEAK_SPREAD = 0.8, 1.6
#: Correlation of the ceiling's scores with what it scores without the noise of its training.
_CEILING_SIGNAL = 0.925


@dataclass(frozen=True)
class World:
    """What an organism is made from.

    Attributes:
        groups: (N,) group of every item.
        weak, ceiling, reference: (K, N) scores, true answer minus the other.
        unrelated: (K, N) scores of a weak model that knows other things about as well: another cue, other noise.
        easy: (N,) how easy an item truly is, mean 0 and spread 1; no model sees it.
        cue: (N,) what the weak models of all seeds lean on beside it.
        luck: (K, N) what a seed's own training adds to its weak model's scores.
    """

    groups: Ints
    weak: Floats
    ceiling: Floats
    reference: Floats
    unrelated: Floats
    easy: Floats
    cue: Floats
    luck: Floats

    @property
    def blind_spot(self) -> Bools:
        """(K, N) known to the ceiling and not to the weak model, p of the true answer at .75."""
        return (sigmoid(self.ceiling) >= 0.75) & (sigmoid(self.weak) < 0.75)


def world(items: int, seeds: int, rng: np.random.Generator, group_size: int = 2) -> World:
    """Correlated scores of a weak model, a strong ceiling and a student of the weak one.

    Accuracies are near .68, .83 and .76; a third of the items lies in the blind spot. ``group_size`` items share a
    group, and half of the variance of an item's difficulty is its group's. Every seed trains every model anew: the weak
    models of two seeds know other things equally well, their scores correlate at .75.
    """
    groups, easy = _difficulty(items, rng, group_size)
    cue = rng.normal(size=items)

    def noise(scale: float) -> Floats:
        return scale * rng.normal(size=(seeds, items))

    luck = noise(0.8)
    weak = WEAK_MEAN + 0.7 * easy + 1.2 * cue + luck
    ceiling = 1.6 + 1.4 * easy + 0.4 * cue + noise(0.6)
    reference = 0.5 * weak + 0.5 * ceiling + noise(0.6)
    # Streams of their own, so that the scores above are the same with and without the unrelated model.
    apart = rng.spawn(1)[0]
    unrelated = WEAK_MEAN + 0.7 * easy + 1.2 * apart.normal(size=items) + 0.8 * apart.normal(size=(seeds, items))
    return World(groups, weak, ceiling, reference, unrelated, easy, cue, luck)


def correlated_world(
    items: int, seeds: int, rng: np.random.Generator, group_size: int = 2, correlation: float = 0.6
) -> World:
    """The same with weak models whose scores have this correlation, 0 to .9, with the ceiling's.

    What a weak model knows beside that is half shared by its seeds and half each seed's own.
    """
    groups, easy = _difficulty(items, rng, group_size)
    cue, other, topic = rng.normal(size=(3, items))
    signal = 1.4 * easy + 0.4 * topic
    known = min(correlation / _CEILING_SIGNAL, 1.0)

    def weak_model(own: Floats, luck: Floats) -> Floats:
        mixed = np.sqrt((1 - known**2) / 2) * (own + luck)
        return np.asarray(WEAK_MEAN + WEAK_SPREAD * (known * signal / np.sqrt(1.4**2 + 0.4**2) + mixed))

    luck, foreign = rng.normal(size=(2, seeds, items))
    weak, unrelated = weak_model(cue, luck), weak_model(other, foreign)
    ceiling = 1.6 + signal + 0.6 * rng.normal(size=(seeds, items))
    reference = 0.5 * weak + 0.5 * ceiling + 0.6 * rng.normal(size=(seeds, items))
    return World(groups, weak, ceiling, reference, unrelated, easy, cue, luck)


def tracking_world(
    items: int, seeds: int, rng: np.random.Generator, group_size: int = 2, temperature: float = 1.0
) -> World:
    """A world whose weak models know how easy an item is better than the strong ones' scores and margins tell.

    ``temperature`` is a factor on the scores of weak models and ceiling, above 0: the same rankings, other regions.
    """
    groups, easy = _difficulty(items, rng, group_size)
    cue, other, topic = rng.normal(size=(3, items))

    def noise(scale: float) -> Floats:
        return scale * rng.normal(size=(seeds, items))

    luck = noise(0.8)
    weak, unrelated = (WEAK_MEAN + 1.2 * easy + 0.6 * own + noisy for own, noisy in ((cue, luck), (other, noise(0.8))))
    ceiling = 1.6 + 0.5 * easy + 1.3 * topic + noise(0.6)
    reference = 0.3 * weak + 0.7 * ceiling + noise(1.0)
    weak, ceiling, unrelated = (temperature * scores for scores in (weak, ceiling, unrelated))
    return World(groups, weak, ceiling, reference, unrelated, easy, cue, luck)


def _difficulty(items: int, rng: np.random.Generator, group_size: int) -> tuple[Ints, Floats]:
    """Group of every item and how easy it is, half of its variance the group's; both (N,)."""
    groups = np.arange(items, dtype=np.int64) // group_size
    shared = rng.normal(size=int(groups.max()) + 1)[groups]
    return groups, np.asarray(np.sqrt(0.5) * (shared + rng.normal(size=items)))
