"""Sections are written once: a further one stands on the page and in the terminal, foreign text harmless in both."""

from __future__ import annotations

import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.report.draw.blocks import Block, Code, Column, Facts, Fold, Points, Prose, Section, Table, Value, Warnings
from w2s_pref.report.draw.format import computing
from w2s_pref.report.draw.terminal import parts
from w2s_pref.report.html import render
from w2s_pref.report.sections.paired import section as paired_section
from w2s_pref.report.sections.paired import unpaired
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results

from .fixture import ESCAPES, HOSTILE, IMAGE, build
from .printing import printed
from .test_report_html import ORDER, Page

FOUND = Estimate(estimate=0.5, interval=(0.4, 0.6), seeds=[0.45, 0.55])
NOTHING = Estimate(estimate=None, note=f"Undefined: {HOSTILE}.")


def mine(results: Results) -> Section:
    """Every kind of block that both show, made of text that would like to be something else."""
    columns: list[Column[tuple[str, Estimate | None]]] = [
        Column(f"Name {IMAGE}", lambda row: row[0]),
        Column("Both", lambda row: row[1], 2, axis="both", neutral=0.45),
        Column("Page only", lambda row: Value(row[1], [f"note {HOSTILE}"], f"absent {IMAGE}"), where="page"),
        Column("Terminal only", lambda row: Value(f"[bold]{ESCAPES}[/bold]", tone="code"), where="terminal"),
    ]
    rows = [(f"found {HOSTILE}", FOUND), ("undefined", NOTHING), ("absent", None)]
    blocks: list[Block] = [
        Table(f"Caption {HOSTILE}", columns, [(f"Group {IMAGE}", rows)]),
        Prose([f"Prose {HOSTILE}"]),
        Points([f"Point {HOSTILE}"]),
        Warnings([f"Warning {HOSTILE}"]),
        Facts([(f"Fact {HOSTILE}", IMAGE)]),
        Code(ESCAPES, "code"),
        Fold(f"Fold {HOSTILE}", [Prose(["Inside"])]),
        Prose(["For the page"], where="page"),
        Prose(["For the terminal"], where="terminal"),
    ]
    return Section("mine", f"My section {HOSTILE}", blocks)


def test_a_further_section_stands_last_on_the_page() -> None:
    text = render(build(), extra=[mine])
    page = Page(text)
    assert page.ids("section") == [*ORDER, "mine"]
    assert page.open == []
    words = "".join(page.words)
    for part in ("Caption", "Prose", "Point", "Warning", "Fact", "Fold", "note", "My section"):
        assert f"{part} {HOSTILE}" in words
    assert f"absent {IMAGE}" in words
    assert "Page only" in words
    assert "For the page" in words
    assert "Terminal only" not in words
    assert "For the terminal" not in words
    assert "<script" not in text
    assert "<img" not in text
    assert not set("\x1b\x07") & set(text)


def test_the_same_section_in_the_terminal() -> None:
    text = printed(build(), 160, [mine])
    for part in ("Caption", "Prose", "- Point", "! Warning", "Fact", "(a)"):
        assert f"{part} {HOSTILE}" in text
    assert "0.50 [0.40, 0.60]" in text
    assert "not measured" in text
    assert "Terminal only" in text
    assert "For the terminal" in text
    assert "Inside" in text
    assert "[bold]red" in text
    assert "Page only" not in text
    assert "For the page" not in text
    assert not set("\x1b\x07") & set(text)
    assert max(len(line) for line in printed(build(), 80, [mine]).splitlines()) <= 80


def test_results_without_it_print_and_render_as_before() -> None:
    def none(results: Results) -> None:
        return None

    assert render(build(), extra=[none]) == render(build())


def test_a_name_that_is_taken_is_refused() -> None:
    def verdict(results: Results) -> Section:
        return Section("verdict", "Mine")

    for further in ([verdict], [mine, mine]):
        with pytest.raises(W2SError, match="two sections of the report are called"):
            render(build(), extra=further)


def test_parts_of_a_wide_table_stand_one_below_the_other_where_it_is_narrow() -> None:
    columns = [
        Column[Estimate]("Row", lambda _: "row"),
        Column[Estimate]("First", lambda value: value, part="Part one"),
        Column[Estimate]("Second", lambda value: value, part="Part two"),
    ]
    table = Table("Caption", columns, [("", [FOUND])], title="Together")

    def lines(width: int) -> list[str]:
        return [line.strip() for line in printed(parts([table]), width).splitlines()]

    assert [line for line in lines(80) if line.startswith(("Part", "Together"))] == ["Part one", "Part two"]
    assert [line for line in lines(160) if line.startswith(("Part", "Together"))] == ["Together"]


def test_columns_of_one_axis_share_a_scale_that_holds_their_neutral_value() -> None:
    low, high = Estimate(estimate=0.2, seeds=[0.2]), Estimate(estimate=0.8, seeds=[0.8])
    columns = [
        Column[tuple[Estimate, Estimate]]("Row", lambda _: "row"),
        Column[tuple[Estimate, Estimate]]("Low", lambda row: row[0], 2, axis="a", neutral=1.0),
        Column[tuple[Estimate, Estimate]]("High", lambda row: row[1], 2, axis="a", neutral=1.0),
    ]
    text = render(
        build(), extra=[lambda _: Section("mine", "Mine", [Table("Caption", columns, [("", [(low, high)])])])]
    )
    own = text[text.index('<section id="mine"') :]
    assert own.count('<span class="ends">0.15 … 1.00</span>') == 2


def test_an_arm_that_is_in_no_paired_table_is_named_with_the_reason() -> None:
    results = build()
    assert unpaired(results) == []
    alone = results.arms[0].model_copy(update={"name": "shorter", "chain": ["tiny", "small"]})
    results.arms.append(alone)
    [sentence] = unpaired(results)
    assert sentence.startswith("shorter is not here: arms are paired where they begin with the same weak model")
    assert sentence.endswith("no other arm goes from tiny to small.")
    found = paired_section(results)
    assert found is not None
    assert found.blocks[-1] == Points([sentence])
    results.comparisons, results.arms = [], [alone]
    assert paired_section(results) is None  # one arm: nothing could stand in such a table


def test_computing_time_names_its_clock() -> None:
    assert computing(143.2, None) == "2 min 23 s by the clock"
    assert computing(143.2, 250.0) == "2 min 23 s by the clock, 4 min 10 s of processor time"
