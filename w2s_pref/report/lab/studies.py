"""The studies: scaling, confidence loss, agreement, selection and curves, and variants side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log10
from typing import Final

from w2s_pref.report.draw.blocks import Block, Column, Figure, Guide, Panel, Section, Table
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import colour, extent, line_swatch, mark_swatch, shape
from w2s_pref.report.lab.grid import estimate, forest_panel, or_words, words
from w2s_pref.results.lab import Bar, Contrast, Difficulty, LabBody, LearningCurve, Median, Selection, Trend

#: Panels of curves at most.
CURVES = 16
NUMBERS = "In numbers."
CONTRASTS: Final[tuple[Column[Contrast], ...]] = (
    Column("Chain", lambda each: each.chain),
    Column("Method", lambda each: each.method, words=True),
    Column("Against", lambda each: each.against, words=True),
    estimate("Difference", lambda each: each.difference),
    Column("Tasks", lambda each: str(each.tasks)),
)
SELECTIONS: Final[tuple[Column[Selection], ...]] = (
    Column("Chain and method", lambda each: f"{each.chain}, {each.method}"),
    estimate("Final", lambda each: each.final),
    estimate("Best by weak labels", lambda each: each.best_weak),
    estimate("Oracle: best by truth", lambda each: each.oracle_best_truth),
    estimate("Gained", lambda each: each.gained),
    estimate("Lost to oracle", lambda each: each.lost_to_oracle),
)
BARS: Final[tuple[Column[Bar], ...]] = (
    Column("Chain", lambda each: each.chain),
    Column("Variant", lambda each: each.variant, words=True),
    replace(estimate("Weak", lambda each: each.weak), where="page"),
    estimate("Accuracy", lambda each: each.accuracy),
    replace(estimate("Ceiling", lambda each: each.ceiling), where="page"),
    replace(estimate("Agreement with the weak model", lambda each: each.agreement), short="Agreement"),
    Column(
        "Over the reference",
        lambda each: or_words(each.difference, "reference" if each.over is None else "other tasks"),
        where="page",
    ),
    Column("Tasks", lambda each: str(each.tasks), where="page"),
)
DIFFICULTIES: Final[tuple[Column[Difficulty], ...]] = (
    Column("Chain", lambda each: each.chain),
    Column("Trained on", lambda each: each.variant, words=True),
    estimate("Easiest third", lambda each: each.thirds[0]),
    estimate("Middle", lambda each: each.thirds[1]),
    estimate("Hardest third", lambda each: each.thirds[2]),
    Column("Tasks", lambda each: str(each.tasks)),
)
VARIANTS = {
    "saliency": "How salient is the task? Probes and fine-tuning, on weak labels and on truth",
    "noise": "The same number of wrong labels in six structures",
    "imitation": "Trivial imitation: the weak label stands in the input",
    "easy_to_hard": "From easy items to all",
    "truncated": "Simulated supervisors: probes on truncated representations",
}
HEALTHY = {
    "saliency": "Accuracies that rise from the probe on weak labels over the probe on truth to fine-tuning on weak "
    "labels; and fine-tuning on weak labels, then a probe on truth, near fine-tuning on truth.",
    "noise": "Rows that differ: it matters where errors are, not only how many. If the supervisor's hurt more than "
    "random ones, students learn them.",
    "imitation": "Agreement that rises and accuracy that falls towards the weak model's where the label is told: the "
    "student copies what is easy to copy.",
    "easy_to_hard": "Easy items that teach as much as random ones, also on the hardest third.",
    "truncated": "Students above their weak model: they use what it cannot see.",
}


def scaling(body: LabBody) -> list[Section]:
    """Median PGR over both sizes."""
    sizes = body.settings["models"]
    own = [each for each in body.medians if each.study == "grid" and each.chain.count(">") == 1]
    known = [each for each in own if all(sizes.get(name) for name in each.chain.split(">"))]
    if not known:
        return []
    methods = list(dict.fromkeys(each.method for each in known))
    weak = list(dict.fromkeys(each.chain.split(">")[0] for each in known))
    panels = [_scaling_panel(method, [e for e in known if e.method == method], weak, sizes) for method in methods]
    guide = Guide(
        "Across, the student's parameters (powers of ten); one line a supervisor. Pairs without a gap on any task are "
        "left out.",
        "Lines that stay level or rise: larger students recover as much or more.",
    )
    key = [(mark_swatch(shape(weak, name), f"fill {colour(weak, name)}"), f"supervised by {name}") for name in weak]
    figure = Figure("Median PGR over tasks.", panels, guide, key=key)
    return [Section("scaling", "Gap recovered against size", [figure])]


def _scaling_panel(method: str, own: Sequence[Median], weak: Sequence[str], sizes: dict[str, int]) -> Panel:
    values = [bound for each in own for bound in (each.pgr.estimate, *(each.pgr.interval or ()))]
    places = [log10(sizes[each.chain.split(">")[1]]) for each in own]
    chart = Chart(extent(places), extent(values, include=(0.0,)), "log10 parameters of the student", "median PGR")
    chart.horizontal(0.0, "neutral")
    for name in weak:
        mine = [(at, each) for at, each in zip(places, own, strict=True) if each.chain.split(">")[0] == name]
        shown = sorted(((at, each) for at, each in mine if each.pgr.estimate is not None), key=lambda point: point[0])
        chart.line([(at, each.pgr.estimate) for at, each in shown], f"stroke {colour(weak, name)}")
        for at, each in shown:
            chart.whisker(at, each.pgr.interval, f"stroke {colour(weak, name)}")
            fill, tip = f"fill {colour(weak, name)}", f"{each.chain}: {words(each.pgr)}"
            chart.mark(shape(weak, name), at, each.pgr.estimate, fill, tip)
    said = "; ".join(f"{each.chain}: {words(each.pgr)}" for each in own)
    return Panel(method, chart.render(f"Median PGR by size, {method}", said))


def contrasts(body: LabBody, study: str, title: str, read: str) -> list[Section]:
    """Differences in accuracy between methods or chains, item by item, over tasks."""
    own = [each for each in body.contrasts if each.study == study]
    if not own:
        return []
    names = list(dict.fromkeys(_name(each) for each in own))
    panels = []
    for name in names:
        ordered = sorted((each for each in own if _name(each) == name), key=lambda each: each.strong_parameters or 0)
        rows = [(each.chain, each.difference) for each in ordered]
        panels.append(forest_panel(name, rows, "difference in accuracy", f"{study}: {name}", 0.0))
    guide = Guide(read, "Marks right of the dashed line whose interval leaves it out.")
    figure = Figure("Difference in accuracy, mean over tasks, 95 %.", panels, guide)
    return [Section(study, title, [figure, Table(NUMBERS, CONTRASTS, [("", own)], stack=True)])]


def _name(each: Contrast) -> str:
    return f"{each.method} against {each.against}" if each.study == "confidence" else each.method


def agreement(body: LabBody) -> list[Section]:
    """Errors inherited, corrected and new over the student's size."""
    if not body.trends:
        return []
    quantities = {"inherited": "errors copied", "corrected": "errors corrected", "new_errors": "new errors"}
    panels = [
        _trend_panel(quantity, title, [each for each in body.trends if each.quantity == quantity])
        for quantity, title in quantities.items()
    ]
    guide = Guide(
        "Shares over the student's parameters (powers of ten), one line a supervisor and method, means over tasks.",
        "Copied errors that fall with size while new ones do not rise: larger students trust their own knowledge more. "
        "Where both move, students only agree less.",
    )
    names = list(dict.fromkeys(_line(each) for each in body.trends))
    key = [(line_swatch(f"stroke {colour(names, name)}"), name) for name in names]
    columns: list[Column[Trend]] = [
        Column("Supervisor and method", _line),
        Column("Share", lambda each: quantities[each.quantity], words=True),
        estimate("Slope", lambda each: each.slope),
    ]
    table = Table("Slope per tenfold parameters.", columns, [("", body.trends)], stack=True)
    return [Section("agreement", "Do larger students copy errors less?", [Figure("", panels, guide, key=key), table])]


