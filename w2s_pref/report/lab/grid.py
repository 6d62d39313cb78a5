"""The grid: every task and pair with its PGR and three accuracies, medians over tasks, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from w2s_pref.report.draw.blocks import (
    Block,
    Column,
    Figure,
    Fold,
    Guide,
    Panel,
    Points,
    Prose,
    Section,
    Table,
    Value,
    Warnings,
)
from w2s_pref.report.draw.format import UNDEFINED, interval, number, second
from w2s_pref.report.draw.plot import Forest, Mark
from w2s_pref.report.draw.svg import colour, extent, mark_swatch, picture
from w2s_pref.report.readings import of_lab
from w2s_pref.report.sections.disagreement import WEIGHTS_GUIDE, weighed
from w2s_pref.results.lab import Cell, Estimate, LabBody, Median, SpreadPart, StudentWeights

WIDTH = 380.0


def or_words(value: Estimate, undefined: str) -> Value:
    """The estimate, or these words where it is undefined."""
    return Value(None if value.estimate is None else value, absent=undefined)


def words(value: Estimate) -> str:
    """``0.42 [0.30, 0.55] {0.34, 0.50}``, or that it is undefined."""
    shown = f"{number(value.estimate)} {interval(value.interval)} {second(value)}".rstrip()
    return UNDEFINED if value.estimate is None else shown


def forest_panel(
    name: str,
    rows: Sequence[tuple[str, Estimate]],
    axis: str,
    title: str,
    neutral: float | None = None,
    hue: str = "c0",
) -> Panel:
    """One picture of estimates in rows; undefined ones are written out."""
    bounds = [bound for _, value in rows for bound in (value.estimate, *(value.interval or ()))]
    marks = [(row, [Mark(value.estimate, value.interval, f"{row}: {words(value)}", hue)]) for row, value in rows]
    span = extent(bounds, include=() if neutral is None else (neutral,))
    drawn = Forest(marks, span, axis, neutral, WIDTH, names=150, right=12)
    said = "; ".join(f"{row}: {words(value)}" for row, value in rows)
    return Panel(name, picture(WIDTH, drawn.bottom + 36, title, said, drawn.draw(), "plot"))


GRID = Guide(
    "PGR is the share of the gap between weak model and ceiling that the student recovers: 0 the supervisor, 1 the "
    "ceiling, both may be passed. Accuracies are on the same test items. “No gap”: the ceiling is not resolved above "
    "the weak model, and no PGR is given.",
    "Accuracies that rise from weak over student to ceiling, and intervals that leave 0 out.",
)
MEDIANS = Guide(
    "The median over the tasks that have a gap, by chain and method. Items and seeds are resampled, tasks are fixed.",
    "Intervals right of the dashed line: more than the supervisor knew.",
)
NO_GAP: Final = "no gap"
ROLES: Final = ("weak", "student", "ceiling")


T = TypeVar("T")
S = TypeVar("S", SpreadPart, StudentWeights)


def estimate(head: str, read: Callable[[T], Estimate], absent: str = "undefined") -> Column[T]:
    """A column of the laboratory's estimates."""
    return Column(head, lambda row: or_words(read(row), absent))


def _role(name: str) -> Callable[[Any], Estimate]:
    return lambda row: cast(Estimate, row.accuracy[name])


CELLS: Final[tuple[Column[Cell], ...]] = (
    Column("Pair", lambda cell: cell.chain + (" (weak at chance)" if cell.weak_at_chance else "")),
    estimate("PGR", lambda cell: cell.pgr, NO_GAP),
    estimate("PGR (AUROC)", lambda cell: cell.pgr_auroc, NO_GAP),
    *(estimate(name.capitalize(), _role(name)) for name in ROLES),
    estimate("Copied errors", lambda cell: cell.inheritance["inherited"]),
)
OVER_TASKS: Final[tuple[Column[Median], ...]] = (
    Column("Chain and method", lambda row: f"{row.chain}, {row.method}"),
    estimate("Median PGR", lambda row: row.pgr, NO_GAP),
    replace(estimate("Median PGR (AUROC)", lambda row: row.pgr_auroc, NO_GAP), where="page"),
    *(replace(estimate(name.capitalize(), _role(name)), bounds=False) for name in ROLES),
    Column("Tasks with a gap", lambda row: f"{row.tasks - row.without_gap} of {row.tasks}", short="Gaps"),
)
CALIBRATION: Final[tuple[Column[Cell], ...]] = (
    Column("Cell", lambda cell: f"{cell.task}: {cell.chain}, {cell.method}"),
    estimate("ECE weak", lambda cell: cell.ece["weak"]),
    estimate("ECE student", lambda cell: cell.ece["student"]),
    estimate("Brier weak", lambda cell: cell.brier["weak"]),
    estimate("Brier student", lambda cell: cell.brier["student"]),
    estimate("Agreement", lambda cell: cell.agreement["overall"]),
    estimate("… where it is right", lambda cell: cell.agreement["supervisor_right"]),
    estimate("… where it is wrong", lambda cell: cell.agreement["supervisor_wrong"]),
    estimate("Corrected", lambda cell: cell.inheritance["corrected"]),
    estimate("New errors", lambda cell: cell.inheritance["new_errors"]),
)


