"""The deception score with its null over every threshold, the test behind each verdict, other definitions, churn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Column, Figure, Fold, Guide, Panel, Prose, Section, Table, Value
from w2s_pref.report.draw.format import count, number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import band_swatch, line_swatch, ticks
from w2s_pref.report.students import REFERENCE_WORDS, RULE_WORDS, Student, students
from w2s_pref.results.deception import Churn, Deception
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Arm, Results

SWEEP_GUIDE: Final = Guide(
    "Solid line with band: deception score and 95 % interval at each threshold T; dashed: its null share, what a "
    "conflict blind to the weak model's knowledge would give. Below, the lift, with 1 dashed. Lines break where a "
    "value is undefined. The upright line is the T of the tables.",
    "The dashed line stays inside the band and the lift near 1, at every T and not just at one.",
)


def section(results: Results) -> Section | None:
    """Sweep figures, verdict table, folds; in the terminal each verdict in a line."""
    tested = [(one, one.deception) for one in students(results) if one.deception is not None]
    if not tested:
        return None
    panels = [panel(one, entry) for one, entry in tested if entry.sweep]
    lines = [
        f"{one.arm}, {one.conflict}: {entry.verdict.removesuffix('.')}; permutation p {number(entry.permutation_p)}."
        for one, entry in tested
    ]
    blocks: list[Block] = [Prose(lines, where="terminal")]
    if panels:
        blocks.append(Figure("Deception score and lift over the threshold T.", panels, SWEEP_GUIDE, key=_key()))
    caption = "The test behind each verdict: is the cell the weak model cannot see taxed more than its margins explain?"
    arms = dict.fromkeys(one.arm for one, _ in tested)
    groups = [(arm, [row for row in tested if row[0].arm == arm]) for arm in arms]
    blocks.append(Table(caption, TESTS, groups, TESTS_GUIDE, stack=True, where="page"))
    blocks.append(Fold("Other references and rules of knowing", [_others(results)], where="page"))
    regressions = regression(tested)
    if regressions is not None:
        blocks.append(Fold("Without any threshold: logistic regression of a flip", [regressions], where="page"))
    return Section("deception", "The deception score beside its null", blocks, "Deception")


def panel(one: Student, entry: Deception) -> Panel:
    """One student's sweep: score above, lift below."""
    title = f"{one.arm}, {one.conflict}"
    svg = Markup("").join((_score(title, entry), _lift(title, entry)))
    null = f"null share {number(entry.null_share.estimate)}"
    note = (
        f"At T = {entry.threshold:g}: DS {number(entry.score.estimate)}, {null}, lift {number(entry.lift.estimate, 2)}"
    )
    return Panel(title, svg, note)


def _span(entry: Deception) -> tuple[float, float]:
    thresholds = [point.threshold for point in entry.sweep]
    return (min(thresholds), max(thresholds)) if len(thresholds) > 1 else (0.5, 1.0)


def _score(title: str, entry: Deception) -> Markup:
    highest = max((p.interval[1] if p.interval else p.score or 0.0 for p in entry.sweep), default=1.0)
    highest = max(highest, *(p.null_share or 0.0 for p in entry.sweep), 0.1)
    span = _span(entry)
    chart = Chart(span, (0.0, min(1.0, highest * 1.05)), "", "DS", height=190, bottom=24, x_ticks=ticks(*span, 5))
    chart.band((point.threshold, point.interval) for point in entry.sweep)
    chart.vertical(entry.threshold, "cut")
    chart.line(((point.threshold, point.null_share) for point in entry.sweep), "null")
    chart.line(((point.threshold, point.score) for point in entry.sweep), "main")
    words = "; ".join(f"T {p.threshold:g}: {number(p.score)}, null {number(p.null_share)}" for p in entry.sweep)
    return chart.render(f"Deception score over T, {title}", words)


def _lift(title: str, entry: Deception) -> Markup:
    highest = max(2.0, *(p.lift or 0.0 for p in entry.sweep))
    span = _span(entry)
    chart = Chart(span, (0.0, highest * 1.05), "threshold T", "lift", height=118, top=6, x_ticks=ticks(*span, 5))
    chart.vertical(entry.threshold, "cut")
    chart.horizontal(1.0, "neutral")
    chart.line(((point.threshold, point.lift) for point in entry.sweep), "main")
    words = "; ".join(f"T {p.threshold:g}: {number(p.lift, 2)}" for p in entry.sweep)
    return chart.render(f"Lift over T, {title}", words)


def _key() -> list[tuple[Markup, str]]:
    return [
        (line_swatch("main"), "deception score, lift"),
        (band_swatch(), "95 % interval"),
        (line_swatch("null"), "null share"),
        (line_swatch("neutral"), "lift 1"),
        (line_swatch("cut"), "T of the tables"),
    ]


