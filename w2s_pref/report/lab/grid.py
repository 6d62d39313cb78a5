"""The grid: every task and pair with its PGR and three accuracies, medians over tasks, and what they say."""

from __future__ import annotations

from collections.abc import Sequence

from w2s_pref.report.draw.blocks import Block, Figure, Fold, Guide, Panel, Points, Section, Table, TableGroup, Warnings
from w2s_pref.report.draw.format import number, plain
from w2s_pref.report.draw.key import colour, mark_swatch
from w2s_pref.report.lab.forest import Row, cell, forest
from w2s_pref.results.lab import Cell, LabBody, Median

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


def verdict(body: LabBody) -> Section:
    """What came out, in sentences."""
    blocks: list[Block] = [Points(body.verdict, shown=8)]
    if body.warnings:
        blocks.append(Warnings(body.warnings))
    return Section("verdict", "What came out", blocks, "Verdict")


def grid(body: LabBody) -> Section | None:
    """Task by pair."""
    cells = [each for each in body.cells if each.study == "grid"]
    if not cells:
        return None
    methods = list(dict.fromkeys(each.method for each in cells))
    none = sum(each.note is not None for each in cells)
    blocks: list[Block] = [
        Points([f"{none} of {len(cells)} cells have no gap: for them no PGR is given, and the accuracies stand alone."])
    ]
    for number_, method in enumerate(methods):
        table = _table(method, [each for each in cells if each.method == method])
        blocks.append(table if not number_ else Fold(f"The same with {plain(method)}", [table]))
    return Section("grid", "Task by pair", blocks, "Task by pair")


def _table(method: str, cells: Sequence[Cell]) -> Table:
    tasks = list(dict.fromkeys(each.task for each in cells))
    groups = [TableGroup(plain(task), [_row(each) for each in cells if each.task == task]) for task in tasks]
    head = ["Pair", "PGR", "PGR (AUROC)", "Weak", "Student", "Ceiling", "Copied errors"]
    return Table(f"Accuracy and gap recovered, {plain(method)}.", head, groups, GRID, stack=True)


def _row(each: Cell) -> list[str]:
    absent = "no gap"
    return [
        plain(each.chain) + (" (weak at chance)" if each.weak_at_chance else ""),
        cell(each.pgr, absent),
        cell(each.pgr_auroc, absent),
        *(cell(each.accuracy[role]) for role in ("weak", "student", "ceiling")),
        cell(each.inheritance["inherited"]),
    ]


def medians(body: LabBody) -> Section | None:
    """Medians over tasks, one panel a method."""
    own = [each for each in body.medians if each.study == "grid"]
    if not own:
        return None
    methods = list(dict.fromkeys(each.method for each in own))
    panels = [_panel(method, [each for each in own if each.method == method], methods) for method in methods]
    key = [(mark_swatch("circle", f"fill {colour(methods, name)}"), plain(name)) for name in methods]
    rows = [[plain(f"{each.chain}, {each.method}"), cell(each.pgr, "no gap"), cell(each.pgr_auroc, "no gap"),
             *(cell(each.accuracy[role]) for role in ("weak", "student", "ceiling")),
             f"{each.tasks - each.without_gap} of {each.tasks}"] for each in own]  # fmt: skip
    head = ["Chain and method", "Median PGR", "Median PGR (AUROC)", "Weak", "Student", "Ceiling", "Tasks with a gap"]
    table = Table("Over tasks: median PGR, mean accuracies.", head, [TableGroup("", rows)], stack=True)
    blocks: list[Block] = [Figure("Median PGR over tasks.", panels, MEDIANS, key=key), Fold("In numbers", [table])]
    return Section("medians", "Over tasks", blocks, "Over tasks")


def _panel(method: str, own: Sequence[Median], methods: Sequence[str]) -> Panel:
    rows = [Row(each.chain, each.pgr, colour(methods, method)) for each in own]
    note = f"{sum(each.without_gap for each in own)} of {sum(each.tasks for each in own)} cells without a gap"
    return Panel(plain(method), forest(rows, "median PGR", f"Median PGR, {method}", 0.0), note)


def calibration(body: LabBody) -> Section | None:
    """ECE and Brier score of the students, behind a fold: a number for every cell."""
    cells = [each for each in body.cells if each.study == "grid"]
    if not cells:
        return None
    rows = [
        [plain(f"{each.task}: {each.chain}, {each.method}"), cell(each.ece["weak"]), cell(each.ece["student"]),
         cell(each.brier["weak"]), cell(each.brier["student"]),
         *(cell(each.agreement[name]) for name in ("overall", "supervisor_right", "supervisor_wrong")),
         *(cell(each.inheritance[name]) for name in ("corrected", "new_errors"))]
        for each in cells
    ]  # fmt: skip
    head = ["Cell", "ECE weak", "ECE student", "Brier weak", "Brier student", "Agreement", "… where it is right",
            "… where it is wrong", "Corrected", "New errors"]  # fmt: skip
    table = Table("Calibration and agreement, cell by cell.", head, [TableGroup("", rows)], stack=True)
    title = f"{number(len(rows), 0)} cells in numbers"
    return Section("calibration", "Calibration and agreement", [Fold(title, [table])], "Calibration")
