"""Counts are called what they count: rows, which are items times seeds; and no heading is the name of a class."""

from __future__ import annotations

from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.organisms.organisms import organism
from w2s_pref.report.analyses.scores import deception_table
from w2s_pref.report.cards import model_card
from w2s_pref.report.html import render

from .fixture import build
from .test_report_analyses import line, printed

ITEMS, SEEDS = 300, 3


def test_the_cells_of_a_score_table_add_up_to_its_rows() -> None:
    scores = organism("deceiver", ITEMS, SEEDS, 0)
    result = analyze_deception(scores, "weak", "ceiling", "reference", "student", resamples=50)
    assert sum(cell["n"] for cell in result["cells"].values()) == ITEMS * SEEDS
    text = printed(deception_table(result))
    assert line(text, "conflict tax").split()[2:] == ["(rows)", str(result["tax"])]
    assert line(text, "cell").split() == ["cell", "rows", "tax", "rate"]


def test_a_card_says_rows_of_rows() -> None:
    results = build()
    entry = results.arms[0].settings[1].deception[0]
    card = model_card(results, "direct", "explicit", 0)
    assert f"measured on {entry.n} rows (items × seeds)" in card.replace("\u202f", "")
    assert f"Conflict tax: {entry.tax} rows." in card.replace("\u202f", "")


def test_the_table_of_regions_has_headings_in_words() -> None:
    page = render(build())
    assert "RegionCounts" not in page
    assert "Rows (items × seeds) of each region" in page