def _verdict(entry: Deception) -> Value:
    return Value(entry.verdict, entry.warnings, tone="verdict")


Tested = tuple[Student, Deception]
TESTS: Final[tuple[Column[Tested], ...]] = (
    Column("Conflict", lambda row: row[0].conflict),
    Column("Lift, binned", lambda row: row[1].lift, 2, axis="lift", neutral=1.0),
    Column("Lift, smooth", lambda row: row[1].lift_smooth, 2, axis="lift", neutral=1.0),
    Column("Dropped", lambda row: count(row[1].lift_dropped)),
    Column("Permutation p", lambda row: number(row[1].permutation_p)),
    Column("Verdict", lambda row: _verdict(row[1]), words=True),
)
TESTS_GUIDE: Final = Guide(
    "Lift: flips in the cell over the flips expected from items of the same margin. Dropped: items of the cell "
    "in margin bins without a control. p: share of shuffled cell labels (within margin bins) that do as much.",
    "Both lifts with 1 inside the interval, few items dropped, a large p.",
)
OTHERS: Final[tuple[Column[Deception], ...]] = (
    Column("Reference; known by", lambda entry: f"{REFERENCE_WORDS[entry.reference]}; {RULE_WORDS[entry.known_rule]}"),
    Column("T", lambda entry: f"{entry.threshold:g}"),
    Column("Tax", lambda entry: count(entry.tax)),
    Column("DS", lambda entry: entry.score),
    Column("Null share", lambda entry: entry.null_share),
    Column("Risk ratio", lambda entry: entry.risk_ratio, 2),
    Column("Lift", lambda entry: entry.lift, 2),
    Column("Verdict", _verdict, words=True),
)


def _others(results: Results) -> Table[Deception]:
    groups = [
        (f"{arm.name}, {setting.conflict}", setting.deception)
        for arm in results.arms
        for setting in arm.settings
        if setting.deception
    ]
    caption = "The same question with tax counted against each reference, and with each rule of what a model knows."
    return Table(caption, OTHERS, groups)


Fitted = tuple[str, dict[str, Estimate]]


def regression(tested: Sequence[tuple[Student, Deception]]) -> Table[Fitted] | None:
    """Coefficients of the threshold-free form: a row a student, a column a term."""
    rows: list[Fitted] = [
        (
            f"{one.arm}, {one.conflict}",
            {c.name: Estimate(estimate=c.estimate, interval=c.interval) for c in entry.regression},
        )
        for one, entry in tested
        if entry.regression
    ]
    if not rows:
        return None
    terms = dict.fromkeys(term for _, values in rows for term in values)
    return Table(
        "Coefficients of a flip on the strong p, the weak p, the margin and p_s(1 − p_w).",
        [Column("Student", lambda row: row[0]), *map(_term, terms)],
        [("", rows)],
        Guide(
            "A positive p_s(1 − p_w) means more flips where the strong model is sure and the weak one is not.",
            "The interval of p_s(1 − p_w) holds 0.",
        ),
        stack=True,
    )


def _term(term: str) -> Column[Fitted]:
    return Column(term, lambda row: row[1].get(term), 2, axis=term, neutral=0.0)


Compared = tuple[str, Churn | Deception]
CHURN: Final[tuple[Column[Compared], ...]] = (
    Column("Compared", lambda row: row[0] if isinstance(row[1], Deception) else Value(row[0], tone="emphasis")),
    Column("Deception score", lambda row: row[1].score, axis="score"),
    Column("Lift", lambda row: row[1].lift, 2, axis="lift", neutral=1.0),
    Column("Tax", lambda row: count(row[1].tax)),
)
CHURN_GUIDE: Final = Guide(
    "The first row of an arm compares two no-conflict students of different seeds; whatever stands there is noise.",
    "Churn has a small tax and a lift around 1. A conflict setting that looks like its churn row shows nothing.",
)


def churn(results: Results) -> Section | None:
    """Each arm's churn above its conflict settings, on one scale."""
    groups = [(arm.name, _compared(results, arm, arm.churn)) for arm in results.arms if arm.churn is not None]
    if not groups:
        return None
    caption = "Churn null against conflict: the same two numbers where only the seed differs."
    table = Table(caption, CHURN, groups, CHURN_GUIDE, stack=True)
    return Section("churn", "What noise alone gives", [table], "Churn null")


def _compared(results: Results, arm: Arm, churn: Churn) -> list[Compared]:
    mine = [(one.conflict, one.deception) for one in students(results) if one.arm == arm.name]
    return [("churn (seed against seed)", churn), *((name, entry) for name, entry in mine if entry is not None)]
