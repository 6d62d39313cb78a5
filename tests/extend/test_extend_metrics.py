"""Metrics of one's own: intervals by the study's bootstrap, and where they are shown."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from extend_helpers import w2s, write

sys.path.insert(0, str(Path(__file__).parent.parent / "analysis"))
from analysis_helpers import study_design, study_tables

from w2s_pref.analysis.preferences.design import ArmDesign
from w2s_pref.analysis.preferences.study import summarize
from w2s_pref.core.errors import W2SError
from w2s_pref.results.preferences import Body

DESIGN = study_design((ArmDesign("direct", ("m0", "m3")),))


@pytest.fixture(scope="module")
def tables():
    return study_tables(DESIGN.arms)


def each_right(student):
    """Share right.

    Second paragraph.
    """
    return (student > 0) + 0.5 * (student == 0)


def share_right(student):
    return np.mean((student > 0) + 0.5 * (student == 0))


def corrected(student, weak):
    return np.where(weak < 0, student > 0, np.nan)


def nobody(student):
    return np.full(len(student), np.nan)


def disagreement(student, reference, ceiling, threshold):
    assert threshold == DESIGN.threshold
    assert student.shape == reference.shape == ceiling.shape
    return (student > 0) != (reference > 0)


def measured(tables, **own):
    body = summarize(*tables, DESIGN, own=own)
    values = {(one.metric, one.conflict): one for one in body.metrics}
    return body, values


def test_a_mean_over_pairs_is_the_studys_own_number(tables) -> None:
    """Accuracy written as a metric: the value, every seed and the interval of the analysis."""
    body, found = measured(tables, each_right=each_right)
    assert found["each_right", "none"].about == "Share right."
    for setting in body.arms[0].settings:
        assert found["each_right", setting.conflict].value == setting.performance.accuracy


def test_a_number_of_all_pairs_is_computed_anew_under_every_resample(tables) -> None:
    """The same accuracy as one number: resamples have the same weights, so only float32 sums tell them apart (2e-7)."""
    _, found = measured(tables, share_right=share_right, each_right=each_right)
    for conflict in DESIGN.conflicts:
        one, all_ = found["each_right", conflict].value, found["share_right", conflict].value
        assert np.allclose(one.seeds, all_.seeds, atol=1e-12)
        assert np.isclose(one.estimate, all_.estimate, atol=1e-12)
        assert one.interval is not None
        assert all_.interval is not None
        assert np.allclose(one.interval, all_.interval, atol=1e-5)


def test_a_share_of_some_pairs_is_the_analysis_of_inheritance(tables) -> None:
    """NaN leaves pairs out; without ties the share of weak errors corrected is ``inheritance.corrected``."""
    body, found = measured(tables, corrected=corrected)
    for setting in body.arms[0].settings:
        ours, theirs = found["corrected", setting.conflict].value, setting.inheritance.corrected
        assert np.isclose(ours.estimate, theirs.estimate)
        # Of a metric of one's own no range is known.
        assert np.allclose(np.clip(ours.interval, 0, 1), theirs.interval)


def test_what_is_undefined_says_why(tables) -> None:
    _, found = measured(tables, nobody=nobody, disagreement=disagreement)
    assert found["nobody", "none"].value.note == "Undefined: no item counts."
    assert found["disagreement", "none"].value.note == "Undefined: this student is the reference."
    assert found["disagreement", "none"].value.seeds == [None, None]
    assert 0 < found["disagreement", "explicit"].value.estimate < 1


def test_a_metric_that_changes_its_kind_is_refused(tables) -> None:
    calls = []

    def fickle(student):
        calls.append(1)
        return 1.0 if len(calls) == 1 else student

    with pytest.raises(W2SError, match="metric 'fickle' returned something of type ndarray"):
        measured(tables, fickle=fickle)


def test_results_without_metrics_are_as_they_were(tables) -> None:
    """No new key where no recipe asks for it, and old files are read."""
    body = summarize(*tables, dataclasses.replace(DESIGN, conflicts=("none",)))
    assert "metrics" not in json.loads(body.model_dump_json())
    assert "metrics" not in body.model_dump()
    assert Body.model_validate_json(body.model_dump_json()) == body


def test_show_and_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs side by side, one with a metric and a section: the terminal's tables, and JSON's."""
    from w2s_pref.report.compare import document
    from w2s_pref.results.read import load_results

    code = "def bold(student): return abs(student) > 1\ndef words(results): return f'{len(results.arms)} arm(s)'\n"
    keys = {"analysis": {"metrics": ["mine.py:bold"]}, "report": {"sections": ["mine.py:words"]}}
    plain, own = tmp_path / "plain", tmp_path / "own"
    for folder, given in ((plain, {}), (own, keys)):
        w2s(monkeypatch, "run", write(folder, code, given, tmp_path / "store"))
    capsys.readouterr()
    runs = [folder / "runs" / "own" for folder in (plain, own)]

    monkeypatch.chdir(own)
    w2s(monkeypatch, "show", runs[1])
    shown = capsys.readouterr().out
    assert "Metrics of this recipe's own" in shown
    assert "1 arm(s)" in shown
    monkeypatch.chdir(tmp_path)
    w2s(monkeypatch, "show", runs[1])
    assert "section mine.py:words: not shown: mine.py:words: there is no file mine.py" in capsys.readouterr().out

    w2s(monkeypatch, "compare", *runs)
    assert "Metrics of the recipes' own" in capsys.readouterr().out
    rows = document([load_results(run) for run in runs])["rows"]
    assert "metrics" not in rows[0]
    estimate = json.loads((runs[1] / "results.json").read_text())["metrics"][0]["value"]["estimate"]
    assert rows[1]["metrics"]["bold"]["estimate"] == estimate
