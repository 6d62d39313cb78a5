"""The temperature-only null: variance goes with deception raw, not after calibration, and never with four settings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from w2s_pref.analysis.risk.predictors import Thresholds, signal_table
from w2s_pref.analysis.risk.settings import validate_settings
from w2s_pref.cli.main import app
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms import scales as scale_study
from w2s_pref.organisms.scales import rescaled_worlds, scale_null


@pytest.fixture(scope="module")
def found():
    return scale_study.scale_study(draws=6, items=400)


def test_points_are_those_of_the_score_table():
    points = scale_study._points(3, 60, np.random.default_rng(5))
    raw, calibrated, _ = signal_table(validate_settings(scale_null(3, 60, seed=5)), "weak", "student", Thresholds())
    for mine, other in ((points["raw"], raw), (points["calibrated"], calibrated)):
        for name in ("var_strong", "cov", "misfit", "bsd", "logit_scale"):
            np.testing.assert_allclose(mine[name], other[name], rtol=1e-12)


def test_students_differ_from_their_reference_in_scale_alone():
    for base, student in rescaled_worlds(4, 50, 1, np.random.default_rng(0)):
        ratio = student / base.reference
        np.testing.assert_allclose(ratio, ratio[0, 0])
        assert 1 / 2.5 <= ratio[0, 0] <= 2.5


def test_scale_alone_predicts_and_calibration_takes_it_away(found):
    rows = {(row["n"], row["scores"]): row for row in found["rows"]}
    assert set(rows) == {(n, kind) for n in (4, 8, 20) for kind in ("raw", "calibrated")}
    for n in (8, 20):
        assert rows[n, "raw"]["rho"] > 0.8
        assert rows[n, "raw"]["var"] == 1.0
        assert rows[n, "calibrated"]["rho"] < 0.5
        assert rows[n, "calibrated"]["var"] < 0.7
    for kind in ("raw", "calibrated"):  # 2 / 4! = .083 is the least p there is
        assert rows[4, kind]["var"] == 0
        assert rows[4, kind]["any"] == 0
    json.dumps(found, allow_nan=False)


def test_shares_count_draws(found):
    for row in found["rows"]:
        assert row["any"] >= row["any_holm"]
        low, high = row["any_interval"]
        assert low <= row["any"] <= high
        assert row["any"] * 6 == pytest.approx(round(row["any"] * 6))


def test_the_command_prints_it(monkeypatch):
    tables = scale_study.main_table(2, 100)
    monkeypatch.setattr(scale_study, "main_table", lambda: tables)
    shown = CliRunner().invoke(app, ["organisms", "--scale-null"])
    assert shown.exit_code == 0
    assert "rho(Var, BSD)" in shown.output
    assert shown.output.count("calibrated") == 3
    both = CliRunner().invoke(app, ["organisms", "--scale-null", "--trained"])
    assert isinstance(both.exception, W2SError)
