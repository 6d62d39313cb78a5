"""Reports of studies with policies: side by side by method, what is said, length; and nothing new without policies."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from w2s_pref.report.cards import model_card
from w2s_pref.report.compare import compare, document
from w2s_pref.report.html import render
from w2s_pref.report.mismatch import incomparable
from w2s_pref.report.sections.methods import side_by_side
from w2s_pref.results.preferences import Results, Round

from .fixture import HOSTILE, Maker, build
from .policies import METHODS, with_policies
from .printing import printed
from .test_report_html import ORDER, Page

OWN = list(METHODS)[-1]


@pytest.fixture(scope="module")
def results() -> Results:
    return with_policies()


@pytest.fixture(scope="module")
def text(results: Results) -> str:
    return render(results)


def only(results: Results, *methods: str) -> Results:
    """The same study with the arms of some methods."""
    arms = [arm for arm in results.arms if arm.method in methods]
    names = {arm.name for arm in arms}
    return results.model_copy(update={"arms": arms, "speech": [one for one in results.speech if one.arm in names]})


def test_the_page_has_the_new_sections_and_all_is_closed(text: str) -> None:
    page = Page(text)
    assert [name for name in page.ids("section") if name not in ORDER] == ["methods", "speech", "length"]
    assert page.open == []
    assert HOSTILE not in text
    assert "<img" not in text
    words = "".join(page.words)
    assert f"mine{HOSTILE}" in words
    assert "have no counterpart" in words
    assert not re.search(r"(?<!\w)(None|nan|inf)(?!\w)", words)


def test_every_figure_and_table_says_how_to_read_it(text: str) -> None:
    for name in ("methods", "speech", "length"):
        section = re.findall(rf'<section id="{name}".*?</section>', text, flags=re.S)[0]
        assert section.count("<caption>") == section.count("<table")
        assert section.count("How to read it.") >= max(1, section.count("<figure"))


def test_numbers_are_those_of_the_results(results: Results, text: str) -> None:
    one = results.speech[0]
    rate = one.win_rate["oracle_target"]
    assert rate.interval is not None
    section = "".join(Page(re.findall(r'<section id="speech".*?</section>', text, flags=re.S)[0]).words)
    assert f"{rate.estimate:.3f}[{rate.interval[0]:.3f}, {rate.interval[1]:.3f}]" in section
    assert "value 1.31, ref. 0.77" in section
    assert "strong does not, weak knows80" in section.replace("\n", "")
    assert "undefined" in section
    length = "".join(Page(re.findall(r'<section id="length".*?</section>', text, flags=re.S)[0]).words)
    assert "214 of 300 test items are kept" in length
    assert "0.591 [0.561, 0.627]" in length
    assert "31all items 88" in length


def test_rows_are_methods_and_columns_supervisions(results: Results) -> None:
    table = side_by_side([("", results)])
    assert table is not None
    assert list(table.supervisions) == ["direct", "bootstrapped"]
    assert [line.method for line in table.under("explicit")] == list(METHODS)
    assert [metric.key for metric in table.metrics] == [
        "accuracy", "conflict_accuracy", "pgr", "deception_score", "lift_smooth", "win_rate"
    ]  # fmt: skip
    line = next(line for line in table.under("explicit") if line.method == "ppo")
    assert [row.arm for row in line.students if row is not None] == ["direct@ppo", "bootstrapped@ppo"]
    assert [list(part) for part in table.parts(6)] == [list(table.metrics[:3]), list(table.metrics[3:])]
    assert [len(part) for part in table.parts(1)] == [1] * 6


def test_a_single_method_has_no_side_by_side_and_reward_models_nothing_new(results: Results) -> None:
    ids = Page(render(only(results, "dpo"))).ids("section")
    assert [name for name in ids if name not in ORDER] == ["speech", "length"]
    rewards = only(results, "reward")
    assert rewards.length_matched is not None
    assert Page(render(rewards)).ids("section") == ORDER
    assert "Methods side by side" not in printed(rewards, 80)
    assert "Length-matched" not in printed(rewards, 80)


def test_a_missing_arm_is_said(results: Results) -> None:
    arms = [arm for arm in results.arms if arm.name != "bootstrapped@ppo"]
    lame = results.model_copy(update={"arms": arms})
    assert "no such arm" in render(lame)
    assert "no such arm" in printed(lame, 80)


def test_too_few_items_to_match_is_a_sentence(results: Results) -> None:
    found = results.length_matched
    assert found is not None
    note = found.model_copy(update={"rows": [], "note": f"Only 3 of 300 items {HOSTILE}"})
    text = render(results.model_copy(update={"length_matched": note}))
    assert "Only 3 of 300 items &lt;script&gt;" in text


@pytest.mark.parametrize("width", [80, 160])
def test_terminal(results: Results, width: int) -> None:
    shown = printed(results, width)
    assert all(cell_len(line) <= width for line in shown.splitlines())
    assert "Win rate against the reference (oracle)" in " ".join(shown.split())
    assert re.search(r"DPO +0\.741 \[0\.721, 0\.765\] +0\.753 \[0\.733, 0\.777\]", shown)
    assert "only ranks" in shown
    assert "What policies say; win rate against the reference by the oracle" in shown
    assert "Ranking against speech, all regions" in shown
    assert "Length-matched items, 214 of 300" in shown


def test_runs_line_up_by_supervision_and_method(results: Results) -> None:
    """One run calls its only arms by the supervision, the other by supervision and method: still the same students."""
    other = only(results, "dpo").model_copy(deep=True)
    for arm in other.arms:
        arm.name = arm.supervision
        for setting in arm.settings:  # what is the same in all runs is only named
            setting.pgr.estimate = 0.123
    text = printed(compare([only(results, "reward", "dpo"), other]))
    assert "direct, DPO, explicit" in text
    lined = text[text.index("direct, DPO, explicit") :].splitlines()[1:4:2]  # between them the reading in these seeds
    assert [line.split()[:2] for line in lined] == [["A", "0.741"], ["B", "0.741"]]
    assert "not in this run" in text
    assert "Methods side by side: Accuracy" in text
    assert re.search(r"DPO, B +0\.741 ", text)
    assert "What policies say" in text
    rows = document([results, build()])["rows"]
    own = next(row for row in rows if row["run"] == "A" and row["arm"] == "direct@dpo" and row["conflict"] == "none")
    assert (own["supervision"], own["method"], own["win_rate"]["estimate"]) == ("direct", "dpo", 0.66)
    assert "What policies say" not in printed(compare([build(), build()]))
    assert "direct, none" in printed(compare([build(), build()]))


def test_another_judge_cannot_be_compared(results: Results) -> None:
    other = results.model_copy(deep=True)
    for one in other.speech:
        one.judge = "gold_target"
    assert any("judge of the win rates (A: oracle; B: gold judge)" in r for r in incomparable([results, other], "AB"))
    assert incomparable([results, build()], "AB") == []


def test_cards_of_policies(results: Results) -> None:
    card = model_card(results, "direct@dpo", "explicit", 1)
    assert "- dpo\n" in card
    assert "- policy\n" in card
    assert "reward-model" not in card
    assert "base_model" not in card  # the models of this study are folders
    assert "Method: DPO" in card
    assert "Reference: reference/direct@dpo/explicit" in card
    rate = results.speech[1].win_rate["oracle_target"]
    assert rate.seeds[1] is not None
    assert f"| Win rate against the reference, oracle | {rate.seeds[1]:.3f} | 0.410 | [0.380, 0.446] |" in card
    assert "## What it says" in card
    for conflict in ("none", "explicit", "implicit"):
        own = model_card(results, f"direct@{OWN}", conflict, 0)
        assert HOSTILE not in own.split("---\n", 2)[2]
        assert "<img" not in own.split("---\n", 2)[2]
    plain = model_card(results, "direct", "explicit", 1)
    assert "- reward-model\n" in plain
    assert "What it says" not in plain


def test_results_round_trip_and_old_ones_load(results: Results) -> None:
    assert Results.model_validate_json(results.model_dump_json()) == results
    old = build().model_dump()
    for name in ("speech", "length_matched"):
        del old[name]
    for arm in old["arms"]:
        del arm["method"], arm["supervision"]
    assert render(Results.model_validate(old)) == render(build())


def test_every_round_stands_with_what_it_writes(results: Results) -> None:
    """A round that nobody let speak has its accuracy alone; the last one is the student, whose speech is known."""
    make, changed = Maker(2), results.model_copy(deep=True)
    arm, said = next((a, one) for one in changed.speech for a in changed.arms if a.name == one.arm)
    first = Round(model="round 0", number=0, accuracy=make.estimate(0.613))
    arm.rounds = [first, Round(model=said.model, number=1, accuracy=make.estimate(0.654), gain=make.estimate(0.041))]
    shown = printed(changed, 120)
    assert "Rounds" in shown
    assert re.search(r"0\s+0\.613 ", shown)
    assert re.search(rf"1\s+0\.654 .*0\.041 .*{said.win_rate['oracle_target'].estimate:.3f} ", shown)
    assert "Rounds" not in printed(results, 120)
    assert "Round by round" in render(changed)
    assert Results.model_validate_json(changed.model_dump_json()) == changed
    assert "rounds" not in results.model_dump()["arms"][0]
