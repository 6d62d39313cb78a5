"""The terminal: verdict first, numbers whole at 80 columns, reasons as footnotes, foreign text harmless."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from w2s_pref.report.compare import compare
from w2s_pref.report.draw.blocks import plain_table
from w2s_pref.report.draw.terminal import Grid

from .fixture import LONG, build
from .printing import printed

NUMBER = r"-?\d+\.\d+"


def test_verdict_comes_first() -> None:
    assert printed(build(), 100).startswith("Explicit conflict makes the student fail")


@pytest.mark.parametrize("width", [80, 100, 146, 200])
def test_no_line_is_too_wide_and_no_number_is_broken(width: int) -> None:
    text = printed(build(), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert "…" not in text
    tables = text[text.index("Arms and conflict settings") : text.index("Warnings")]
    for line in tables.splitlines():
        assert line.count("[0") == 0 or re.search(rf"\[{NUMBER}, {NUMBER}\]", line), line
    assert "0.741 [0.721, 0.765]" in text
    assert "0.324 [0.274, 0.384]" in text


def test_large_numbers_go_under_one_another_instead_of_being_cut() -> None:
    results = build()
    for arm in results.arms:
        for setting in arm.settings:
            setting.pgr.estimate, setting.pgr.interval = -1234.5678, (-23456.0, 9876.54)
            setting.performance.accuracy.interval = (-1000.0, 1000.0)
    text = printed(results, 80)
    assert "-1234.57" in text
    assert "[-2.35e+04, 9877]" in text
    assert "…" not in text


def test_one_wide_table_where_there_is_room() -> None:
    # accuracy and deception are one table or two, so are the gates and their verdicts; paired differences are one
    assert len([line for line in printed(build(), 160).splitlines() if line.startswith("Conflict ")]) == 3
    assert len([line for line in printed(build(), 80).splitlines() if line.startswith("Conflict ")]) == 5


def test_nulls_are_words_with_reasons() -> None:
    text = printed(build(), 80)
    assert "undefined (a)" in text
    assert "(a) gap within noise" in text
    assert "not measured" in text
    assert "not resolved" in text
    assert not re.search(r"\b(None|nan|inf)\b", text)


def test_control_characters_and_markup_do_nothing() -> None:
    text = printed(build(), 80)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]not markup[/bold]" in text


def test_long_names_wrap() -> None:
    results = build()
    results.arms[0].settings[0].conflict = LONG
    text = printed(results, 80)
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    assert "0.812 [0.792, 0.836]" in text


def test_absent_parts_are_left_out() -> None:
    text = printed(build(with_ladder=False, base=False, seeds=1), 80)
    assert "Ladder" not in text
    assert "base" not in text
    assert "Slope on the capability gap" in printed(build(), 80)


def test_comparison_fits_80_columns() -> None:
    text = printed(compare([build(), build(seeds=1), build(base=False)]), 80)
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    assert "0.741 [0.721, 0.765]" in text


def test_names_are_never_squeezed_into_single_letters() -> None:
    """Where names, and numbers above their intervals, have no room beside each other, there are two tables."""
    heads = ("rho with BSD", "raw", "95 %", "p (Holm)", "calibrated", "95 %", "p (Holm)", "verdict")
    row = ("Var strong", "0.60", "-0.47 to 1.00", "0.71", "0.76", "0.53 to 1.00", "0.32", "not resolved")
    text = printed([Grid(plain_table("", heads, [row]))], 80)
    assert [line.split("  ")[0] for line in text.splitlines() if "0.7" in line] == ["Var strong"] * 2
    assert "not resolved" in text
    assert printed([Grid(plain_table("", heads, [row]))], 120).count("Var strong") == 1
