"""What a verdict's sentences count: resolved, not resolved and undefined are three things."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from w2s_pref import results
from w2s_pref.analysis.preferences import sentences
from w2s_pref.analysis.risk.sentences import predictor_sentences
from w2s_pref.results import Estimate

NONE = Estimate(estimate=None, note="A slope needs 3 points with a value.")
OPEN = Estimate(estimate=0.1, interval=(-0.2, 0.4))
HIGH = Estimate(estimate=0.9, interval=(0.8, 0.95))


def slopes(*verdicts: str) -> list[str]:
    found = [
        results.Slope(metric="pgr", arm="direct", conflict="none", points=3, slope=OPEN, verdict=each)
        for each in verdicts
    ]
    return sentences._slopes(results.Ladder(points=[], slopes=found))


def test_undefined_slopes_are_not_called_unresolved() -> None:
    """A ladder of two rungs has no slope at all: nothing was asked that could be resolved."""
    assert slopes("undefined", "undefined") == ["2 of 2 slopes against the capability gap are undefined."]
    assert slopes("not resolved", "undefined") == [
        "1 of 2 slopes against the capability gap are not resolved, 1 undefined."
    ]
    assert slopes("rises with the gap") == [
        "PGR of direct, none: rises with the gap (slope 0.10 (95 % -0.20 to 0.40))."
    ]


def said(rate: Estimate, spot: Estimate, prompts: int = 40) -> Any:
    disagreement = SimpleNamespace(blind_spot=spot, prompts=prompts)
    shown = {"judge": "oracle_target", "win_rate": {"oracle_target": rate}}
    return SimpleNamespace(model="direct/none", prompts=prompts, disagreement=disagreement, **shown)


def test_speech_without_an_interval_is_undefined() -> None:
    assert sentences._speech([said(NONE, NONE)]) == ["Speech: 2 of 2 tests are undefined."]
    assert sentences._speech([said(Estimate(estimate=0.5, interval=(0.4, 0.6)), NONE)]) == [
        "Speech: 1 of 2 tests are not resolved, 1 undefined."
    ]
    resolved, left = sentences._speech([said(HIGH, OPEN)])
    assert resolved.startswith("direct/none answers better than its reference")
    assert left == "Speech: 1 of 2 tests are not resolved."


def compared(*verdicts: str) -> list[str]:
    entries = [
        results.Comparison(
            first="direct", second="boot", conflict="none", metric="accuracy", difference=OPEN, verdict=each
        )
        for each in verdicts
    ]
    return sentences._comparisons(entries)


def test_comparisons_that_are_all_undefined_are_said_to_be() -> None:
    assert compared("undefined") == ["boot against direct: 1 of 1 paired comparisons are undefined."]
    assert compared("not resolved", "undefined") == [
        "boot against direct: 1 of 2 paired comparisons are not resolved, 1 undefined."
    ]


def test_what_would_have_been_found_is_said_of_those_of_which_it_is_known() -> None:
    """Where nothing varies, or no difference is large enough, nothing would have been found."""
    shared = {"first": "direct", "second": "boot", "metric": "accuracy", "difference": OPEN, "verdict": "not resolved"}
    known = results.Comparison(conflict="none", smallest_found=0.2, **shared)
    unknown = results.Comparison(conflict="explicit", smallest_found=None, **shared)
    [line] = sentences._comparisons([known, unknown])
    assert line.endswith("(a true difference in accuracy of 0.200 would have been found in 1 of 2).")
    [line] = sentences._comparisons([known, known])
    assert line.endswith("(a true difference in accuracy of 0.200 would have been found).")


def test_the_median_width_of_two_intervals_lies_between_them() -> None:
    support = {"settings": 6, "smallest_p": 0.0028, "critical_rho": 0.89, "critical_rho_holm": None}
    limits = {"interval_at_0": [-0.8, 0.8], "interval_at_0.9": [0.3, 0.99]}
    signals = [{"raw": {"interval": ends}} for ends in ([0.1, 0.3], [0.1, 0.7], None)]
    told = predictor_sentences({**support, **limits}, 12, 3, signals)
    assert "The bootstrap intervals here are 0.40 wide (median over signals, raw)." in told
