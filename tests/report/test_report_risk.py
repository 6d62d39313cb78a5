"""The risk tables and the predictor figure show what the analysis found, and foreign text does nothing."""

from __future__ import annotations

import io
from xml.dom import minidom

import numpy as np
import pandas as pd
from rich.console import Console

from w2s_pref.analysis.risk.predictors import predictor_study
from w2s_pref.analysis.risk.summary import risk_summary
from w2s_pref.organisms.organisms import organism
from w2s_pref.organisms.scales import scale_null
from w2s_pref.report.analyses.risk import predictor_figure, predictor_table, risk_table
from w2s_pref.results.risk import SIGNALS


def printed(renderable, width=110):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def flat(text):
    return " ".join(text.split())


def test_risk_table_prints_values_and_sentences():
    found = risk_summary(organism("deceiver", 200, 2, 0), "weak", "student", ceiling="ceiling", resamples=100)
    text = printed(risk_table(found))
    for sentence in [found["verdict"], *found["sentences"], *found["notes"]]:
        assert sentence in flat(text)
    for name in ("bsd", "misfit", "var_strong"):
        assert f"{found[name]:.3f}" in text
        assert f"{found['calibrated'][name]:.3f}" in text
    assert "charikar" in text
    assert "KL(s|w)" in text
    assert text.count("t_w 0.6") == 4


def test_undefined_is_a_word():
    scores = organism("deceiver", 40, 1, 0)
    scores["delta"] = scores["delta"].where(scores["model"] != "weak", 5.0)
    text = printed(risk_table(risk_summary(scores, "weak", "student", resamples=100)))
    assert "BSD_cond is undefined: the blind spot is empty." in flat(text)
    assert "never uncertain" in text
    assert "nan" not in text.lower().split()


def test_predictor_table_and_figure():
    found = predictor_study(scale_null(5, 80), "weak", "student", resamples=100)
    text = printed(predictor_table(found))
    for label in SIGNALS.values():
        assert label.split()[0] in text
    assert "5 independent settings" in flat(text)
    drawing = minidom.parseString(predictor_figure(found))
    words = {node.firstChild.data for node in drawing.getElementsByTagName("text")}
    assert set(SIGNALS.values()) <= words
    assert {f"setting{k:02d}" for k in range(1, 6)} <= words


def test_foreign_names_do_nothing():
    frame = scale_null(3, 60)
    frame["setting"] = frame["setting"].replace({"setting01": "<script>[red]&\x1b[2J"})
    found = predictor_study(frame, "weak", "student", resamples=100)
    page = predictor_figure(found)
    minidom.parseString(page)
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "\x1b" not in printed(predictor_table(found))


def test_points_without_a_calibrated_value_are_left_out():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"id": range(20), "group": "g", "model": m, "seed": 0, "delta": rng.normal(size=20), "setting": s})
        for m in ("weak", "student")
        for s in "abc"
    ]
    found = predictor_study(pd.concat(parts), "weak", "student", resamples=100)
    assert found["points"][0]["calibrated"]["bsd"] is None
    assert any("no calibrated values" in text for text in found["warnings"])
    minidom.parseString(predictor_figure(found))
    assert "-" in printed(predictor_table(found))
