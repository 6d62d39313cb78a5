"""The laboratory's analysis: from answers, cells and learning curves to everything that its report shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.lab.cells import ROLES, Answers, Case, analyse_cell
from w2s_pref.analysis.lab.studies import bars, contrasts, difficulties, medians, selections, together, trends
from w2s_pref.analysis.stats.basics import number
from w2s_pref.analysis.stats.seeds import disagreements, seeds_note
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.results.lab import Cell, Contrast, CurvePoint, Estimate, LabBody, LearningCurve, Median, Trend

#: Apart from each other, so that the tasks' resamples are independent.
_SEED_STEP = 100_003
#: Points of a mean curve; trainings that end early keep their last value.
POINTS = 41
QUANTITIES = ("weak_agreement", "truth_accuracy")


def summarize(
    predictions: pd.DataFrame, cells: pd.DataFrame, curves: pd.DataFrame, settings: dict[str, Any]
) -> LabBody:
    """Every number of a laboratory study.

    Args:
        predictions: ``task, split, id, group, truth, name, seed, p``; only the rows of split ``test`` are judged.
        cells: ``study, task, chain, method, weak, student, ceiling``: names in ``predictions``.
        curves: ``task, name, seed, progress, weak_agreement, truth_accuracy``, or no such columns.
        settings: ``resamples, seed``, ``models`` (parameters), ``methods`` (algorithms), ``losses``.

    Raises:
        W2SError: a cell names a classifier that did not answer, or answers that are no probabilities.
    """
    cases = _cases(predictions, cells, settings)
    found = [analyse_cell(case) for case in cases]
    middle = medians([case for case in cases if case.study in {"grid", "bootstrapping"}])
    compared, sizes = contrasts(cases, settings), trends(cases, settings)
    return LabBody(
        settings=settings,
        cells=found,
        medians=middle,
        selections=selections([case for case in cases if case.study == "grid"]),
        bars=bars(cases),
        difficulties=difficulties(cases, settings),
        contrasts=compared,
        trends=sizes,
        curves=learning_curves(curves, cases),
        verdict=verdict(found, middle, compared, sizes),
        warnings=[*warnings(found), *_seeds(cases)],
    )


def _cases(predictions: pd.DataFrame, cells: pd.DataFrame, settings: dict[str, Any]) -> list[Case]:
    test = predictions[predictions["split"] == "test"]
    tasks: dict[str, Answers] = {}
    for place, name in enumerate(dict.fromkeys(cells["task"])):
        table = test[test["task"] == name]
        if not len(table):
            raise W2SError(f"task {name!r} has no answers on its test items; score them")
        tasks[name] = Answers(table, settings["resamples"], settings["seed"] + _SEED_STEP * place)
    names = ("study", "task", "chain", "method", *ROLES)
    rows = cells.to_dict("records")
    return [Case(**{name: row[name] for name in names}, answers=tasks[row["task"]]) for row in rows]


def learning_curves(curves: pd.DataFrame, cases: Sequence[Case]) -> list[LearningCurve]:
    """One mean curve for every study, chain and method.

    Args:
        curves: ``task, name, seed, progress, weak_agreement, truth_accuracy``; progress in [0, 1] of the longest
            training that the settings allow.
        cases: the cells; a curve belongs to the student of a cell.
    """
    if "progress" not in curves:
        return []
    runs = dict(iter(curves.groupby(["task", "name"], observed=True)))
    found = []
    for (study, chain, method), group in together(cases, "study", "chain", "method"):
        parts = [runs[case.task, case.student] for case in group if (case.task, case.student) in runs]
        each = [one for part in parts for _, one in part.groupby("seed")]
        if each:
            points = _mean_curve(each)
            found.append(LearningCurve(study=study, chain=chain, method=method, runs=len(each), points=points))
    return found


def _mean_curve(runs: Sequence[pd.DataFrame]) -> list[CurvePoint]:
    grid = np.linspace(0.0, 1.0, POINTS)
    means = {name: np.stack([_on(run, name, grid) for run in runs]).mean(axis=0) for name in QUANTITIES}
    return [
        CurvePoint(progress=float(at), **{name: number(means[name][n]) for name in QUANTITIES})
        for n, at in enumerate(grid)
    ]


def _on(run: pd.DataFrame, name: str, grid: Floats) -> Floats:
    """The run's values on a common grid, straight between its evaluations; NaN where it has none."""
    run = run.sort_values("progress")
    if name not in run or run[name].isna().all():
        return np.full(len(grid), np.nan)
    return np.asarray(np.interp(grid, run["progress"].to_numpy(dtype=float), run[name].to_numpy(dtype=float)))


