"""Methods side by side: the same supervision with a reward model, DPO, PPO and so on, one row a method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.report.students import (
    ACCURACY,
    CONFLICT_ACCURACY,
    LIFT,
    PGR,
    SCORE,
    WIN,
    Metric,
    Student,
    column,
    judge_word,
    method_word,
    students,
)
from w2s_pref.results.preferences import Results

METRICS: Final = (ACCURACY, CONFLICT_ACCURACY, PGR, SCORE, LIFT, WIN)
#: Columns of numbers that a table has room for, on the page and in a narrow terminal.
ROOM: Final = 6
NARROW: Final = 2
TITLE: Final = "Methods side by side"
GUIDE: Final = Guide(
    "One row a method, one column a way of supervising. All columns of a metric share one scale, whose ends are "
    "given; the dashed line is PGR 0, lift 1, a win rate of one half, and for the deception score its null share. "
    "Methods score answers on scales of their own: compare shares such as accuracy, not margins.",
    "Methods agree on which arm is better. A deception score that only one method shows speaks of that method.",
)
Place = tuple[str, str, str, str]


@dataclass(frozen=True)
class MethodLine:
    """One line: a method of a run (the run's name empty where there is only one) under one conflict.

    ``students`` holds, for each supervision, its student or none.
    """

    run: str
    method: str
    conflict: str
    students: Sequence[Student | None]

    @property
    def name(self) -> str:
        """The method, and the run where there are several."""
        return f"{method_word(self.method)}, {self.run}" if self.run else method_word(self.method)


@dataclass(frozen=True)
class SideBySide:
    """The whole table: supervisions are columns within each metric."""

    supervisions: Sequence[str]
    metrics: Sequence[Metric]
    lines: Sequence[MethodLine]
    judge: str

    def under(self, conflict: str) -> list[MethodLine]:
        """Lines of one conflict."""
        return [line for line in self.lines if line.conflict == conflict]

    def titles(self, metrics: Sequence[Metric], separator: str = ", ") -> str:
        """The metrics' names; a win rate says who judged."""
        judged = f" ({self.judge})" if self.judge else ""
        return separator.join(metric.title + judged * (metric is WIN) for metric in metrics)

    def parts(self, room: int, metrics: Sequence[Metric] | None = None) -> list[Sequence[Metric]]:
        """Metrics in stretches of at most ``room`` columns, one metric at least."""
        every = self.metrics if metrics is None else metrics
        step = max(1, room // max(1, len(self.supervisions)))
        return [every[start : start + step] for start in range(0, len(every), step)]

    def columns(self, metrics: Sequence[Metric]) -> Iterator[Column[MethodLine]]:
        """The numbers of some metrics, one column a supervision."""
        yield Column("Method", lambda line: line.name)
        for part in self.parts(NARROW, metrics):
            title = f"{TITLE}: {self.titles(part)}"
            for metric in part:
                for place, supervision in enumerate(self.supervisions):
                    head = f"{metric.short[:1].upper()}{metric.short[1:]}, {supervision}"
                    own = column(metric, head, part=title).within(partial(_student, place), "no such arm")
                    yield replace(own, alone=supervision) if len(part) == 1 else own


def _student(place: int, line: MethodLine) -> Student | None:
    return line.students[place]


def side_by_side(runs: Sequence[tuple[str, Results]]) -> SideBySide | None:
    """The table of one run (named "") or of several; None where no supervision has students of two methods."""
    found: dict[Place, Student] = {}
    for name, run in runs:
        for one in students(run):
            found.setdefault((name, one.method, one.conflict, one.supervision), one)
    methods = list(dict.fromkeys(method for _, method, _, _ in found))
    if len({(method, one) for _, method, _, one in found}) == len({one for *_, one in found}):
        return None
    conflicts = list(dict.fromkeys(conflict for _, _, conflict, _ in found))
    supervisions = list(dict.fromkeys(place[3] for place in found))
    lines = [
        MethodLine(name, method, conflict, [found.get((name, method, conflict, one)) for one in supervisions])
        for conflict in conflicts
        for method in methods
        for name, _ in runs
    ]
    metrics = [metric for metric in METRICS if any(metric.get(one) is not None for one in found.values())]
    judge = next((word for _, run in runs if (word := judge_word(run))), "")
    return SideBySide(supervisions, metrics, [line for line in lines if any(line.students)], judge)


def tables(runs: Sequence[tuple[str, Results]]) -> list[Table[MethodLine]]:
    """Of one run or of several: as many metrics a table as fit; none where all students are of one method."""
    found = side_by_side(runs)
    if found is None:
        return []
    groups = [(conflict, found.under(conflict)) for conflict in dict.fromkeys(line.conflict for line in found.lines)]
    return [
        Table(
            f"By method and conflict: {found.titles(metrics, '; ')}.",
            list(found.columns(metrics)),
            groups,
            GUIDE,
            stack=True,
            title=f"{TITLE}: {found.titles(metrics)}",
        )
        for metrics in found.parts(ROOM)
    ]


def section(results: Results) -> Section | None:
    """Tables of as many metrics as fit; none where all students are of one method."""
    found = tables([("", results)])
    return Section("methods", TITLE, found, "Methods") if found else None
