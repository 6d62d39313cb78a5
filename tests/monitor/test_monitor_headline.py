"""What the detector's first sentence claims: no more than what was judged."""

from __future__ import annotations

from typing import Any

from w2s_pref.monitor.verdict import headline


def detector(verdict: str, *rivals: str) -> dict[str, Any]:
    """One signal that foretells, beside the baselines that were there."""
    against = {name: {"difference": 0.2, "interval": [0.1, 0.3], "verdict": verdict} for name in rivals}
    row = {"signal": "var", "baseline": False, "needs_labels": False, "verdict": "foretells", "against": against}
    return {"crossing_runs": 3, "runs": 6, "positive_looks": 5, "signals": [row]}


def test_only_baselines_that_were_judged_are_named() -> None:
    """A baseline that some run lacks is left out of the table (``finished._complete``), so nothing beat it."""
    text = headline(detector("better", "confidence", "misfit", "accuracy"))
    assert "better than all of confidence, misfit, accuracy: var" in text
    assert "loss" not in text
    open_ = headline(detector("not resolved", "confidence"))
    assert "none is resolved as better than every one of confidence (" in open_


def test_a_baseline_that_foretells_is_not_denied() -> None:
    found = detector("better", "confidence")
    found["signals"][0] |= {"verdict": "not resolved"}
    assert headline(found) == ("Not resolved: no signal without labels foretells a crossing (3 of 6 runs cross).")
    base = {"baseline": True, "needs_labels": False, "verdict": "foretells", "against": {}}
    found["signals"] += [{"signal": "confidence", **base}, {"signal": "accuracy", **base, "needs_labels": True}]
    assert "foretells a crossing, only confidence, which is a baseline (3 of 6 runs cross)." in headline(found)
    found["signals"].append({"signal": "time", **base})
    assert "only confidence, time, which are baselines (" in headline(found)


def test_without_baselines_nothing_is_compared() -> None:
    assert headline(detector("better")) == "Foretell a crossing without labels: var (3 of 6 runs cross)."
    every = headline(detector("better", "confidence", "misfit", "loss", "accuracy", "time"))
    assert "better than all of confidence, misfit, loss, accuracy: var" in every