def _line(each: Trend) -> str:
    return f"{each.weak}, {each.method}"


def _trend_panel(quantity: str, title: str, own: Sequence[Trend]) -> Panel:
    names = list(dict.fromkeys(_line(each) for each in own))
    places = [log10(size) for each in own for size in each.sizes]
    values = [value.estimate for each in own for value in each.values]
    chart = Chart(extent(places), extent(values), "log10 parameters of the student", "share")
    for each in own:
        points = [(log10(size), value.estimate) for size, value in zip(each.sizes, each.values, strict=True)]
        points = [(at, value) for at, value in points if value is not None]
        hue = colour(names, _line(each))
        chart.line(points, f"stroke {hue}")
        for at, value in points:
            chart.mark("circle", at, value, f"fill {hue}", _line(each))
    said = "; ".join(f"{_line(each)}: slope {words(each.slope)}" for each in own)
    return Panel(title, chart.render(f"{quantity} by size", said))


def overfitting(body: LabBody) -> list[Section]:
    """Curves of agreement and truth while students trained, and what picking a checkpoint brings."""
    blocks: list[Block] = []
    own = [each for each in body.curves if each.study in {"grid", "bootstrapping"}]
    if own:
        blocks.append(_curves("Validation items while students trained.", own))
    if body.selections:
        caption = "Test accuracy of three checkpoints, means over tasks."
        blocks.append(Table(caption, SELECTIONS, [("", body.selections)], stack=True))
    return [Section("overfitting", "Overfitting to weak labels, and selection", blocks)] if blocks else []


