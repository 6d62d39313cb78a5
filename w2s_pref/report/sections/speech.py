"""What policies say: win rates, values and form of their answers, and ranking against speech by region."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Column, Figure, Fold, Guide, Panel, Section, Table, Value, Warnings
from w2s_pref.report.draw.format import count, estimate, number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import line_swatch, mark_swatch
from w2s_pref.report.students import CELL_WORDS, JUDGE_WORDS, by_arm, judge_word, win_rate
from w2s_pref.results.deception import CELLS
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results
from w2s_pref.results.speech import BestOf, Disagreement, Judge, Said, Speech, SpokenShares

RATES_GUIDE: Final = Guide(
    "Win rate: of the policy's sample and its reference's on the same prompt, how often the judge puts the policy's "
    "higher; ties count one half, an unparseable answer loses. The dashed line is one half. KL: mean log-probability "
    "of the policy's own samples minus the reference's, in nats. Value: the judge's mean, and that of the reference.",
    "Win rates above one half by oracle and gold judge alike, at a small KL. A gold judge that is pleased where the "
    "oracle is not has been gamed.",
)
FORM_GUIDE: Final = Guide(
    "Means over samples; the reference's beneath. Tokens are those of the answer; never ended: cut at the limit.",
    "Close to the reference. Long, refused, unparseable or unended answers explain a win rate before content does.",
)
SEARCH_GUIDE: Final = Guide(
    "Best of N: of N answers that the model wrote alone the one that the weak policy puts highest, N being what the "
    "search's tokens pay for. Tokens: drawn from the strong model for one answer. Win rate: of the search over it.",
    "Above one half: choosing while writing gains more than choosing afterwards, for the same tokens.",
)
REGION_GUIDE: Final = Guide(
    "Share of items ranked right (circle: the true answer scores higher) and spoken right (diamond: the policy's own "
    "answer is worth at least the middle between the pair's two), with 95 % intervals, for all items and by what the "
    "strong and the weak ceiling know. Empty regions stay empty.",
    "Both marks together in every region. Apart under “strong only”: the policy ranks what the weak model cannot "
    "check, but does not say it.",
)
PLACES: Final[Sequence[tuple[str, str, str]]] = (
    ("", "all", "items"), ("sk_wk", "both", "know"), ("sk_wuk", "strong", "only"), ("suk_wk", "weak", "only"),
    ("suk_wuk", "neither", "knows"),
)  # fmt: skip
#: In the order of the columns.
JUDGES: Final[Sequence[Judge]] = ("oracle_target", "gold_target", "oracle_conflict", "gold_conflict")
FORM: Final[Sequence[tuple[str, int, Callable[[Said], Estimate]]]] = (
    ("Tokens", 1, lambda said: said.tokens),
    ("Refuses", 3, lambda said: said.refusal),
    ("Unparseable", 3, lambda said: said.unparseable),
    ("Never ended", 3, lambda said: said.unended),
)


def section(results: Results) -> Section | None:
    """Win rates, ranking against speech, form; none where nobody spoke."""
    if not results.speech:
        return None
    spoken = [(one, one.disagreement) for one in results.speech if one.disagreement is not None]
    blocks: list[Block] = [
        Table(
            "Win rate of each policy against the model it started from, by every judge there is.",
            [Column("Policy", _name), *_rates(results.speech)],
            by_arm(results.speech),
            RATES_GUIDE,
            stack=True,
            title=title([results]),
        )
    ]
    searched = [one for one in results.speech if one.best_of is not None]
    if searched:
        caption = "Searches against the best of N answers for the same tokens of the strong model."
        blocks.append(Table(caption, list(_searches(searched)), by_arm(searched), SEARCH_GUIDE))
    if spoken:
        words = JUDGE_WORDS[spoken[0][1].judge]
        caption = f"Ranked right and spoken right by region; speech valued by the {words}."
        blocks.append(Figure(caption, [_panel(one, found) for one, found in spoken], REGION_GUIDE, key=_key()))
        blocks.append(Fold("Ranking against speech in numbers", [_numbers(spoken)], where="page"))
        groups = by_arm(one for one, _ in spoken)
        blocks.append(Table("Ranking against speech, all regions", OVERALL, groups, where="terminal"))
    caption = "Form of the answers: length in tokens, and shares of samples."
    form = [Column("Policy", _name), *(_form(*each) for each in FORM)]
    blocks.append(Table(caption, form, by_arm(results.speech), FORM_GUIDE, stack=True, where="page"))
    notes = [f"{one.model}: {note}" for one in results.speech for note in one.notes]
    if notes:
        blocks.append(Warnings(notes, "Notes on the samples", where="page"))
    return Section("speech", "What policies say", blocks, "Speech")


def title(runs: Sequence[Results]) -> str:
    """Who judged; that the judges differ where they do."""
    judges = list(dict.fromkeys(judge_word(run) for run in runs if run.speech))
    if len(judges) > 1:
        return "What policies say (judges differ)"
    return (
        f"What policies say; win rate against the reference by the {judges[0]}" if any(judges) else "What policies say"
    )


def _name(one: Speech) -> str:
    return one.model if one.conflict is None else one.conflict


#: What the terminal says of a policy.
BRIEF: Final[tuple[Column[Speech], ...]] = (
    Column("Win rate", lambda one: win_rate(one), where="terminal"),
    Column("KL", lambda one: one.kl, 2, bounds=False, where="terminal"),
    Column("Tokens", lambda one: one.said.tokens, 1, bounds=False, where="terminal"),
    Column("Refused", lambda one: one.said.refusal, bounds=False, where="terminal"),
    Column("Unparsed", lambda one: one.said.unparseable, bounds=False, where="terminal"),
    Column("Unended", lambda one: one.said.unended, bounds=False, where="terminal"),
)


def _rates(speech: Sequence[Speech]) -> Iterator[Column[Speech]]:
    """On the page the win rates by every judge, all on one scale, and the KL; in the terminal what is brief."""
    for judge in JUDGES:
        if any(judge in one.win_rate for one in speech):
            head = f"Win rate, {JUDGE_WORDS[judge]}"
            yield Column(head, partial(_rate, judge), axis="rate", neutral=0.5, where="page")
    yield Column("KL from the reference", _distance, 2, axis="kl", neutral=0.0, where="page")
    yield Column(
        "Samples",
        lambda one: Value(count(one.said.samples), [f"{count(one.prompts)} prompts"], tone="number"),
        where="page",
    )
    yield from BRIEF


def _searches(speech: Sequence[Speech]) -> Iterator[Column[Speech]]:
    """What the search and its rival paid, and who wins by every judge."""

    def of(read: Callable[[BestOf], Any]) -> Callable[[Speech], Any]:
        return lambda one: None if one.best_of is None else read(one.best_of)

    yield Column("Policy", _name)
    yield Column("N", of(lambda found: number(found.candidates, 1)))
    yield Column("Tokens, search", of(lambda found: found.drawn), 1, bounds=False)
    yield Column("Tokens, best of N", of(lambda found: found.spent), 1, bounds=False)
    for judge in JUDGES:
        if any(one.best_of is not None and judge in one.best_of.win_rate for one in speech):
            yield Column(f"Win rate, {JUDGE_WORDS[judge]}", of(partial(_won, judge)), neutral=0.5)


def _won(judge: Judge, found: BestOf) -> Estimate | None:
    return found.win_rate.get(judge)


def _rate(judge: Judge, one: Speech) -> Value:
    mine = one.said.values.get(judge)
    other = None if one.reference_said is None else one.reference_said.values.get(judge)
    against = "" if other is None else f", ref. {number(other.estimate, 2)}"
    return Value(one.win_rate.get(judge), [] if mine is None else [f"value {number(mine.estimate, 2)}{against}"])


def _distance(one: Speech) -> Value:
    token = one.kl_per_token.estimate
    return Value(one.kl, [] if token is None else [f"{number(token)} a token"])


def _form(head: str, digits: int, read: Callable[[Said], Estimate]) -> Column[Speech]:
    def cell(one: Speech) -> Value:
        there = one.reference_said
        return Value(read(one.said), [] if there is None else [f"reference {number(read(there).estimate, digits)}"])

    return Column(head, cell, digits)


def _panel(one: Speech, found: Disagreement) -> Panel:
    """One policy: two marks with intervals for all items and for each region."""
    chart = Chart((-0.5, len(PLACES) - 0.5), (0.0, 1.0), "", "share right", bottom=40, x_ticks=())
    words = []
    for index, (key, upper, lower) in enumerate(PLACES):
        cell = found.cells[key] if key else found.overall
        for offset, text in ((16, upper), (29, lower)):
            chart.text(text, chart.x(index), chart.y.start + offset, "tick mid")
        _mark(chart, index, -7, cell.ranked_right, "circle", "c0", f"ranked right, n {cell.n}")
        _mark(chart, index, 7, cell.spoken_right, "diamond", "c1", f"spoken right, n {cell.n}")
        both = f"ranked {number(cell.ranked_right.estimate)}, spoken {number(cell.spoken_right.estimate)}"
        words.append(f"{upper} {lower}: {cell.n} rows, {both}")
    note = f"Spoken wrong of what is ranked right, blind spot minus elsewhere: {estimate(found.blind_spot)}"
    return Panel(one.model, chart.render(f"Ranking and speech by region, {one.model}", "; ".join(words)), note)


def _mark(chart: Chart, x: float, apart: float, value: Estimate, shape: str, hue: str, tip: str) -> None:
    if value.estimate is not None:
        chart.whisker(x, value.interval, f"stroke {hue}", apart)
        chart.mark(shape, x, value.estimate, f"fill {hue}", f"{tip}: {number(value.estimate)}", apart=apart)


def _key() -> list[tuple[Markup, str]]:
    return [
        (mark_swatch("circle", "fill c0"), "ranked right"),
        (mark_swatch("diamond", "fill c1"), "spoken right"),
        (line_swatch("stroke c5"), "95 % interval"),
    ]


Regions = tuple[str, SpokenShares]
REGIONS: Final[tuple[Column[Regions], ...]] = (
    Column("Region", lambda row: row[0]),
    Column("Rows", lambda row: count(row[1].n)),
    Column("Ranked right", lambda row: row[1].ranked_right),
    Column("Spoken right", lambda row: row[1].spoken_right),
    Column("Ranks right, speaks wrong", lambda row: row[1].right_wrong),
    Column("Ranks wrong, speaks right", lambda row: row[1].wrong_right),
)


def _overall(head: str, read: Callable[[Disagreement], Estimate], bounds: bool) -> Column[Speech]:
    return Column(head, lambda one: None if one.disagreement is None else read(one.disagreement), bounds=bounds)


OVERALL: Final[tuple[Column[Speech], ...]] = (
    Column("Policy", _name),
    _overall("Ranks right", lambda found: found.overall.ranked_right, False),
    _overall("Speaks right", lambda found: found.overall.spoken_right, False),
    _overall("Ranks right, speaks wrong", lambda found: found.overall.right_wrong, True),
    _overall("Blind spot minus elsewhere", lambda found: found.blind_spot, True),
)


def _numbers(spoken: Sequence[tuple[Speech, Disagreement]]) -> Table[Regions]:
    groups = []
    for one, found in spoken:
        regions = [("all items", found.overall), *((CELL_WORDS[name], found.cells[name]) for name in CELLS)]
        left = f", {count(found.left_out)} left out" if found.left_out else ""
        groups.append(
            (f"{one.model}: {count(found.samples)} samples, {count(found.unparseable)} unparseable{left}", regions)
        )
    caption = "Shares of rows (items × seeds); a row's samples are averaged, unparseable ones are spoken wrong."
    return Table(caption, REGIONS, groups)
