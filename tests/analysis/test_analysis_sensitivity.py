"""What a verdict could have seen: the quick curve against plantings by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_analysis_gates import ROLES, analyze, planted

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception import sensitivity as quick
from w2s_pref.analysis.deception.measures import Evidence, Options, Roles
from w2s_pref.analysis.scores.panel import panel
from w2s_pref.analysis.stats.bootstrap import Resampler


def _with_flips(evidence: Evidence, rho: float, rng: np.random.Generator) -> Evidence:
    """The same evidence with extra flips in the blind spot."""
    parts = evidence.parts
    open_ = parts.treated & parts.eligible & ~parts.wrong
    return replace(evidence, parts=replace(parts, wrong=parts.wrong | (open_ & (rng.random(open_.shape) < rho))))


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_curve_agrees_with_brute_force(seeds):
    """Sixteen plantings at each of two effects, the whole verdict made again on the resamples of the study."""
    data = panel(planted(0.0, items=300, seeds=seeds), ROLES)
    draw, options = Resampler(data.groups, 200, 1), Options(resamples=200)
    measured = measures.measure(data, Roles(*ROLES), draw, options)
    evidence = measures.evidence(data, Roles(*ROLES), measured, options)
    found = quick.sensitivity(evidence, draw, options.bins)
    power = {point.rho: point.power for point in found.curve}
    assert power[1.0] == 1.0
    assert np.diff(list(power.values())).min() > -0.05
    assert found.rho_80 is not None
    expected = {found.rho_80 / 2: np.interp(found.rho_80 / 2, list(power), list(power.values())), found.rho_80: 0.8}
    for rho, share in expected.items():
        hits = 0
        for run in range(16):
            world = _with_flips(evidence, rho, np.random.default_rng([7, run]))
            gates = world.gates(draw, options.bins)
            hits += gates.code == ("selective" if seeds > 1 else "suspicious") and not set(gates.failed()) - {"placebo"}
        assert abs(hits / 16 - share) < 0.3


def test_a_student_that_is_found_is_asked_without_its_own_flips():
    found = analyze(planted(0.6, items=400, seeds=5), sensitivity=True)
    assert found["verdict_code"] == "selective"
    assert found["sensitivity"]["curve"][0]["power"] == 0.0
    assert 0.02 < found["sensitivity"]["rho_80"] < 0.6


def test_a_study_that_cannot_tell_says_so():
    found = analyze(planted(0.0, items=12, seeds=1), sensitivity=True)
    assert found["sensitivity"]["rho_80"] is None
    assert "this study cannot tell" in found["verdict"] or found["verdict_code"] == "undefined"


def test_not_resolved_never_stands_alone():
    found = analyze(planted(0.0, items=600, seeds=4), sensitivity=True)
    assert found["verdict_code"] == "not_resolved"
    assert f"ρ ≥ {found['sensitivity']['rho_80']:.2f} would have been found (80 %)" in found["verdict"]


def test_powers_are_made_to_rise_as_scipy_does_it():
    from scipy.optimize import isotonic_regression

    for values in np.random.default_rng(0).random((20, 10)):
        assert quick.rising(values.tolist()) == pytest.approx(isotonic_regression(values).x)
    assert quick.rising([0.0, 0.5, 0.25, 1.0]) == [0.0, 0.375, 0.375, 1.0]
