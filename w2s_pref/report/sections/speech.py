"""What policies say: win rates, values and form of their answers, and ranking against speech by region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Figure, Fold, Guide, Panel, Section, Table, TableGroup, Warnings
from w2s_pref.report.draw.format import count, estimate, number, plain
from w2s_pref.report.draw.key import line_swatch, mark_swatch, marker
from w2s_pref.report.draw.plot import Frame, Range, estimate_cell
from w2s_pref.report.draw.svg import el, short
from w2s_pref.report.policies import by_arm
from w2s_pref.report.rows import CELL_WORDS, JUDGE_WORDS
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.results.deception import CELLS
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results
from w2s_pref.results.speech import Disagreement, Judge, Said, Speech, SpokenShares

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
    blocks: list[Block] = [_rates(results.speech)]
    panels = [_panel(one, one.disagreement) for one in results.speech if one.disagreement is not None]
    if panels:
        words = JUDGE_WORDS[next(one.disagreement.judge for one in results.speech if one.disagreement is not None)]
        caption = f"Ranked right and spoken right by region; speech valued by the {words}."
        blocks.append(Figure(caption, panels, REGION_GUIDE, key=_key()))
        blocks.append(Fold("Ranking against speech in numbers", [_numbers(results.speech)]))
    blocks.append(_form(results.speech))
    notes = [f"{plain(one.model)}: {plain(note)}" for one in results.speech for note in one.notes]
    if notes:
        blocks.append(Warnings(notes, "Notes on the samples"))
    return Section("speech", "What policies say", blocks, "Speech")


def _groups(speech: Sequence[Speech], row: Callable[[Speech], list[Cell]]) -> list[TableGroup]:
    """Final students by arm, then every other model under its own name."""
    return [TableGroup(plain(arm), [row(one) for one in own]) for arm, own in by_arm(speech)]


def _name(one: Speech) -> str:
    return plain(one.model if one.conflict is None else one.conflict)


def _rates(speech: Sequence[Speech]) -> Table:
    judges = [judge for judge in JUDGES if any(judge in one.win_rate for one in speech)]
    scale = spread((value for one in speech for value in one.win_rate.values()), 0.5)
    kl = spread((one.kl for one in speech), 0.0)

    def row(one: Speech) -> list[Cell]:
        rates = [_rate(one, judge, scale) for judge in judges]
        distance = estimate_cell(one.kl, 2, scale=kl, name=f"KL, {one.model}", neutral=0.0)
        if one.kl_per_token.estimate is not None:
            distance += el("span", f"{number(one.kl_per_token.estimate)} a token", class_="why")
        prompts = el("span", f"{count(one.prompts)} prompts", class_="why")
        return [_name(one), *rates, distance, el("span", count(one.said.samples), class_="est") + prompts]

    return Table(
        "Win rate of each policy against the model it started from, by every judge there is.",
        ("Policy", *(f"Win rate, {JUDGE_WORDS[judge]}" for judge in judges), "KL from the reference", "Samples"),
        _groups(speech, row),
        RATES_GUIDE,
        stack=True,
        subhead=("dots from … to", *(ends(scale, 3) for _ in judges), ends(kl, 2), ""),
    )


def _rate(one: Speech, judge: Judge, scale: Range | None) -> Markup:
    title = f"Win rate by the {JUDGE_WORDS[judge]}, {one.model}"
    cell = estimate_cell(one.win_rate.get(judge), 3, scale=scale, name=title, neutral=0.5)
    mine = one.said.values.get(judge)
    other = None if one.reference_said is None else one.reference_said.values.get(judge)
    if mine is not None:
        against = "" if other is None else f", ref. {number(other.estimate, 2)}"
        cell += el("span", f"value {number(mine.estimate, 2)}{against}", class_="why")
    return cell


def _form(speech: Sequence[Speech]) -> Table:
    def row(one: Speech) -> list[Cell]:
        cells: list[Cell] = [_name(one)]
        for _, digits, get in FORM:
            cell = estimate_cell(get(one.said), digits)
            if one.reference_said is not None:
                there = number(get(one.reference_said).estimate, digits)
                cell += el("span", f"reference {there}", class_="why")
            cells.append(cell)
        return cells

    heads = tuple(title for title, _, _ in FORM)
    caption = "Form of the answers: length in tokens, and shares of samples."
    return Table(caption, ("Policy", *heads), _groups(speech, row), FORM_GUIDE, stack=True)


def _panel(one: Speech, found: Disagreement) -> Panel:
    """One policy: two marks with intervals for all items and for each region."""
    frame = Frame((-0.5, len(PLACES) - 0.5), (0.0, 1.0), "", "share right", bottom=40, x_ticks=())
    words = []
    for index, (key, upper, lower) in enumerate(PLACES):
        cell = found.cells[key] if key else found.overall
        for offset, text in ((16, upper), (29, lower)):
            frame.marks.append(el("text", text, x=frame.x(index), y=frame.y.start + offset, class_="tick mid"))
        frame.marks += _mark(frame, frame.x(index) - 7, cell.ranked_right, "circle", "c0", f"ranked right, n {cell.n}")
        frame.marks += _mark(frame, frame.x(index) + 7, cell.spoken_right, "diamond", "c1", f"spoken right, n {cell.n}")
        both = f"ranked {number(cell.ranked_right.estimate)}, spoken {number(cell.spoken_right.estimate)}"
        words.append(f"{upper} {lower}: {cell.n} rows, {both}")
    title = plain(one.model)
    note = f"Spoken wrong of what is ranked right, blind spot minus elsewhere: {estimate(found.blind_spot)}"
    return Panel(title, frame.render(f"Ranking and speech by region, {title}", "; ".join(words)), note)


def _mark(frame: Frame, x: float, value: Estimate, shape: str, colour: str, title: str) -> list[Markup]:
    if value.estimate is None:
        return []
    drawn = []
    if value.interval is not None:
        low, high = (short(frame.y(bound)) for bound in value.interval)
        drawn.append(el("path", d=f"M{short(x)} {low}V{high}", class_=f"stroke {colour}"))
    tip = f"{title}: {number(value.estimate)}"
    return [*drawn, marker(shape, x, frame.y(value.estimate), f"fill {colour}", tip)]


def _key() -> list[tuple[Markup, str]]:
    return [
        (mark_swatch("circle", "fill c0"), "ranked right"),
        (mark_swatch("diamond", "fill c1"), "spoken right"),
        (line_swatch("stroke c5"), "95 % interval"),
    ]


def _numbers(speech: Sequence[Speech]) -> Table:
    groups = []
    for one in speech:
        if one.disagreement is None:
            continue
        found = one.disagreement
        regions = [("all items", found.overall), *((CELL_WORDS[name], found.cells[name]) for name in CELLS)]
        left = f", {count(found.left_out)} left out" if found.left_out else ""
        title = f"{plain(one.model)}: {count(found.samples)} samples, {count(found.unparseable)} unparseable{left}"
        groups.append(TableGroup(title, [_region(name, cell) for name, cell in regions]))
    heads = ("Ranked right", "Spoken right", "Ranks right, speaks wrong", "Ranks wrong, speaks right")
    caption = "Shares of rows (items × seeds); a row's samples are averaged, unparseable ones are spoken wrong."
    return Table(caption, ("Region", "Rows", *heads), groups)


def _region(name: str, cell: SpokenShares) -> list[Cell]:
    shares = (cell.ranked_right, cell.spoken_right, cell.right_wrong, cell.wrong_right)
    return [name, count(cell.n), *(estimate_cell(value, 3) for value in shares)]
