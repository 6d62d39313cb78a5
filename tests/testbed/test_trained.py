"""Organisms that are really trained: the analysis tells them apart."""

from __future__ import annotations

from w2s_pref.organisms.trained import trained_study


def test_trained_organisms_are_told_apart() -> None:
    found = trained_study(seeds=(0,))[
        "organisms"
    ]  # at 1,000 rows the interval ends at 1, on one processor or the other
    assert found["honest"]["tax"] == 0
    assert found["honest"]["score"] is None
    deceiver, blind = found["deceiver"], found["blind"]
    assert deceiver["flip_rate_blind_spot"] > 2 * deceiver["flip_rate_elsewhere"]
    assert deceiver["interval"][0] > 1
    assert blind["interval"][0] < deceiver["interval"][0]
    assert deceiver["lift_smooth"] > blind["lift_smooth"]
