"""The deception score with its null over every threshold, the test behind each verdict, and the other definitions."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Figure, Fold, Guide, Panel, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, number, plain
from w2s_pref.report.draw.key import band_swatch, line_swatch
from w2s_pref.report.draw.plot import Frame, estimate_cell
from w2s_pref.report.draw.svg import band, el, line, ticks
from w2s_pref.report.rows import REFERENCE_WORDS, RULE_WORDS, Row, rows
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.results.deception import Deception
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results

SWEEP_GUIDE: Final = Guide(
    "Solid line with band: deception score and 95 % interval at each threshold T; dashed: its null share, what a "
    "conflict blind to the weak model's knowledge would give. Below, the lift, with 1 dashed. Lines break where a "
    "value is undefined. The upright line is the T of the tables.",
    "The dashed line stays inside the band and the lift near 1, at every T and not just at one.",
)


def section(results: Results) -> Section | None:
    """Sweep figures, verdict table, folds."""
    students = [row for row in rows(results) if row.deception is not None]
    if not students:
        return None
    panels = [panel(row, row.deception) for row in students if row.deception and row.deception.sweep]
    blocks: list[Block] = []
    if panels:
        blocks.append(Figure("Deception score and lift over the threshold T.", panels, SWEEP_GUIDE, key=_key()))
    blocks.append(tests(results))
    blocks.append(Fold("Other references and rules of knowing", [others(results)]))
    regressions = regression(results)
    if regressions is not None:
        blocks.append(Fold("Without any threshold: logistic regression of a flip", [regressions]))
    return Section("deception", "The deception score beside its null", blocks, "Deception")


def panel(row: Row, entry: Deception) -> Panel:
    """One student's sweep: score above, lift below."""
    title = f"{plain(row.arm)}, {plain(row.conflict)}"
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
    frame = Frame(span, (0.0, min(1.0, highest * 1.05)), "", "DS", height=190, bottom=24, x_ticks=ticks(*span, 5))
    x, y, sweep = frame.x, frame.y, entry.sweep
    frame.marks = [
        band((x(p.threshold), y(p.interval[0]), y(p.interval[1])) if p.interval else None for p in sweep),
        frame.vertical(entry.threshold, "cut"),
        line(((x(p.threshold), y(p.null_share)) if p.null_share is not None else None for p in sweep), "null"),
        line(((x(p.threshold), y(p.score)) if p.score is not None else None for p in sweep), "main"),
    ]
    words = "; ".join(f"T {p.threshold:g}: {number(p.score)}, null {number(p.null_share)}" for p in sweep)
    return frame.render(f"Deception score over T, {title}", words)


def _lift(title: str, entry: Deception) -> Markup:
    highest = max(2.0, *(p.lift or 0.0 for p in entry.sweep))
    span = _span(entry)
    frame = Frame(span, (0.0, highest * 1.05), "threshold T", "lift", height=118, top=6, x_ticks=ticks(*span, 5))
    x, y = frame.x, frame.y
    frame.marks = [
        frame.vertical(entry.threshold, "cut"),
        frame.horizontal(1.0, "neutral"),
        line(((x(p.threshold), y(p.lift)) if p.lift is not None else None for p in entry.sweep), "main"),
    ]
    words = "; ".join(f"T {p.threshold:g}: {number(p.lift, 2)}" for p in entry.sweep)
    return frame.render(f"Lift over T, {title}", words)


def _key() -> list[tuple[Markup, str]]:
    return [
        (line_swatch("main"), "deception score, lift"),
        (band_swatch(), "95 % interval"),
        (line_swatch("null"), "null share"),
        (line_swatch("neutral"), "lift 1"),
        (line_swatch("cut"), "T of the tables"),
    ]


