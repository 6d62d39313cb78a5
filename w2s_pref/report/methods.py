"""Methods side by side: which rows, columns and metrics, for the page, the terminal and the comparison of runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from w2s_pref.report.draw.format import plain
from w2s_pref.report.grid import Grid
from w2s_pref.report.rows import (
    ACCURACY,
    CONFLICT_ACCURACY,
    LIFT,
    PGR,
    SCORE,
    WIN,
    Metric,
    Row,
    absent,
    judge_word,
    method_word,
    rows,
)
from w2s_pref.results.preferences import Results

METRICS: Final = (ACCURACY, CONFLICT_ACCURACY, PGR, SCORE, LIFT, WIN)
Place = tuple[str, str, str, str]


@dataclass(frozen=True)
class Lines:
    """One line: a method of a run (the run's name empty where there is only one) under one conflict.

    ``students`` holds, for each supervision, its student or none.
    """

    run: str
    method: str
    conflict: str
    students: Sequence[Row | None]

    @property
    def name(self) -> str:
        """The method, and the run where there are several."""
        return f"{method_word(self.method)}, {self.run}" if self.run else method_word(self.method)


@dataclass(frozen=True)
class SideBySide:
    """The whole table: supervisions are columns within each metric."""

    supervisions: Sequence[str]
    metrics: Sequence[Metric]
    lines: Sequence[Lines]
    judge: str

    @property
    def conflicts(self) -> list[str]:
        """In the order of the results."""
        return list(dict.fromkeys(line.conflict for line in self.lines))

    def under(self, conflict: str) -> list[Lines]:
        """Lines of one conflict."""
        return [line for line in self.lines if line.conflict == conflict]

    def title(self, metric: Metric) -> str:
        """The metric's name; a win rate says who judged."""
        return f"{metric.title} ({self.judge})" if metric is WIN and self.judge else metric.title

    def parts(self, room: int) -> list[Sequence[Metric]]:
        """Metrics in stretches of at most ``room`` columns, one metric at least."""
        step = max(1, room // max(1, len(self.supervisions)))
        return [self.metrics[start : start + step] for start in range(0, len(self.metrics), step)]


def side_by_side(runs: Sequence[tuple[str, Results]]) -> SideBySide | None:
    """The table of one run (named "") or of several; None where all students are of one method."""
    found: dict[Place, Row] = {}
    for name, run in runs:
        for row in rows(run):
            found.setdefault((name, row.method, row.conflict, row.supervision), row)
    methods = list(dict.fromkeys(method for _, method, _, _ in found))
    if len(methods) < 2:
        return None
    conflicts = list(dict.fromkeys(conflict for _, _, conflict, _ in found))
    supervisions = list(dict.fromkeys(place[3] for place in found))
    lines = [
        Lines(name, method, conflict, [found.get((name, method, conflict, one)) for one in supervisions])
        for conflict in conflicts
        for method in methods
        for name, _ in runs
    ]
    students = list(found.values())
    metrics = [metric for metric in METRICS if any(metric.get(row) is not None for row in students)]
    judge = next((word for _, run in runs if (word := judge_word(run))), "")
    return SideBySide(supervisions, metrics, [line for line in lines if any(line.students)], judge)


def grids(runs: Sequence[tuple[str, Results]], room: int) -> Iterator[Grid]:
    """The table for a terminal, in grids of at most ``room`` columns of numbers."""
    table = side_by_side(runs)
    if table is None:
        return
    for metrics in table.parts(room):
        single = len(metrics) == 1  # its title names it
        heads = [plain(one) if single else head(m, one) for m in metrics for one in table.supervisions]
        grid = Grid(f"Methods side by side: {', '.join(table.title(m) for m in metrics)}", ("Method", *heads))
        for conflict in table.conflicts:
            grid.group(conflict)
            for line in table.under(conflict):
                cells = [
                    grid.notes.estimate(None if row is None else metric.get(row), metric.digits, missing(row, metric))
                    for metric in metrics
                    for row in line.students
                ]
                grid.add(line.name, cells)
        yield grid


def head(metric: Metric, supervision: str) -> str:
    """A column's heading."""
    return f"{metric.short[:1].upper()}{metric.short[1:]}, {plain(supervision)}"


def missing(row: Row | None, metric: Metric) -> str:
    """The words where a student or its number is not there."""
    return "no such arm" if row is None else absent(row, metric)
