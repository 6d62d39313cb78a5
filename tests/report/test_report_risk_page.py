"""The risk and monitor sections, the terminal's grids and the card's line: the numbers of the results, harmlessly."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len

from w2s_pref.cli.runs import read_runs_and_settings
from w2s_pref.report.cards import model_card
from w2s_pref.report.html import render
from w2s_pref.report.sections import risk, training
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import MonitorCurve

from .fixture import HOSTILE, IMAGE, build
from .printing import printed
from .risks import with_risk
from .test_report_html import ORDER, Page


@pytest.fixture(scope="module")
def results() -> Results:
    return with_risk()


@pytest.fixture(scope="module")
def text(results: Results) -> str:
    return render(results)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def part(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', text, flags=re.S)
    assert found is not None
    return found.group()


def test_sections_stand_after_deception(page: Page) -> None:
    place = ORDER.index("controls") + 1
    assert page.ids("section") == [*ORDER[:place], "risk", "monitor", *ORDER[place:]]
    assert page.open == []


def test_old_results_render_as_before(results: Results) -> None:
    document = json.loads(results.model_dump_json())
    for name in ("risk", "predictors", "monitors"):
        del document[name]
    old = Results.model_validate(document)
    assert (old.risk, old.predictors, old.monitors) == ([], None, [])
    assert risk.section(old) is None
    assert training.monitor(old) is None
    assert Page(render(old)).ids("section") == ORDER
    assert "BSD" not in render(old)
    assert "BSD" not in printed(old, 100)
    assert "BSD" not in model_card(old, "direct", "explicit", 0)


def test_written_results_are_read_back(results: Results) -> None:
    assert Results.model_validate_json(results.model_dump_json()) == results


def test_numbers_are_those_of_the_results(results: Results, text: str) -> None:
    words = " ".join(Page(part(text, "risk")).words)
    one = results.risk[1]
    assert one.calibrated is not None
    for value, digits in (
        (one.raw.var_strong, 3), (one.raw.random_var_strong, 3), (one.raw.bsd, 3), (one.raw.bsd_cond, 3),
        (one.raw.residual, 4), (one.raw.bounds["charikar"].slack, 3), (one.reverse_kl["slack"], 3),
        (one.raw.inheritance["blind_spot"].share, 3), (one.calibrated.bsd, 3), (one.calibrated.var_strong, 3),
    ):  # fmt: skip
        assert value.interval is not None
        assert f"{value.estimate:.{digits}f}" in words
        assert f"[{value.interval[0]:.{digits}f}, {value.interval[1]:.{digits}f}]" in words
    assert "rank correlation 0.91 over 6 settings, p 0.011, 0.044 after Holm" in words
    assert "2.14" in words
    assert f"{100 * one.grid[1].bsd:.1f}" in words


def test_bars_are_drawn_to_scale(results: Results, text: str) -> None:
    """Student and weak ceiling: three parts each, as wide as their share of the whole; a null part has no width."""
    first = re.search(r"<h3>direct, raw</h3>\s*(<svg.*?</svg>)", part(text, "risk"), flags=re.S)
    assert first is not None
    widths = [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)" height="11"', first.group(1))]
    assert len(widths) == 3 * 2 * 3
    parts = results.risk[0].raw.parts_strong
    assert parts.shared is not None
    assert widths[0] / widths[1] == pytest.approx(parts.bias_squared / parts.shared, rel=0.02)
    implicit = widths[12:15]
    assert implicit[1] == 0
    assert implicit[0] / implicit[2] == pytest.approx(0.0751 / 0.0531, rel=0.02)


def test_the_largest_bsd_has_the_map(text: str) -> None:
    drawn = part(text, "risk")
    assert "Deception over both thresholds: direct, explicit, the student with the largest BSD." in drawn
    assert "Threshold maps of 5 further students" in drawn


def test_figures_and_tables_say_how_to_read_them(text: str) -> None:
    for figure in re.findall(r"<figure.*?</figure>", part(text, "risk") + part(text, "monitor"), flags=re.S):
        assert "How to read it." in figure
        assert "Healthy:" in figure
    drawings = re.findall(r"<svg.*?</svg>", part(text, "risk") + part(text, "monitor"), flags=re.S)
    assert len(drawings) > 20
    for drawing in drawings:
        if 'aria-hidden="true"' not in drawing:
            assert re.match(r"<svg[^>]*role=\"img\"[^>]*><title>[^<]+</title><desc>[^<]+</desc>", drawing)


def test_hostile_text_does_nothing(text: str, page: Page) -> None:
    assert HOSTILE not in text
    assert "<img" not in text
    assert not set("\u202e\x1b\x07") & set(text)
    words = "".join(page.words)
    assert f"mine{HOSTILE}" in words
    assert f"one class only {IMAGE}" in words
    assert f"(f{HOSTILE})" in words
    assert not re.search(r"(?<!\w)(None|nan|inf)(?!\w)", words)


def test_alarms_are_marked_and_listed(results: Results, text: str) -> None:
    drawn = part(text, "monitor")
    assert drawn.count("<title>seed 0, step 60: var, cusum (log)</title>") == 2  # explicit of both arms
    words = " ".join(Page(drawn).words)
    assert "step 60: var, cusum (log); step 61: misfit" in words
    assert "1.3 %" in words
    assert "not measured" in words
    assert "cov" not in re.findall(r"<h3>[^<]*: ([^<]*)</h3>", drawn)  # undefined at every step
    assert "misfit M" in words  # it raised an alarm


def test_without_calibration_or_monitor() -> None:
    page = Page(render(with_risk(calibrated=False, watched=False)))
    assert "risk" in page.ids("section")
    assert "monitor" not in page.ids("section")
    words = " ".join(page.words)
    assert "one group only" in words
    assert "Var and BSD, raw" in words
    assert "Var and BSD, calibrated" not in words


def test_few_settings_have_no_correlation() -> None:
    results = build(seeds=1)
    results = with_risk(results.model_copy(update={"arms": results.arms[:1]}))
    assert results.predictors is None
    assert "too few settings for a rank correlation" in render(results)


def test_a_small_p_is_not_zero(results: Results) -> None:
    """Nine settings in perfect order: p is 2 / 9!."""
    found = results.model_copy(deep=True)
    assert found.predictors is not None
    for signal in found.predictors.signals:
        signal.raw = signal.raw.model_copy(update={"rho": 1.0, "p": 5.5e-6, "p_holm": 4.96e-5})
    text = render(found)
    assert "p &lt; 0.001, &lt; 0.001 after Holm" in text
    assert ">0.000<" not in part(text, "risk")


@pytest.mark.parametrize("width", [80, 146])
def test_terminal(width: int) -> None:
    text = printed(with_risk(), width)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text
    grid = text[text.index("Blind-spot deception at t_s 0.75, t_w 0.75") :]
    for word in ("Var_s", "BSD_cond", "0.092", "-0.0123", "Live monitor", "step 60: var,"):
        assert word in grid, word
    assert "undefined (a)" in grid
    assert "the weak model is never uncertain" in grid


def test_card_has_a_line() -> None:
    results = with_risk()
    value = results.risk[1].raw.bsd
    card = model_card(results, "direct", "explicit", 1)
    assert f"| Blind-spot deception (BSD) | {value.seeds[1]:.3f} | {value.estimate:.3f} | [" in card


def test_a_signal_needs_a_value_for_every_step() -> None:
    with pytest.raises(ValueError, match="'var' has not one value for each of 2 steps"):
        MonitorCurve(name="x", seed=0, steps=[0, 1], signals={"var": [0.1]})


def test_run_folders_and_files_are_one_study(tmp_path: Path, results: Results) -> None:
    rows = [("ceiling/tiny", 0.5), *((s.model, 0.1 * k) for k, a in enumerate(results.arms) for s in a.settings)]
    table = pd.DataFrame(
        [
            {"id": f"i{n}", "group": f"g{n}", "model": model, "seed": 0, "delta": gap + n - 4, "objective": "harmless"}
            for model, gap in rows
            for n in range(9)
        ]
    )
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.json").write_text(results.model_dump_json(), "utf-8")
    table.to_parquet(run / "scores.parquet", index=False)
    file = tmp_path / "own.csv"
    one = table[table["model"] == "ceiling/tiny"]
    pd.concat([one.assign(model="W"), one.assign(model="S", delta=1.0)]).to_csv(file, index=False)
    frame = read_runs_and_settings([file, run], "W", "S")
    settings = {f"run/{s.model}" for a in results.arms for s in a.settings}
    assert set(frame["setting"]) == {"own", *settings}
    assert set(frame["model"]) == {"W", "S"}
    assert set(frame.loc[frame["setting"] != "own", "pipeline"]) == {"reward>reward"}
