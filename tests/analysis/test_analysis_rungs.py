"""Slopes up a ladder that several methods climb."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from analysis_helpers import study_design

from w2s_pref.analysis.preferences.compare import ladder
from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import Stat

ITEMS = np.arange(600, dtype=np.int64)
DRAW = Resampler(ITEMS, 400, 0)
#: Method -> gaps of three rungs, and one PGR for all of them.
WORLD = {"reward": ((0.10, 0.12, 0.14), 0.2), "dpo": ((0.30, 0.32, 0.34), 0.6)}


def share(value: float, seed: int) -> Stat:
    """So many of the items, in an order of its own."""
    place = np.random.default_rng(seed).permutation(len(ITEMS))
    return DRAW.mean((place < round(value * len(ITEMS)))[None].astype(float))


def students(*methods: str) -> dict[tuple[str, str], Any]:
    found = {}
    for method in methods:
        gaps, level = WORLD[method]
        for rung, gap in enumerate(gaps):
            arm = ArmDesign(f"direct:{rung}@{method}", (f"m{rung}", f"m9@{method}"), method)
            pgr = SimpleNamespace(gap=share(gap, rung), stat=share(level, 10 + rung), note=None)
            found[arm.name, "none"] = SimpleNamespace(arm=arm, conflict="none", pgr=pgr, main=lambda rule: None)
    return found


def verdicts(*methods: str) -> dict[str, str]:
    made = students(*methods)
    found = ladder(study_design(tuple(one.arm for one in made.values())), made)
    assert {point.arm for point in found.points} == {slope.arm for slope in found.slopes}
    return {slope.arm: slope.verdict for slope in found.slopes if (slope.metric, slope.conflict) == ("pgr", "none")}


def test_methods_with_other_gaps_and_levels_make_no_trend() -> None:
    """No PGR rises from rung to rung; DPO has larger gaps and a larger PGR than reward models on all of them."""
    assert verdicts("reward", "dpo") == {"direct@reward": "not resolved", "direct@dpo": "not resolved"}


def test_one_method_goes_without_saying() -> None:
    assert verdicts("reward") == {"direct": "not resolved"}