def verdict(body: LabBody) -> Section:
    """What came out, in sentences."""
    blocks: list[Block] = [Points(body.verdict, shown=8), Prose([of_lab(body)])]
    if body.warnings:
        blocks.append(Warnings(body.warnings))
    return Section("verdict", "What came out", blocks, "Verdict")


def grid(body: LabBody) -> Section | None:
    """Task by pair."""
    cells = [each for each in body.cells if each.study == "grid"]
    if not cells:
        return None
    none = sum(each.note is not None for each in cells)
    said = f"{none} of {len(cells)} cells have no gap: for them no PGR is given, and the accuracies stand alone."
    blocks: list[Block] = [Points([said])]
    for method in dict.fromkeys(each.method for each in cells):
        own = [each for each in cells if each.method == method]
        groups = [(task, [each for each in own if each.task == task]) for task in dict.fromkeys(e.task for e in own)]
        table = Table(f"Accuracy and gap recovered, {method}.", CELLS, groups, GRID, stack=True)
        blocks.append(table if len(blocks) == 1 else Fold(f"The same with {method}", [table]))
    return Section("grid", "Task by pair", blocks, "Task by pair")


def over_tasks(own: Sequence[Median], title: str = "") -> Table[Median]:
    """Medians in numbers."""
    caption = "Over tasks: median PGR, mean accuracies."
    return Table(caption, OVER_TASKS, [("", own)], stack=True, title=title)


def medians(body: LabBody) -> Section | None:
    """Medians over tasks, one panel a method."""
    own = [each for each in body.medians if each.study == "grid"]
    if not own:
        return None
    methods = list(dict.fromkeys(each.method for each in own))
    panels, key = [], []
    for method in methods:
        mine, hue = [each for each in own if each.method == method], colour(methods, method)
        rows = [(each.chain, each.pgr) for each in mine]
        note = f"{sum(each.without_gap for each in mine)} of {sum(each.tasks for each in mine)} cells without a gap"
        panel = forest_panel(method, rows, "median PGR", f"Median PGR, {method}", 0.0, hue)
        panels.append(replace(panel, note=note))
        key.append((mark_swatch("circle", f"fill {hue}"), method))
    figure = Figure("Median PGR over tasks.", panels, MEDIANS, key=key)
    return Section("medians", "Over tasks", [figure, Fold("In numbers", [over_tasks(own)])], "Over tasks")


DISAGREEMENT = Guide(
    "Spread is the standard deviation of the supervisors' probabilities. Items are cut into three equal parts by it, "
    "the labelled ones for the labels, the test items for spread and student. The last row is where they disagree most "
    "minus where they disagree least, on the same resamples.",
    "A difference whose interval leaves 0 out: disagreement tells where labels are wrong. Supervisors that know "
    "nothing agree on one half: look at the labels before a small spread is taken for knowledge.",
)
PARTS: Final[dict[str, str]] = {
    "agree": "agree",
    "between": "between",
    "disagree": "disagree",
    "difference": "disagree minus agree",
}
SPREAD: Final[tuple[Column[SpreadPart], ...]] = (
    Column("Supervisors", lambda row: PARTS[row.part]),
    Column("Spread", lambda row: Value(None if row.spread is None else f"{row.spread:.3f}", tone="number", absent="")),
    estimate("Label accuracy", lambda row: row.label_accuracy),
    estimate("Student accuracy", lambda row: row.student_accuracy),
)
WEIGHTS: Final[tuple[Column[StudentWeights], ...]] = (
    Column("Seed", lambda one: str(one.seed)),
    Column("Weights", lambda one: weighed(one.supervisors, one.weights), words=True),
)


def disagreement(body: LabBody) -> Section | None:
    """Spread, accuracy of labels and of the student where supervisors disagree; None where none are combined."""
    if not body.disagreement:
        return None
    title = "Where supervisors disagree"
    caption = "By thirds of the items, from least to most disagreement."
    alone = len(body.settings.get("seeds", ())) == 1
    said = [Prose(["One seed: these intervals hold for other items and these very models."])] if alone else []
    spread = Table(caption, SPREAD, _by_student(body.disagreement), DISAGREEMENT, stack=True, title=title)
    blocks: list[Block] = [*said, spread]
    if body.supervisor_weights:
        groups = _by_student(body.supervisor_weights)
        blocks.append(Table("Weights over supervisors.", WEIGHTS, groups, WEIGHTS_GUIDE, title="Learned weights"))
    return Section("disagreement", title, blocks, "Disagreement")


def _by_student(rows: Sequence[S]) -> list[tuple[str, list[S]]]:
    """Rows of each task and student, under their names."""
    names = dict.fromkeys((row.task, row.student) for row in rows)
    return [(f"{t}: {name}", [row for row in rows if (row.task, row.student) == (t, name)]) for t, name in names]


def calibration(body: LabBody) -> Section | None:
    """ECE and Brier score of the students, behind a fold: a number for every cell."""
    cells = [each for each in body.cells if each.study == "grid"]
    if not cells:
        return None
    table = Table("Calibration and agreement, cell by cell.", CALIBRATION, [("", cells)], stack=True)
    title = f"{len(cells)} cells in numbers"
    return Section("calibration", "Calibration and agreement", [Fold(title, [table])], "Calibration")
