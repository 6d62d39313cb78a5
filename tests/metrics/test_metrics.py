"""The evaluate modules, loaded from the folder of the repository, give the numbers of the pure functions."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.preferences.generalization import analyze_generalization
from w2s_pref.analysis.risk.summary import risk_summary
from w2s_pref.analysis.scores.calibration import analyze_calibration
from w2s_pref.core.errors import W2SError
from w2s_pref.metrics.tables import score_table

FOLDER = Path(__file__).parents[2] / "w2s_pref" / "metrics"
NAMES = ("weak", "ceiling", "reference", "student")


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        patch.setenv(name, "1")
    yield pytest.importorskip("evaluate")
    patch.undo()


@pytest.fixture(scope="module")
def gaps():
    rng = np.random.default_rng(0)
    weak, ceiling = rng.normal(0.4, 1, 120), rng.normal(1.2, 1, 120)
    reference = (weak + ceiling) / 2
    return {"weak": weak, "ceiling": ceiling, "reference": reference, "student": reference + rng.normal(-0.4, 0.5, 120)}


GROUPS = [f"g{i // 3}" for i in range(120)]


def test_deception_score(evaluate, gaps):
    metric = evaluate.load(str(FOLDER / "deception_score"))
    for groups in (None, GROUPS):
        given = {} if groups is None else {"groups": groups}
        found = metric.compute(**gaps, **given, threshold=0.7, resamples=100)
        assert found == analyze_deception(score_table(gaps, groups), *NAMES, threshold=0.7, resamples=100)


def test_pgr(evaluate, gaps):
    metric = evaluate.load(str(FOLDER / "pgr"))
    three = {name: gaps[name] for name in ("weak", "student", "ceiling")}
    found = metric.compute(**three, groups=GROUPS, resamples=100)
    assert found == analyze_generalization(score_table(three, GROUPS), "weak", "student", "ceiling", resamples=100)


def test_calibration_in_batches(evaluate, gaps):
    metric = evaluate.load(str(FOLDER / "calibration"))
    for start in range(0, 120, 40):
        metric.add_batch(delta=gaps["weak"][start : start + 40])
    found = metric.compute(resamples=100)
    assert found == analyze_calibration(score_table({"m": gaps["weak"]}), "m", resamples=100) | {"model": "model"}


def test_classes_are_importable(evaluate):
    from w2s_pref.metrics.deception_score.deception_score import DeceptionScore

    found = DeceptionScore().compute(weak=[-1.0, 2.0], ceiling=[2.0, 2.0], reference=[1.0, 1.0], student=[-1.0, 1.0])
    assert found["score"] == 1.0


def test_risk(evaluate, gaps):
    gaps = {"weak": gaps["weak"], "strong": gaps["student"]}
    metric = evaluate.load(str(FOLDER / "risk"))
    for groups in (None, GROUPS):
        given = {} if groups is None else {"groups": groups}
        found = metric.compute(**gaps, **given, t_strong=0.8, resamples=100)
        assert found == risk_summary(score_table(gaps, groups), "weak", "strong", 0.8, resamples=100)


def test_blind_spot_deception(evaluate, gaps):
    gaps = {"weak": gaps["weak"], "strong": gaps["student"]}
    metric = evaluate.load(str(FOLDER / "blind_spot_deception"))
    found = metric.compute(**gaps, groups=GROUPS, resamples=100)
    whole = risk_summary(score_table(gaps, GROUPS), "weak", "strong", resamples=100)
    for name in ("bsd", "bsd_cond", "bsd_soft", "inheritance", "grid"):
        assert found[name] == whole[name]
    assert found["calibrated"]["bsd"] == whole["calibrated"]["bsd"]
    assert found["intervals"]["bsd"] == whole["intervals"]["bsd"]


WANTED = "; give one score gap for each item to weak, student, ceiling"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "no weak and no student and no ceiling" + WANTED),
        ({"weak": [1.0], "student": [1.0]}, "no ceiling" + WANTED),
        ({"weak": [1.0], "student": None, "ceiling": [1.0]}, "no student" + WANTED),
        ({"weak": [], "student": [], "ceiling": []}, "weak is empty" + WANTED),
        ({"weak": [1.0], "student": ["0.5"], "ceiling": [1.0]}, "student holds '0.5', which is no number" + WANTED),
        ({"weak": [1.0, None], "student": [1.0], "ceiling": [1.0]}, "weak holds None, which is no number" + WANTED),
        ({"weak": "1.0", "student": [1.0], "ceiling": [1.0]}, "weak has 0 dimensions (), not one" + WANTED),
        ({"weak": [[1.0, 2.0]], "student": [1.0], "ceiling": [1.0]}, "weak has 2 dimensions (1, 2), not one" + WANTED),
        ({"weak": [[1.0], [1.0, 2.0]], "student": [1.0], "ceiling": [1.0]}, "weak holds lists" + WANTED),
        ({"weak": [1.0, float("nan")], "student": [1.0], "ceiling": [1.0]}, "weak holds nan (item 1)" + WANTED),
        ({"weak": [1.0], "student": [1.0, 2.0], "ceiling": [1.0]}, "lists of different lengths ({'weak': 1, "),
        ({"weak": [1.0], "student": [1.0], "ceiling": [1.0], "groups": [7]}, "groups: 7 is no text"),
        ({"weak": [1.0], "student": [1.0], "ceiling": [1.0], "groups": []}, "'groups': 0})" + WANTED),
        ({"predictions": [1.0], "references": [1.0]}, "this metric takes no predictions; give score gaps to weak, "),
    ],
)
def test_what_is_no_list_of_score_gaps_gets_a_sentence(evaluate, given, sentence):
    from w2s_pref.metrics.pgr.pgr import PGR

    metric = PGR()
    for call in (metric.compute, *([metric.add_batch] if given else [])):
        with pytest.raises(W2SError, match=re.escape(sentence)):
            call(**given)
    good = {"weak": [-1.0, 1.0], "student": [1.0, 1.0], "ceiling": [1.0, 2.0]}
    assert metric.compute(**good, resamples=100)["n"] == 2  # the metric goes on


def test_without_the_library_there_is_a_sentence(monkeypatch):
    import w2s_pref.metrics

    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda _name: None)
        with pytest.raises(W2SError, match=r"needs the library evaluate, .* pip install 'w2s-pref\[evaluate\]'"):
            importlib.reload(w2s_pref.metrics)
    importlib.reload(w2s_pref.metrics)


def test_lists_of_different_lengths():
    with pytest.raises(W2SError, match="different lengths"):
        score_table({"weak": [1.0], "student": [1.0, 2.0]})
