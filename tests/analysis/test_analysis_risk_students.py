"""The risk part of a study: the numbers of ``risk_summary`` and ``predictor_study``, for every student."""

from __future__ import annotations

import pandas as pd
import pytest
from analysis_helpers import CONFLICTS, study_design, study_tables

from w2s_pref import results
from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.preferences.risk import StudyLogits, predictors, risks
from w2s_pref.analysis.preferences.study import prepare, summarize
from w2s_pref.analysis.risk.predictors import predictor_study
from w2s_pref.analysis.risk.summary import risk_summary

ARMS = (ArmDesign("direct", ("m0", "m3")), ArmDesign("boot", ("m0", "m1", "m3")))
NESTED = ("random_var_strong", "random_cov")


@pytest.fixture(scope="module")
def tables():
    return study_tables(ARMS, items=120)


@pytest.fixture(scope="module")
def body(tables):
    return summarize(*tables, study_design(ARMS))


def same(value, estimate, interval):
    assert estimate.estimate == pytest.approx(value, abs=1e-12)
    assert (estimate.interval or ()) == pytest.approx(tuple(interval or ()), abs=1e-9)


def compare(numbers, found):
    """Every field of ``RiskNumbers`` against a dictionary of ``risk_summary``."""
    spans = found["intervals"]
    checked = set()
    for name in results.RiskNumbers.model_fields:
        one = getattr(numbers, name)
        if name in NESTED:
            key = name.removeprefix("random_")
            same(found["random_orientation"][key], one, spans["random_orientation"][key])
        elif isinstance(one, results.Estimate):
            same(found[name], one, spans[name])
        elif name == "bounds":
            for key, bound in one.items():
                other = found["bounds"][key]
                assert bound.value == pytest.approx(other["value"], abs=1e-12)
                assert bound.holds is other["holds"]
                same(other["slack"], bound.slack, spans["bounds"][key])
        elif name == "inheritance":
            for key, share in one.items():
                assert share.count == found["inheritance"][key]["count"]
                same(found["inheritance"][key]["share"], share.share, spans["inheritance"][key])
        elif name == "errors":
            assert one == found["inheritance"]["errors"]
        else:
            continue
        checked.add(name)
    assert checked == set(results.RiskNumbers.model_fields) - {"parts_weak", "parts_strong"}


def test_every_student_has_the_numbers_of_risk_summary(tables, body):
    design = study_design(ARMS)
    assert [(one.arm, one.conflict) for one in body.risk] == [(a.name, c) for a in ARMS for c in CONFLICTS]
    for one in (body.risk[1], body.risk[5]):
        found = risk_summary(
            tables[0], one.weak, one.strong, resamples=design.resamples, seed=design.seed,
            ceiling="ceiling/m3", objective="harmless",
        )  # fmt: skip
        assert one.n == found["n"]
        compare(one.raw, found)
        compare(one.calibrated, found["calibrated"])
        assert one.temperature_strong == pytest.approx(found["calibrated"]["temperature"]["strong"])
        assert one.temperature_weak == pytest.approx(found["calibrated"]["temperature"]["weak"])
        for name, estimate in one.reverse_kl.items():
            same(found["reverse_kl"][name], estimate, found["reverse_kl"]["intervals"][name])
        cells = [(p.t_strong, p.t_weak, p.bsd, p.bsd_cond, p.uncertain) for p in one.grid]
        assert cells == [tuple(c[k] for k in ("ts", "tw", "bsd", "bsd_cond", "uncertain")) for c in found["grid"]]
        assert one.verdict == found["verdict"]
        assert one.sentences == found["sentences"]
        seeds = found["per_seed"]
        assert one.raw.var_strong.seeds == pytest.approx(seeds["var_strong"])
        assert one.raw.bsd.seeds == seeds["bsd"]


def test_parts_add_up_to_the_risk(body):
    for one in body.risk:
        for numbers in (one.raw, one.calibrated):
            for role in ("weak", "strong"):
                parts, whole = getattr(numbers, f"parts_{role}"), getattr(numbers, f"risk_{role}").estimate
                assert parts.bias_squared + parts.shared + parts.own == pytest.approx(whole, abs=1e-12)
                assert parts.shared + parts.own == pytest.approx(getattr(numbers, f"var_{role}").estimate, abs=1e-12)
                assert min(parts.shared, parts.own) >= 0
            shares = numbers.parts_weak.shared / numbers.var_weak.estimate
            assert shares == pytest.approx(numbers.parts_strong.shared / numbers.var_strong.estimate)


def test_predictors_are_those_of_the_study_of_the_same_settings(tables, body):
    scores = tables[0][tables[0]["objective"] == "harmless"]
    parts = []
    for one in body.risk:
        for model, role in ((one.weak, "weak"), (one.strong, "strong")):
            parts.append(scores[scores["model"] == model].assign(model=role, setting=one.strong))
    found = predictor_study(pd.concat(parts), "weak", "strong", resamples=100)
    assert body.predictors.settings == [one.strong for one in body.risk]
    assert body.predictors.headline == found["verdict"]
    assert body.predictors.sentences[1:] == found["sentences"]
    assert body.predictors.critical_rho == found["support"]["critical_rho"]
    for mine, other in zip(body.predictors.signals, found["signals"], strict=True):
        assert (mine.signal, mine.verdict) == (other["signal"], other["verdict"])
        for kind in ("raw", "calibrated"):
            one = getattr(mine, kind)
            assert one.rho == pytest.approx(other[kind]["rho"])
            assert one.interval == pytest.approx(other[kind]["interval"])
            assert (one.p, one.p_holm) == (other[kind]["p"], other[kind]["p_holm"])
    assert any("6 settings, but 1 set of weak scores" in text for text in found["warnings"])


def test_three_settings_are_too_few(tables):
    context = prepare(tables[0], study_design(ARMS[:1]))
    assert len(risks(StudyLogits(context))) == 3
    assert predictors(StudyLogits(context)) is None


def test_a_single_group_has_no_calibrated_numbers(tables):
    scores = tables[0].assign(group="all")
    laboratory = StudyLogits(prepare(scores, study_design(ARMS)))
    one = risks(laboratory)[0]
    assert one.calibrated is None
    assert one.temperature_weak is None
    assert "undefined" in one.sentences[1]
    assert any("one group" in text for text in one.warnings)
    found = predictors(laboratory)
    assert all(entry.calibrated.rho is None for entry in found.signals)
    assert any(entry.raw.rho is not None for entry in found.signals)


def test_a_weak_model_that_is_always_sure_is_said(tables):
    scores = tables[0].copy()
    scores.loc[scores["model"] == "ceiling/m0", "delta"] = 9.0
    one = risks(StudyLogits(prepare(scores, study_design(ARMS))))[0]
    assert one.raw.bsd.estimate == 0
    assert one.raw.bsd_cond.estimate is None
    assert "never uncertain" in one.raw.bsd_cond.note
    assert one.raw.parts_strong.shared is None
    assert any("blind spot is empty" in text for text in one.warnings)
