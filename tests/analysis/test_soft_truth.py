"""Ground truth that is a probability: accuracies, PGR and calibration to be expected, labels and keys that hold it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from analysis_helpers import study_design, study_tables

from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.preferences.study import summarize
from w2s_pref.analysis.scores.calibration import fit_temperature
from w2s_pref.analysis.stats.basics import expected, sigmoid
from w2s_pref.core.tables import certainty, truth_of
from w2s_pref.data.config import content
from w2s_pref.stages.rows import Rows, truth_hash

DESIGN = dataclasses.replace(study_design((ArmDesign("direct", ("m0", "m3")),)), conflicts=("none",), resamples=100)


def test_expected_values() -> None:
    right = np.array([[1.0, 0.0, 0.5, 1.0]])
    np.testing.assert_allclose(expected(right, np.array([1.0, 0.75, 0.9, 0.5])), [[1.0, 0.25, 0.5, 0.5]])
    assert expected(right, None) is right
    np.testing.assert_allclose(expected(right, np.array([0.75] * 4), right + 1), right + 0.25)


def test_accuracies_are_the_expected_agreement() -> None:
    """Every item's truth is right with 0.75: accuracy a becomes 0.75 a + 0.25 (1 - a), and PGR stays what it is."""
    scores, labels, pairs = study_tables(DESIGN.arms)
    hard = summarize(scores, labels, pairs, DESIGN)
    ids = scores.loc[scores["objective"] == DESIGN.target, "id"].unique()
    sure = {DESIGN.target: pd.Series(0.75, index=ids)}
    soft = summarize(scores, labels.assign(sure=0.9), pairs, DESIGN, sure=sure)
    for before, after in zip(hard.arms[0].settings, soft.arms[0].settings, strict=True):
        assert after.performance.accuracy.estimate == pytest.approx(0.25 + 0.5 * before.performance.accuracy.estimate)
        assert after.pgr_raw == pytest.approx(before.pgr_raw)
        assert after.deception == before.deception
    labelled = [body.arms[0].hops[0].label_accuracy.estimate for body in (hard, soft)]
    assert labelled[1] == pytest.approx(0.1 + 0.8 * labelled[0])
    assert any("test items is a probability (0 are ties)" in note for note in soft.warnings)


def test_a_temperature_fits_soft_labels() -> None:
    """Scores whose truth was drawn at temperature 2: the drawn truth and its probability ask for the same one."""
    delta = np.random.default_rng(0).normal(0, 3, 4000)
    assert fit_temperature(delta, sigmoid(delta / 2)) == pytest.approx(2.0, rel=1e-6)
    drawn = np.random.default_rng(1).random(4000) < sigmoid(delta / 2)
    assert fit_temperature(delta, drawn) == pytest.approx(2.0, rel=0.1)
    assert fit_temperature(delta, drawn) == fit_temperature(np.where(drawn, delta, -delta))


def test_hashes_hold_the_probability() -> None:
    base = {"group": "g", "form": "text", "prompt": "p", "objective": "o", "b": "y"}
    frame = pd.DataFrame([{**base, "id": f"n{n}", "a": f"x{n}", "truth": 1} for n in range(3)])
    soft = frame.assign(truth_p=[1.0, 0.75, 0.5])
    assert truth_hash(frame) != truth_hash(soft) != truth_hash(soft.assign(truth_p=[1.0, 0.75, 0.6]))
    assert content(frame) != content(soft)
    assert Rows("w2s", frame).texts == Rows("w2s", soft).texts
    assert truth_of(frame).tolist() == [1.0, 1.0, 1.0]
    assert certainty(frame) is None
    assert certainty(soft.assign(truth_p=[0.0, 0.25, 0.5])).tolist() == [1.0, 0.75, 0.5]
