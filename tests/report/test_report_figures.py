"""Figures: gaps stay gaps, scales clamp, the map shows the rule of knowing that was used."""

from __future__ import annotations

import re

import pytest

from w2s_pref.report.draw.format import duration, estimate, number, one_line, plain, undefined
from w2s_pref.report.draw.plot import strip
from w2s_pref.report.draw.svg import Scale, el, extent, line, ticks
from w2s_pref.report.sections import ladder, paired, regions, sweep, training
from w2s_pref.report.students import headline, students
from w2s_pref.results.estimates import Estimate

from .fixture import build


def test_numbers_as_words() -> None:
    assert [number(v) for v in (None, 0.5, -0.0001, 123456.0)] == ["undefined", "0.500", "0.000", "1.23e+05"]
    assert estimate(Estimate(estimate=0.5, interval=(0.4, 0.6)), 2) == "0.50 [0.40, 0.60]"
    assert estimate(Estimate(estimate=0.5), 2) == "0.50 (no interval)"
    assert undefined(Estimate(estimate=None, note="Undefined: no item flipped.")) == "undefined: no item flipped"
    assert estimate(None) == "not measured"
    assert [duration(s) for s in (4.21, 59.0, 143.2, 7800.0)] == ["4.2 s", "59 s", "2 min 23 s", "2 h 10 min"]


def test_foreign_text_loses_control_characters_only() -> None:
    assert plain("a\x1b[31m\u202eb\u2066c\nשלום") == "a\ufffd[31m\ufffdb\ufffdc\nשלום"
    assert one_line("a\n  b" + "x" * 300, 10) == "a bxxxxxx…"


def test_elements_escape_text_and_attributes() -> None:
    assert el("text", "<b>", class_='a"b') == '<text class="a&#34;b">&lt;b&gt;</text>'


def test_scale_clamps_and_survives_an_empty_range() -> None:
    assert Scale(0, 1, 10, 20)(-5) == 10
    assert Scale(0, 1, 10, 20)(5) == 20
    assert Scale(3, 3, 10, 20)(3) == 10
    assert extent([None, None]) == (0.0, 1.0)
    assert extent([0.5])[0] < 0.5 < extent([0.5])[1]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 7.9), (0.123, 0.124), (0.0, 1e6), (1.0, 1.0)])
def test_ticks_lie_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_lines_break_where_a_value_is_missing() -> None:
    drawn = line([(0, 0), (1, 1), None, (3, 3), (4, 4)], "main")
    assert drawn.count("M") == 2
    assert line([None, None], "main") == ""


def test_seeds_that_are_undefined_are_not_drawn() -> None:
    value = Estimate(estimate=0.5, interval=(0.4, 0.6), seeds=[0.45, None, 0.55])
    drawn = strip(value, (0.0, 1.0), 2, "Name")
    assert drawn.count("<circle") == 2
    assert "seeds: 0.45, undefined, 0.55" in drawn


def test_headline_prefers_the_no_conflict_reference_and_never_mixes() -> None:
    results = build()
    assert headline(results) == ("w2s", "gt_prob")
    assert {row.conflict for row in students(results) if row.deception is None} == {"none"}
    for arm in results.arms:
        for setting in arm.settings:
            setting.deception = [entry for entry in setting.deception if entry.reference == "ceiling"]
    assert headline(results) == ("ceiling", "gt_prob")
    assert all(row.deception is not None for row in students(results))


def test_map_under_the_other_rule_draws_both_edges_and_no_shades() -> None:
    results = build()
    assert regions.panel(results, results.region_maps[0]).svg.count('class="shade"') == 4
    for arm in results.arms:
        for setting in arm.settings:
            setting.deception = [entry for entry in setting.deception if entry.known_rule == "max_prob"]
    drawn = regions.panel(results, results.region_maps[0]).svg
    assert drawn.count('class="shade"') == 0
    assert drawn.count('class="cut"') == 4


def test_every_panel_carries_its_numbers_in_words() -> None:
    results = build()
    row = next(row for row in students(results) if row.deception is not None)
    assert row.deception is not None
    svg = sweep.panel(row, row.deception).svg
    assert "T 0.75: 0." in svg
    assert "undefined" in svg


def test_a_sweep_without_any_value_still_draws() -> None:
    results = build()
    row = next(row for row in students(results) if row.deception is not None)
    assert row.deception is not None
    for point in row.deception.sweep:
        point.score = point.null_share = point.lift = point.interval = None
    assert "<svg" in sweep.panel(row, row.deception).svg
    row.deception.sweep = row.deception.sweep[:1]
    assert "<svg" in sweep.panel(row, row.deception).svg


def test_many_stages_fold_and_long_curves_are_thinned() -> None:
    results = build()
    results.curves = [curve.model_copy(update={"name": f"stage {i}"}) for i, curve in enumerate(results.curves)]
    section = training.curves(results)
    assert section is not None
    assert len(section.blocks) == 2
    points = training.thin(results.curves[0].step, training.LOSS_POINTS)
    assert len(points) == training.LOSS_POINTS + 1
    assert points[-1] == results.curves[0].step[-1]


def test_ladder_counts_what_it_cannot_draw() -> None:
    results = build()
    section = ladder.section(results)
    assert section is not None
    panels = section.blocks[0].panels  # type: ignore[attr-defined]
    assert panels[1].note == "24 pairs drawn, 12 undefined"
    assert len(re.findall(r"class=\"fill", panels[1].svg)) == 24


def test_forest_is_symmetric_about_zero() -> None:
    results = build()
    section = paired.section(results)
    assert section is not None
    titles = [title for title, _ in section.blocks[0].groups]  # type: ignore[attr-defined]
    low, high = re.findall(r"-?\d+\.\d+", titles[0])
    assert float(low) == -float(high)
