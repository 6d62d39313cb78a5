"""Intervals over seeds hold the truth where seeds differ: a small fixed-seed part of ``benchmarks/coverage.py``."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.special import ndtri

from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import DIFFERENCE, SHARE

WORLDS, PROMPTS = 200, 200
STUDENT, OTHER = 0.77, 0.74


def right(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(M, K, N) right or wrong with accuracies (M, K); two answers a prompt, prompts shared by models and seeds."""
    models, seeds = levels.shape
    prompt = 0.5 * np.repeat(rng.normal(size=PROMPTS), 2)
    latent = prompt + 0.5 * rng.normal(size=2 * PROMPTS) + np.sqrt(0.5) * rng.normal(size=(models, seeds, 2 * PROMPTS))
    return (latent < ndtri(levels)[:, :, None]).astype(float)


@cache
def coverage(seeds: int, sd: float) -> dict[str, float]:
    """Share of worlds whose interval holds the accuracy and the paired difference of all prompts and seeds.

    With one seed the truth is that of this seed. ``in_seeds``: the same interval from the items alone.
    """
    means, groups = np.array([[STUDENT], [OTHER]]), np.repeat(np.arange(PROMPTS), 2)
    hits = dict.fromkeys(("accuracy", "difference", "in_seeds"), 0)
    for run in range(WORLDS):
        rng = np.random.default_rng([run, seeds])
        levels = np.clip(means + sd * rng.normal(size=(2, seeds)), 0.05, 0.98)
        truth = levels[:, 0] if seeds == 1 else means[:, 0]
        one, two = right(levels, rng)
        draw = Resampler(groups, 150, run)
        sums = draw.sums(np.stack([one, one - two, np.ones_like(one)], axis=-1))
        for place, (name, at) in enumerate((("accuracy", truth[0]), ("difference", truth[0] - truth[1]))):
            stat = sums.stat(lambda c, place=place: divide(c[..., place], c[..., 2]), DIFFERENCE)
            low, high = stat.interval()
            hits[name] += low <= at <= high
        low, high = sums.stat(lambda c: divide(c[..., 0], c[..., 2]), SHARE).in_seeds()
        hits["in_seeds"] += low <= truth[0] <= high
    return {name: count / WORLDS for name, count in hits.items()}


@pytest.mark.parametrize(("seeds", "sd"), [(1, 0.1), (2, 0.0), (2, 0.1), (3, 0.1), (5, 0.05), (8, 0.1)])
@pytest.mark.parametrize("what", ["accuracy", "difference"])
def test_intervals_over_seeds_hold_the_truth(seeds, sd, what):
    """Nominal 95 %. Of 200 worlds 90 % or more: an exact 95 % interval falls below in one case of 500."""
    assert coverage(seeds, sd)[what] >= 0.90


def test_items_alone_do_not_speak_of_other_seeds():
    """What the rule is for: without the seeds, two of three intervals miss."""
    assert coverage(3, 0.1)["in_seeds"] < 0.75


def test_items_alone_suffice_where_seeds_do_not_differ():
    assert coverage(2, 0.0)["in_seeds"] >= 0.90
