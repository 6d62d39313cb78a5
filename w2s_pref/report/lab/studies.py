"""The studies: scaling, confidence loss, agreement, selection and curves, and variants side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Figure, Guide, Panel, Section, Table, TableGroup
from w2s_pref.report.draw.format import UNDEFINED, plain
from w2s_pref.report.draw.key import colour, line_swatch, mark_swatch, marker, shape
from w2s_pref.report.draw.plot import Frame
from w2s_pref.report.draw.svg import el, extent, line, short
from w2s_pref.report.lab.forest import Row, cell, forest, words
from w2s_pref.results.lab import Bar, Contrast, Difficulty, LabBody, LearningCurve, Median, Trend

#: Panels of curves at most; further ones stand in the table only.
CURVES = 16
VARIANTS = {
    "saliency": "How salient is the task? Probes and fine-tuning, on weak labels and on truth",
    "noise": "The same number of wrong labels in six structures",
    "imitation": "Trivial imitation: the weak label stands in the input",
    "easy_to_hard": "From easy items to all",
    "truncated": "Simulated supervisors: probes on truncated representations",
}
LOOK = {
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
    key = [
        (mark_swatch(shape(weak, name), f"fill {colour(weak, name)}"), f"supervised by {plain(name)}") for name in weak
    ]
    return [
        Section("scaling", "Gap recovered against size", [Figure("Median PGR over tasks.", panels, guide, key=key)])
    ]


def _scaling_panel(method: str, own: Sequence[Median], weak: Sequence[str], sizes: dict[str, int]) -> Panel:
    values = [bound for each in own for bound in (each.pgr.value, each.pgr.low, each.pgr.high)]
    places = [log10(sizes[each.chain.split(">")[1]]) for each in own]
    frame = Frame(extent(places), extent(values, include=(0.0,)), "log10 parameters of the student", "median PGR")
    frame.marks.append(frame.horizontal(0.0, "neutral"))
    for name in weak:
        points = sorted((log10(sizes[e.chain.split(">")[1]]), e) for e in own if e.chain.split(">")[0] == name)
        shown = [(at, each) for at, each in points if each.pgr.value is not None]
        drawn = ((frame.x(at), frame.y(each.pgr.value or 0.0)) for at, each in shown)
        frame.marks.append(line(drawn, f"stroke {colour(weak, name)}"))
        for at, each in shown:
            frame.marks += _whisker(frame, at, each.pgr.low, each.pgr.high, colour(weak, name))
            tip = plain(f"{each.chain}: {words(each.pgr)}")
            look = f"fill {colour(weak, name)}"
            frame.marks.append(marker(shape(weak, name), frame.x(at), frame.y(each.pgr.value or 0.0), look, tip))
    said = "; ".join(f"{each.chain}: {words(each.pgr)}" for each in own)
    return Panel(plain(method), frame.render(f"Median PGR by size, {method}", said))


def _whisker(frame: Frame, at: float, low: float | None, high: float | None, look: str) -> list[Markup]:
    if low is None or high is None:
        return []
    x = short(frame.x(at))
    return [el("path", d=f"M{x} {short(frame.y(low))}V{short(frame.y(high))}", class_=f"stroke {look}")]


def contrasts(body: LabBody, study: str, title: str, read: str) -> list[Section]:
    """Differences in accuracy between methods or chains, item by item, over tasks."""
    own = [each for each in body.contrasts if each.study == study]
    if not own:
        return []
    names = list(dict.fromkeys(_name(each) for each in own))
    panels = [_contrast_panel(name, [each for each in own if _name(each) == name], study) for name in names]
    guide = Guide(read, "Marks right of the dashed line whose interval leaves it out.")
    figure = Figure("Difference in accuracy, mean over tasks, 95 %.", panels, guide)
    return [Section(study, title, [figure, _contrast_table(own)])]


def _name(each: Contrast) -> str:
    return f"{each.method} against {each.against}" if each.study == "confidence" else each.method


def _contrast_panel(name: str, own: Sequence[Contrast], study: str) -> Panel:
    ordered = sorted(own, key=lambda each: each.strong_parameters or 0)
    rows = [Row(each.chain, each.difference) for each in ordered]
    return Panel(plain(name), forest(rows, "difference in accuracy", f"{study}: {name}", 0.0))


def _contrast_table(own: Sequence[Contrast]) -> Table:
    rows = [
        [plain(each.chain), plain(each.method), plain(each.against), cell(each.difference), str(each.tasks)]
        for each in own
    ]
    head = ["Chain", "Method", "Against", "Difference", "Tasks"]
    return Table("In numbers.", head, [TableGroup("", rows)], stack=True, text_columns=(0, 1, 2))


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
    key = [(line_swatch(f"stroke {colour(names, name)}"), plain(name)) for name in names]
    rows = [[plain(_line(each)), quantities[each.quantity], cell(each.slope)] for each in body.trends]
    table = Table("Slope per tenfold parameters.", ["Supervisor and method", "Share", "Slope"],
                  [TableGroup("", rows)], stack=True, text_columns=(0, 1))  # fmt: skip
    return [Section("agreement", "Do larger students copy errors less?", [Figure("", panels, guide, key=key), table])]


def _line(each: Trend) -> str:
    return f"{each.weak}, {each.method}"


def _trend_panel(quantity: str, title: str, own: Sequence[Trend]) -> Panel:
    names = list(dict.fromkeys(_line(each) for each in own))
    places = [log10(size) for each in own for size in each.sizes]
    values = [value.value for each in own for value in each.values]
    frame = Frame(extent(places), extent(values), "log10 parameters of the student", "share")
    for each in own:
        points = [
            (frame.x(log10(size)), frame.y(value.value))
            for size, value in zip(each.sizes, each.values, strict=True)
            if value.value is not None
        ]
        look = colour(names, _line(each))
        frame.marks.append(line(points, f"stroke {look}"))
        frame.marks += [marker("circle", x, y, f"fill {look}", plain(_line(each))) for x, y in points]
    said = "; ".join(f"{_line(each)}: slope {words(each.slope)}" for each in own)
    return Panel(title, frame.render(f"{quantity} by size", said))


def overfitting(body: LabBody) -> list[Section]:
    """Curves of agreement and truth while students trained, and what picking a checkpoint brings."""
    blocks: list[Block] = []
    own = [each for each in body.curves if each.study in {"grid", "bootstrapping"}]
    if own:
        blocks.append(_curves("Validation items while students trained.", own))
    if body.selections:
        rows = [
            [plain(f"{each.chain}, {each.method}"), cell(each.final), cell(each.best_weak),
             cell(each.oracle_best_truth), cell(each.gained), cell(each.lost_to_oracle)]
            for each in body.selections
        ]  # fmt: skip
        head = ["Chain and method", "Final", "Best by weak labels", "Oracle: best by truth", "Gained", "Lost to oracle"]
        blocks.append(Table("Test accuracy of three checkpoints, means over tasks.", head, [TableGroup("", rows)],
                            stack=True))  # fmt: skip
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
    return Figure(caption, [_curve_panel(each) for each in own[:CURVES]], guide, key=key, size="small")


def _curve_panel(each: LearningCurve) -> Panel:
    values = [v for point in each.points for v in (point.weak_agreement, point.truth_accuracy)]
    frame = Frame((0.0, 1.0), extent(values), "share of training", "accuracy", width=220, height=180)
    for name, look in (("weak_agreement", "stroke c0"), ("truth_accuracy", "stroke c1 dash1")):
        points = [(point.progress, getattr(point, name)) for point in each.points]
        drawn = [None if value is None else (frame.x(at), frame.y(value)) for at, value in points]
        frame.marks.append(line(drawn, look))
    title = f"{each.chain}, {each.method}"
    last = each.points[-1]
    said = f"at the end agreement {last.weak_agreement}, truth {last.truth_accuracy}, {each.runs} runs"
    return Panel(plain(title), frame.render(f"Curves of {title}", said), f"{each.runs} runs")


def variants(body: LabBody, study: str) -> list[Section]:
    """Bars of a study, chain by chain, with curves where the variants were trained."""
    own = [each for each in body.bars if each.study == study]
    if not own:
        return []
    chains = list(dict.fromkeys(each.chain for each in own))
    panels = [_bar_panel(chain, [each for each in own if each.chain == chain]) for chain in chains]
    guide = Guide("Test accuracy of each variant, mean over tasks, 95 %.", LOOK[study])
    blocks: list[Block] = [Figure("", panels, guide), _bar_table(own)]
    if study == "easy_to_hard" and body.difficulties:
        blocks.append(_difficulty_table(body.difficulties))
    curves = [each for each in body.curves if each.study == study]
    if curves:
        blocks.append(_curves("Validation items while the variants trained.", curves))
    return [Section(study, VARIANTS[study], blocks)]


def _bar_panel(chain: str, own: Sequence[Bar]) -> Panel:
    rows = [Row(each.variant, each.accuracy) for each in own]
    return Panel(plain(chain), forest(rows, "accuracy", f"{own[0].study}, {chain}"))


def _bar_table(own: Sequence[Bar]) -> Table:
    rows = [
        [plain(each.chain), plain(each.variant), cell(each.weak), cell(each.accuracy), cell(each.ceiling),
         cell(each.agreement), cell(each.difference, "reference" if each.over is None else UNDEFINED), str(each.tasks)]
        for each in own
    ]  # fmt: skip
    head = ["Chain", "Variant", "Weak", "Accuracy", "Ceiling", "Agreement with the weak model", "Over the reference",
            "Tasks"]  # fmt: skip
    return Table("In numbers.", head, [TableGroup("", rows)], stack=True, text_columns=(0, 1))


def _difficulty_table(own: Sequence[Difficulty]) -> Table:
    rows = [[plain(each.chain), plain(each.variant), *map(cell, each.thirds), str(each.tasks)] for each in own]
    head = ["Chain", "Trained on", "Easiest third", "Middle", "Hardest third", "Tasks"]
    return Table("Accuracy by how easy the weak model finds the test items.", head, [TableGroup("", rows)],
                 stack=True, text_columns=(0, 1))  # fmt: skip
