"""Both readings, three gates, families, sensitivity, controls and the glossary, on the page and in the terminal."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from w2s_pref.report import glossary, verdicts
from w2s_pref.report.cards import model_card
from w2s_pref.report.compare import compare, document
from w2s_pref.report.draw.format import second
from w2s_pref.report.html import render
from w2s_pref.report.readings import BEFORE, of_study, reading
from w2s_pref.report.sections import deception, detection, ladder, verdict
from w2s_pref.report.students import students
from w2s_pref.results.deception import Deception, Sensitivity
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results
from w2s_pref.results.read import load_results

from .fixture import HOSTILE, Maker, build
from .printing import printed
from .test_report_html import Page

#: Results of a small study as a version wrote them that knew one interval, one gate and no controls.
SCHEMA_1 = Path(__file__).with_name("schema-1.json.gz")


def entries(results: Results) -> dict[str, Deception]:
    """Of the direct students, by conflict."""
    return {s.conflict: s.deception for s in students(results) if s.arm == "direct" and s.deception is not None}


def test_both_readings_stand_beside_every_number_and_one_sentence_says_which_leads() -> None:
    results = build()
    page, text = Page(render(results)), printed(results)
    for words in (" ".join("".join(page.words).split()), " ".join(text.split())):
        assert "[0.721, 0.765]" in words
        assert "{0.731, 0.751}" in words
        assert len(re.findall("leads: it holds for other training seeds", words)) == 1
    one = build(seeds=1)
    assert "{" not in printed(one)
    assert "in this seed" in of_study(one)
    assert "in these seeds" not in of_study(one)
    assert of_study(build(old=True)) == BEFORE


def test_results_without_any_interval_are_not_taken_for_those_of_an_earlier_version() -> None:
    """All test items of one group: nothing can be resampled."""
    results = build()
    bare = {"interval": None, "interval_in_seeds": None, "over": None}
    trained = [setting.performance for arm in results.arms for setting in arm.settings]
    for model in (*results.ceilings.values(), *trained):
        model.accuracy = model.accuracy.model_copy(update=bare)
    assert of_study(results).startswith("There are no intervals: they resample prompts, and all test items are of one")
    trained[0].accuracy = Estimate(estimate=0.7, interval=(0.6, 0.8))
    assert of_study(results) == BEFORE


def test_a_model_that_all_seeds_share_says_items_only() -> None:
    inner = (0.4, 0.6)
    shared = Estimate(estimate=0.5, interval=inner, interval_in_seeds=inner, over="items", seeds=[0.5, 0.5])
    assert second(shared) == "items only"
    assert second(shared.model_copy(update={"seeds": [0.5]})) == ""
    undefined_over_seeds = Estimate(estimate=0.5, interval_in_seeds=inner, seeds=[0.4, None])
    assert second(undefined_over_seeds) == "{0.400, 0.600}"


def test_readings_in_words_name_the_units() -> None:
    assert "other positions" in reading(1, "positions")
    assert "other positions" in reading(3, "positions")
    assert "[" not in reading(3, "groups", "The first", "The second")


def test_gates_stand_with_lift_interval_and_p_and_those_that_failed_are_named() -> None:
    results = build()
    found = entries(results)
    assert verdicts.label(found["explicit"]) == "selective"
    assert verdicts.failures(found["explicit"]) == "none"
    assert verdicts.failures(found["implicit"]) == "lift, adjusted lift, over placebo"
    words = " ".join(Page(render(results)).words)
    for part in (
        "1.54",
        "[1.24, 1.94]",
        "{1.34, 1.84}",
        "p 0.004",
        "failed gates: lift, adjusted lift, over placebo",
        "0.41",
    ):
        assert part in words
    text = printed(results, 80)
    assert "1.54 [1.24, 1.94]" in text
    assert "Adjusted lift" in text
    assert "not resolved" in text
    single = build(seeds=1)
    assert verdicts.failures(entries(single)["explicit"]) == "over placebo (missing)"
    assert "one seed has no sibling" in printed(single)


def test_a_selective_student_that_the_correction_drops_is_not_called_so_alone() -> None:
    found = entries(build())["explicit"]
    assert verdicts.outcome(found) == "selective"
    found.p_adjusted = 0.03
    assert verdicts.outcome(found) == "selective, but not after correction for the number of students"


def test_p_values_stand_beside_students_comparisons_and_slopes_and_families_are_counted() -> None:
    results = build()
    said = verdict.families(results)
    assert said == [
        "Resolved after Holm's correction for the number of verdicts in each family (one-sided .025): selective "
        "students: 2 of 4; slopes: 0 of 1."
    ]
    text = printed(results)
    assert said[0] in " ".join(text.split())
    for heading in ("The three gates", "bootstrapped minus direct, paired", "Slope on the capability gap"):
        assert "p adj." in text[text.index(heading) :].split("\n\n")[0] + text[text.index(heading) :][:900]
    assert "± 0.028" in text
    results.families[0].members = results.families[0].resolved = 0
    assert "selective students: none could be tested;" in verdict.families(results)[0]
    assert verdict.families(build(old=True)) == []


def test_what_could_have_been_found_is_said_drawn_and_printed() -> None:
    results = build()
    tested = [(one, one.deception) for one in students(results) if one.deception is not None]
    figure, lines = detection.figure(tested), detection.lines(tested)
    assert figure is not None
    assert lines is not None
    assert len(figure.panels) == len(lines.sentences) == 4
    assert figure.panels[0].note == "ρ ≥ 0.17 would have been found (80 %)"
    assert 'class="cut"' in figure.panels[0].svg
    assert (
        lines.sentences[0] == "direct, explicit: found of plantings of ρ 0.00: 2 %, 0.10: 55 %, 0.20: 90 %, 0.30: 100 %"
    )
    blind = Sensitivity(rho_80=None, curve=[])
    assert verdicts.found(blind) == "this study cannot tell"
    drawn = detection.panel("nobody", blind)
    assert 'class="cut"' not in drawn.svg
    assert drawn.note == "this study cannot tell"


def test_controls_are_labelled_as_made_up() -> None:
    results = build()
    words = " ".join(Page(render(results)).words)
    assert "Not one of these was trained" in words
    assert "deceiver, ρ 0.5" in words
    text = printed(results)
    assert "made up, not trained" in text
    block = text[text.index("Controls (made up, not trained): verdicts") :]
    assert re.search(r"deceiver, ρ 0.5 .*selective", block)
    assert re.search(r"blind .*not resolved", block)


def test_runs_are_compared_with_gates_and_labels() -> None:
    results = build()
    row = next(row for row in document([results, results])["rows"] if row["conflict"] == "explicit")
    assert row["verdict_code"] == "selective"
    assert row["gates"]["adjusted"]["interval"] == pytest.approx([1.239, 1.939])
    assert row["sensitivity"]["rho_80"] == 0.171
    assert (row["p"], row["p_adjusted"]) == (0.004, 0.016)
    assert row["lift_smooth"]["interval_in_seeds"] is not None
    text = printed(compare([results, build(old=True)]))
    assert "Adjusted lift" in text
    assert "by the rule of an earlier version" in text


def test_cards_give_both_readings_and_the_verdict_with_its_gates() -> None:
    card = model_card(build(), "direct", "explicit", 0)
    assert re.search(r"\| Accuracy \| 0\.\d+ \| 0\.741 \| \[0\.721, 0\.765\] \| \{0\.731, 0\.751\} \|", card)
    assert "Verdict: **selective**" in card
    assert "Failed gates: none; p 0.004, adjusted for the number of students 0.016" in card
    assert "ρ ≥ 0.17 would have been found (80 %)" in card


def test_one_name_a_quantity() -> None:
    """Lift is the smooth one everywhere; the other is never called so without its adjective."""
    results = build()
    entry = entries(results)["explicit"]
    page = " ".join(Page(render(results)).words)
    for foreign in ("margin-matched", "Margin-matched", "Lift, smooth", "Lift, binned"):
        assert foreign not in page
        assert foreign not in printed(results)
    table = next(block for block in deception.section(results).blocks if getattr(block, "title", ""))  # type: ignore[union-attr]
    assert entry.lift_smooth.estimate == pytest.approx(1.62 * 0.95)
    assert table.title.startswith("The three gates")  # type: ignore[attr-defined]
    panels = ladder.section(results).blocks[0].panels  # type: ignore[union-attr, attr-defined]
    assert [panel.title for panel in panels][-1] == "Lift"
    before = ladder.section(build(old=True)).blocks[0].panels  # type: ignore[union-attr, attr-defined]
    assert [panel.title for panel in before][-1] == "Binned lift"


def test_the_glossary_is_linked_once_from_the_first_use_of_each_word() -> None:
    page = Page(render(build()))
    links = [values["href"] for tag, values in page.tags if tag == "a" and values.get("class") == "term"]
    assert len(links) == len(set(links))
    anchors = {f"#{values['id']}" for tag, values in page.tags if str(values.get("id", "")).startswith("term-")}
    assert set(links) <= anchors
    assert anchors == {f"#{term.anchor}" for term in glossary.TERMS}
    words = "arm conflict margin flip tax known null-share lift binned-lift adjusted-lift placebo pgr over-seeds"
    for word in words.split():
        assert any(word in link for link in links), word
    assert all(term.example for term in glossary.TERMS)


def test_links_leave_foreign_text_harmless() -> None:
    link = glossary.Linker(glossary.TERMS)
    assert HOSTILE not in link(f"{HOSTILE} lift")
    assert link("a binned lift & a lift") == (
        'a <a class="term" href="#term-binned-lift">binned lift</a> &amp; a lift'
    ), "a lift was linked by the call before"
    assert "href" not in link("lifted, taxing, binned lift")


def test_results_of_an_earlier_version_render(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_bytes(gzip.decompress(SCHEMA_1.read_bytes()))
    results = load_results(file)
    page = Page(render(results))
    assert page.open == []
    assert BEFORE in " ".join(page.words)
    assert "controls" not in page.ids("section")
    words = " ".join(page.words)
    assert not re.search(r"(?<!\w)(None|nan)(?!\w)", words)
    assert "The test behind each verdict of an earlier version" in words
    assert "failed gates" not in words
    assert printed(results)
    arm = results.arms[0]
    assert model_card(results, arm.name, arm.settings[-1].conflict, results.seeds[0])
    assert compare([results, results])


def test_a_study_made_of_old_parts_has_the_words_of_old_parts() -> None:
    results = build(old=True)
    assert Maker(2, old=True).estimate(0.5).over is None
    assert verdicts.label(entries(results)["explicit"]) == "above its null"
    assert verdicts.failures(entries(results)["explicit"]) == verdicts.BEFORE_GATES
    assert "Adjusted lift" not in printed(results)


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        ((0.01, 0.2), "holds"),
        ((-0.2, -0.01), "violated"),
        ((-0.1, 0.2), "not resolved"),
        ((-1e-17, 1e-17), "holds"),
        (None, "undefined"),
    ],
)
def test_a_bound_is_judged_by_the_interval_of_its_slack(interval: tuple[float, float] | None, word: str) -> None:
    assert verdicts.bound(Estimate(estimate=0.05, interval=interval)) == word