def warnings(cells: Sequence[Cell]) -> list[str]:
    """What a reader must know: weak models at chance, and cells without a gap."""
    chance = dict.fromkeys(f"{cell.weak} on {cell.task}" for cell in cells if cell.weak_at_chance)
    found = []
    if chance:
        pairs = "pair of weak model and task is" if len(chance) == 1 else "pairs of weak model and task are"
        found.append(
            f"{len(chance)} {pairs} not resolved above chance, so these labels teach nothing reliable: "
            + ", ".join(chance)
        )
    none = sum(cell.note is not None for cell in cells if cell.study == "grid")
    total = sum(cell.study == "grid" for cell in cells)
    if none:
        found.append(f"{none} of {total} cells of the grid have no gap: no PGR is given for them")
    return found


def _seeds(cases: Sequence[Case]) -> list[str]:
    """How many seeds there are and what that means, and the students on which they disagree."""
    numbers = sorted({len(case.answers.seeds) for case in cases})
    students = {f"the accuracy of {case.student} on {case.task}": case.accuracy("student") for case in cases}
    return [*(seeds_note(number) for number in numbers), *disagreements(students)]


def verdict(
    cells: Sequence[Cell], middle: Sequence[Median], compared: Sequence[Contrast], sizes: Sequence[Trend]
) -> list[str]:
    """The study in sentences; what is not resolved is said to be so."""
    grid = [cell for cell in cells if cell.study == "grid"]
    known = [cell.pgr for cell in grid if cell.note is None]
    better, worse, rest = _sides(known, "in ")
    found = [
        f"{len(grid)} cells: {len(grid) - len(known)} without a gap; of the {len(known)} others the student is better "
        f"than its supervisor in {better}, worse in {worse}, {rest}."
    ]
    for each in middle:
        if each.study == "grid" and each.pgr.estimate is not None and each.pgr.interval is not None:
            low, high = each.pgr.interval
            found.append(
                f"{each.chain} by {each.method}: median PGR {each.pgr.estimate:.2f} ({low:.2f} to {high:.2f}) over "
                f"{each.tasks - each.without_gap} of {each.tasks} tasks."
            )
    return [*found, *_compared(compared), *_sizes(sizes)]


def _compared(compared: Sequence[Contrast]) -> list[str]:
    found = []
    for study, noun in (
        ("confidence", "Students by other methods against the first of their algorithm"),
        ("bootstrapping", "Bootstrapped chains against direct ones"),
    ):
        own = [each for each in compared if each.study == study]
        if own:
            up, down, rest = _sides([each.difference for each in own])
            found.append(f"{noun}: {up} better, {down} worse, {rest}.")
    return found


def _sides(found: Sequence[Estimate], place: str | None = None) -> tuple[int, int, str]:
    """How many are above 0 and below, and in words how many of the rest are open and how many have no interval at all.

    Args:
        place: written before each number, which then stands behind its words; None: the number stands first.
    """
    up, down = (sum(each.side() == side for each in found) for side in (1, -1))
    undefined = sum(each.interval is None for each in found)
    counts = {"not resolved": len(found) - up - down - undefined, "undefined": undefined}
    told = [(word, number) for word, number in counts.items() if number or word == "not resolved"]
    said = [f"{number} {word}" if place is None else f"{word} {place}{number}" for word, number in told]
    return up, down, ", ".join(said)


def _sizes(sizes: Sequence[Trend]) -> list[str]:
    """Copying less counts only without more new errors: a student that just agrees less does both."""
    own = [each for each in sizes if each.quantity == "inherited"]
    if not own:
        return []
    new = {(each.weak, each.method): each.slope for each in sizes if each.quantity == "new_errors"}
    less = [each for each in own if each.slope.side() < 0]
    apart = sum(new[each.weak, each.method].side() > 0 for each in less)
    more, _, rest = _sides([each.slope for each in own], "in ")
    return [
        f"Do larger students copy errors less? Of {len(own)} supervisors and methods yes in {len(less) - apart}; in "
        f"{apart} they also make more new errors, so they agree less altogether; they copy more in {more}; {rest}."
    ]