def _curves(caption: str, own: Sequence[LearningCurve]) -> Figure:
    guide = Guide(
        "Means over tasks and seeds against the share of training done. Ground truth is shown, nothing is picked by it "
        "except in the column called oracle.",
        "Truth that rises with agreement. Where it falls while agreement rises, the student learns to imitate errors.",
    )
    key = [
        (line_swatch("stroke c0"), "agreement with weak labels"),
        (line_swatch("stroke c1 dash1"), "accuracy on ground truth"),
    ]
    if len(own) > CURVES:
        caption = f"{caption} {CURVES} of {len(own)} are drawn; all stand in the results file (curves)."
    return Figure(caption, [_curve_panel(each) for each in own[:CURVES]], guide, key=key, size="small")


def _curve_panel(each: LearningCurve) -> Panel:
    values = [v for point in each.points for v in (point.weak_agreement, point.truth_accuracy)]
    chart = Chart((0.0, 1.0), extent(values), "share of training", "accuracy", width=220, height=180)
    chart.line([(point.progress, point.weak_agreement) for point in each.points], "stroke c0")
    chart.line([(point.progress, point.truth_accuracy) for point in each.points], "stroke c1 dash1")
    title = f"{each.chain}, {each.method}"
    last = each.points[-1]
    said = f"at the end agreement {last.weak_agreement}, truth {last.truth_accuracy}, {each.runs} runs"
    return Panel(title, chart.render(f"Curves of {title}", said), f"{each.runs} runs")


def variants(body: LabBody, study: str) -> list[Section]:
    """Bars of a study, chain by chain, with curves where the variants were trained."""
    own = [each for each in body.bars if each.study == study]
    if not own:
        return []
    panels = []
    for chain in dict.fromkeys(each.chain for each in own):
        rows = [(each.variant, each.accuracy) for each in own if each.chain == chain]
        panels.append(forest_panel(chain, rows, "accuracy", f"{study}, {chain}"))
    guide = Guide("Test accuracy of each variant, mean over tasks, 95 %.", HEALTHY[study])
    blocks: list[Block] = [Figure("", panels, guide), bar_table(own)]
    if study == "easy_to_hard" and body.difficulties:
        caption = "Accuracy by how easy the weak model finds the test items."
        blocks.append(Table(caption, DIFFICULTIES, [("", body.difficulties)], stack=True))
    curves = [each for each in body.curves if each.study == study]
    if curves:
        blocks.append(_curves("Validation items while the variants trained.", curves))
    return [Section(study, VARIANTS[study], blocks)]


def bar_table(bars: Sequence[Bar], title: str = "") -> Table[Bar]:
    """Variants in numbers; a table with a title has each study under its name."""
    studies = dict.fromkeys(each.study for each in bars)
    names = {study: study.replace("_", " ") if title else "" for study in studies}
    groups = [(names[study], [each for each in bars if each.study == study]) for study in studies]
    return Table(NUMBERS, BARS, groups, stack=True, title=title)
