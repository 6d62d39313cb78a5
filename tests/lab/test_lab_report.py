"""The laboratory's pages: every study that ran has one, everything is escaped, nothing is loaded from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from test_lab_analysis import SETTINGS, answers, cell

from w2s_pref.analysis.lab.study import summarize
from w2s_pref.report.lab.pages import pages, show, write_pages
from w2s_pref.results.lab import LabBody

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def body() -> LabBody:
    """Two tasks, one of them with a name that would like to be HTML, all studies."""
    shares = {"floor": 0.65, "student": 0.8, "bold": 0.85, "large": 0.9, "ceiling": 0.95}
    shares |= {"student#final": 0.8, "student#best_weak": 0.82, "student#best_truth": 0.9}
    entries: list[dict[str, str]] = []
    for task in ("t", EVIL):
        entries += [
            cell("student", task=task, chain="w>m"),
            cell("large", task=task, chain="w>s"),
            cell("bold", method="conf", task=task, chain="w>s"),
            cell("student", "bootstrapping", task=task),
            cell("large", "bootstrapping", task=task, chain="w>m>s"),
        ]
        for study in ("saliency", "noise", "imitation", "easy_to_hard", "truncated"):
            entries += [cell(name, study, f"{study} {name}", task=task) for name in ("student", "large")]
    table = pd.concat([answers(shares, task=task, rng=n) for n, task in enumerate(("t", EVIL))])
    curve = pd.DataFrame({"progress": np.linspace(0, 1, 5), "weak_agreement": 0.7, "truth_accuracy": 0.6})
    curves = pd.concat([curve.assign(task=t, name=n, seed=0) for t in ("t", EVIL) for n in ("student", "large")])
    settings: dict[str, Any] = {**SETTINGS, "resamples": 100}
    return summarize(table, pd.DataFrame(entries), curves, settings)


def test_every_study_has_a_page_and_all_pages_know_each_other(body: LabBody, tmp_path: Path) -> None:
    written = write_pages("study", body, tmp_path)
    assert [path.name for path in written] == [
        "report.html",
        *(f"report-{name}.html" for name in ("scaling", "confidence", "agreement", "overfitting", "bootstrapping")),
        *(f"report-{name}.html" for name in ("saliency", "noise", "imitation", "easy_to_hard", "truncated")),
    ]
    for path in written:
        text = path.read_text("utf-8")
        links = set(re.findall(r'href="([^"#]+)"', text))
        assert links == {other.name for other in written} - {path.name}


def test_pages_are_escaped_and_stand_alone(body: LabBody, tmp_path: Path) -> None:
    for path in write_pages(EVIL, body, tmp_path):
        text = path.read_text("utf-8")
        assert "<script" not in text
        assert "default-src 'none'" in text
        assert not re.search(r'(src|href)="https?:', text)


def test_a_study_that_did_not_run_has_no_page(body: LabBody) -> None:
    less = body.model_copy(update={"bars": [], "difficulties": [], "contrasts": [], "trends": []})
    assert [page.title for page in pages(less)] == ["Overview", "Scaling", "Overfitting"]


def test_every_number_of_the_grid_is_in_the_table(body: LabBody, tmp_path: Path) -> None:
    text = write_pages("study", body, tmp_path)[0].read_text("utf-8")
    for each in body.cells:
        if each.study == "grid":
            assert f"{each.accuracy['student'].value:.3f}" in text
            assert f"{each.pgr.value:.3f}" in text


def test_easy_to_hard_shows_accuracy_by_difficulty(body: LabBody, tmp_path: Path) -> None:
    written = {path.name: path.read_text("utf-8") for path in write_pages("study", body, tmp_path)}
    for each in body.difficulties:
        assert all(f"{third.value:.3f}" in written["report-easy_to_hard.html"] for third in each.thirds)
    assert [name for name, text in written.items() if "Hardest third" in text] == ["report-easy_to_hard.html"]


def test_without_gaps_the_pages_still_stand(body: LabBody, tmp_path: Path) -> None:
    flat = answers({"floor": 0.5, "student": 0.5, "ceiling": 0.4})
    none = summarize(flat, pd.DataFrame([cell("student")]), pd.DataFrame(), {**SETTINGS, "resamples": 100})
    text = write_pages("study", none, tmp_path)[0].read_text("utf-8")
    assert "1 of 1 cells have no gap" in text
    assert "weak at chance" in text


def test_the_terminal_says_the_verdict_and_the_medians(body: LabBody) -> None:
    console = Console(width=160, record=True)
    show(body, console)
    text = console.export_text()
    assert body.verdict[0][:60] in text
    assert "w>m>s" in text
    assert "The one in [brackets], over seeds, leads" in text
    assert re.search(r"\{-?\d+\.\d+, -?\d+\.\d+\}", text)


def test_the_terminal_says_once_what_a_study_repeats_of_the_grid(body: LabBody) -> None:
    again = body.medians[0].model_copy(update={"study": "bootstrapping"})
    consoles = [Console(width=160, record=True) for _ in range(2)]
    show(body, consoles[0])
    show(body.model_copy(update={"medians": [*body.medians, again]}), consoles[1])
    assert consoles[0].export_text() == consoles[1].export_text()


def test_the_terminal_cuts_nothing_at_80_columns(body: LabBody) -> None:
    console = Console(width=80)
    with console.capture() as capture:
        show(body, console)
    text = capture.get()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text
