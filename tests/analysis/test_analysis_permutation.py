"""The permutation test where prompts have several rows, against all signs counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from w2s_pref.analysis.deception.flip_tests import permutation_p
from w2s_pref.core.arrays import Bools

GROUPS = np.repeat(np.arange(9, dtype=np.int64), 2)


def exact(treated: Bools, flip: Bools) -> float:
    """Share of the 512 signs of nine prompts' contributions whose sum reaches that of the data."""
    product = (treated - treated.mean()) * (flip - flip.mean())
    parts = np.bincount(GROUPS, weights=product)
    sums = np.array(list(itertools.product((-1, 1), repeat=len(parts)))) @ parts
    return float(np.mean(sums >= parts.sum() - 1e-9))


@pytest.mark.parametrize("world", [2, 11, 13, 14, 15, 17])
def test_sums_that_tie_with_the_observed_one_count(world: int) -> None:
    """Many signs give the very sum of the data; a sum that is a rounding error below it is as extreme."""
    rng = np.random.default_rng(world)
    treated, flip = rng.random(18) < 0.4, rng.random(18) < 0.35
    stratum = np.zeros((1, 18), dtype=np.int64)
    found = permutation_p(stratum, treated[None], flip[None], GROUPS, draws=20_000)
    assert found == pytest.approx(exact(treated, flip), abs=0.012)