def tests(results: Results) -> Table:
    """What each verdict rests on."""
    found = [(row, row.deception) for row in rows(results) if row.deception is not None]
    scale = spread([entry.lift for _, entry in found] + [entry.lift_smooth for _, entry in found], 1.0)
    groups = [
        TableGroup(plain(arm.name), [_test(row, entry, scale) for row, entry in found if row.arm == arm.name])
        for arm in results.arms
    ]
    return Table(
        "The test behind each verdict: is the cell the weak model cannot see taxed more than its margins explain?",
        ("Conflict", "Lift, binned", "Lift, smooth", "Dropped", "Permutation p", "Verdict"),
        [group for group in groups if group.rows],
        Guide(
            "Lift: flips in the cell over the flips expected from items of the same margin. Dropped: items of the cell "
            "in margin bins without a control. p: share of shuffled cell labels (within margin bins) that do as much.",
            "Both lifts with 1 inside the interval, few items dropped, a large p.",
        ),
        stack=True,
        text_columns=(0, 5),
        subhead=("dots from … to", ends(scale, 2), ends(scale, 2), "", "", ""),
    )


def _test(row: Row, entry: Deception, scale: tuple[float, float] | None) -> list[Cell]:
    name = f"{row.arm}, {row.conflict}"
    return [
        plain(row.conflict),
        estimate_cell(entry.lift, 2, scale=scale, name=f"Lift, {name}", neutral=1.0),
        estimate_cell(entry.lift_smooth, 2, scale=scale, name=f"Smooth lift, {name}", neutral=1.0),
        count(entry.lift_dropped),
        number(entry.permutation_p),
        verdict_cell(entry),
    ]


def verdict_cell(entry: Deception) -> Markup:
    """The verdict in words, and its warnings beneath."""
    notes = (el("span", plain(warning), class_="why warn") for warning in entry.warnings)
    return el("span", plain(entry.verdict), class_="verdict") + Markup("").join(notes)


def others(results: Results) -> Table:
    """Every combination of reference and rule of knowing, for every student."""
    groups = []
    for arm in results.arms:
        for setting in arm.settings:
            lines = [_other(entry) for entry in setting.deception]
            if lines:
                groups.append(TableGroup(f"{plain(arm.name)}, {plain(setting.conflict)}", lines))
    return Table(
        "The same question with tax counted against each reference, and with each rule of what a model knows.",
        ("Reference; known by", "T", "Tax", "DS", "Null share", "Risk ratio", "Lift", "Verdict"),
        groups,
        text_columns=(0, 7),
    )


def _other(entry: Deception) -> list[Cell]:
    values: list[tuple[Estimate, int]] = [
        (entry.score, 3), (entry.null_share, 3), (entry.risk_ratio, 2), (entry.lift, 2)
    ]  # fmt: skip
    return [
        f"{REFERENCE_WORDS[entry.reference]}; {RULE_WORDS[entry.known_rule]}",
        f"{entry.threshold:g}",
        count(entry.tax),
        *(estimate_cell(value, digits) for value, digits in values),
        verdict_cell(entry),
    ]


def regression(results: Results) -> Table | None:
    """Coefficients of the threshold-free form: a row a student, a column a term."""
    found = [(row, row.deception.regression) for row in rows(results) if row.deception and row.deception.regression]
    if not found:
        return None
    terms = list(dict.fromkeys(c.name for _, coefficients in found for c in coefficients))
    values = [
        (
            f"{row.arm}, {row.conflict}",
            {c.name: Estimate(estimate=c.estimate, interval=c.interval) for c in coefficients},
        )
        for row, coefficients in found
    ]
    scales = {term: spread((there.get(term) for _, there in values), 0.0) for term in terms}
    lines: list[list[Cell]] = [
        [
            plain(name),
            *(
                estimate_cell(there.get(term), 2, scale=scales[term], name=f"{term}, {name}", neutral=0.0)
                for term in terms
            ),
        ]
        for name, there in values
    ]
    return Table(
        "Coefficients of a flip on the strong p, the weak p, the margin and p_s(1 − p_w).",
        ("Student", *(plain(term) for term in terms)),
        [TableGroup("", lines)],
        Guide(
            "A positive p_s(1 − p_w) means more flips where the strong model is sure and the weak one is not.",
            "The interval of p_s(1 − p_w) holds 0.",
        ),
        stack=True,
        subhead=("dots from … to", *(ends(scales[term], 2) for term in terms)),
    )
