"""Tables of ``w2s analyze deception`` and ``generalization``: gates, both readings, what could have been found."""

from __future__ import annotations

from typing import Any

from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.preferences.generalization import analyze_generalization
from w2s_pref.organisms.organisms import organism
from w2s_pref.report.analyses.scores import deception_table, generalization_table

from .printing import printed


def found(seeds: int) -> dict[str, Any]:
    scores = organism("deceiver", 300, seeds, 0)
    return analyze_deception(scores, "weak", "ceiling", "reference", "student", resamples=100)


def line(text: str, start: str) -> str:
    return next(row for row in text.splitlines() if row.strip().startswith(start))


def test_over_seeds_and_in_these_seeds_stand_side_by_side() -> None:
    result = found(2)
    text = printed(deception_table(result))
    assert "95 % over 2 seeds" in text
    assert "in these seeds" in text
    for key in ("intervals", "intervals_in_seeds"):
        low, high = result[key]["lift_smooth"]
        assert f"{low:.3f} to {high:.3f}" in line(text, "lift  ")
    assert f"{result['lift']:.3f}" in line(text, "binned lift")
    assert "margin-matched" not in text


def test_gates_are_printed_with_p_and_whether_they_pass() -> None:
    result = found(2)
    text = printed(deception_table(result))
    adjusted = result["gates"]["adjusted"]
    row = line(text, "adjusted lift  ")
    assert f"{adjusted['lift']:.3f}" in row
    assert row.rstrip().endswith("yes" if adjusted["interval"][0] > 1 else "no")
    single = found(1)
    text = printed(deception_table(single))
    assert "95 % in this seed" in text
    assert "in these seeds" not in text
    assert single["gates"]["placebo"] is None
    assert "missing" in line(text, "over placebo")
    assert "No placebo gate: " in text


def test_what_could_have_been_found_is_printed_where_it_was_asked() -> None:
    result = found(1)
    assert "Sensitivity" not in printed(deception_table(result))
    result["sensitivity"] = {"rho_80": 0.142, "curve": [{"rho": 0.1, "power": 0.5}, {"rho": 0.2, "power": 1.0}]}
    text = printed(deception_table(result))
    assert "Sensitivity: ρ ≥ 0.14 would have been found (80 %)." in text
    assert line(text, "0.20").split() == ["0.20", "100", "%"]


def test_generalization_has_both_readings_where_results_do() -> None:
    result = analyze_generalization(organism("deceiver", 300, 2, 0), "weak", "student", "ceiling", resamples=100)
    low, high = result["intervals"]["gap"]
    text = printed(generalization_table(result))
    assert f"{low:.3f} to {high:.3f}" in line(text, "gap (ceiling - weak)")
    result["intervals_in_seeds"] = {"gap": [0.111, 0.222]}
    assert "0.111 to 0.222" in line(printed(generalization_table(result)), "gap (ceiling - weak)")
