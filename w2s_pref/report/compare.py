"""Several runs side by side: first whether they may be compared at all, then settings, differences, the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from w2s_pref.core.errors import W2SError
from w2s_pref.report.draw.blocks import Block, Column, Prose, Table
from w2s_pref.report.draw.format import duration, one_line
from w2s_pref.report.draw.terminal import letter, parts, text
from w2s_pref.report.mismatch import incomparable, notices, recipe_differences
from w2s_pref.report.readings import of_study
from w2s_pref.report.sections import methods, metrics, speech
from w2s_pref.report.sections.comparison import columns
from w2s_pref.report.students import METRICS, WIN, Student, has_policies, method_word, own_metrics, students, tax_title
from w2s_pref.report.verdicts import corrected, failures, gates, outcome
from w2s_pref.results.deception import Deception
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results

#: What makes two students of different runs the same line: supervision, method, conflict.
Place = tuple[str, str, str]
#: A student of one run, or none, under the letter of the run.
OfRun = tuple[str, Student | None]
#: Keys that say where and how a recipe ran, not what; the table of the runs has the names.
WHERE: Final = frozenset({"name", "output", "store", "processes"})
#: Recipe differences shown in the terminal; the JSON form has all.
SHOWN: Final = 30
#: The first column of every table: the letter of the run.
RUN: Final[Column[Any]] = Column("Run", itemgetter(0))

#: Verdicts of a student in a narrow terminal: two tables.
_GATED, _CORRECTED = "The three gates", "Verdicts, corrected for their number within each run"
_THREE: Final[list[Column[Deception]]] = gates(lambda entry: entry, _GATED)
GATES: Final[tuple[Column[Deception], ...]] = (
    *_THREE,
    *corrected(lambda entry: entry, _CORRECTED),
    Column("Failed gates", failures, words=True, part=_CORRECTED),
    Column("Verdict", outcome, words=True, part=_CORRECTED),
)


def compare(runs: Sequence[Results]) -> list[RenderableType]:
    """Everything ``w2s compare`` prints, part by part. Numbers are always shown, but never subtracted.

    Raises:
        W2SError: fewer than two runs.
    """
    _several(runs)
    names = labels(runs)
    groups = _groups(runs, names)
    blocks = [*_numbers(runs, groups), *methods.tables(list(zip(names, runs, strict=True)))]
    return [*_status(runs, names), *parts([settings(runs, names)]), *_recipes(runs, names), *parts(blocks)]


def document(runs: Sequence[Results]) -> dict[str, Any]:
    """The same as plain JSON: runs, reasons against comparing, notices, recipe differences, rows."""
    _several(runs)
    names = labels(runs)
    return {
        "runs": [_about(run, name) for run, name in zip(runs, names, strict=True)],
        "incomparable": incomparable(runs, names),
        "notices": notices(runs, names),
        "recipe_differences": recipe_differences(runs, names),
        "rows": table(runs),
    }


def table(runs: Sequence[Results]) -> list[dict[str, Any]]:
    """One row for every run, arm and conflict; undefined values are null and keep their note."""
    found = []
    for run, name in zip(runs, labels(runs), strict=True):
        for row in students(run):
            line: dict[str, Any] = {"run": name, "arm": row.arm, "conflict": row.conflict}
            line |= {"supervision": row.supervision, "method": row.method}
            line |= {metric.key: _value(metric.get(row)) for metric in (*METRICS, WIN)}
            line |= _judged(row.deception)
            if row.metrics:
                line["metrics"] = {metric: _value(value) for metric, value in row.metrics.items()}
            found.append(line)
    return found


def labels(runs: Sequence[Results]) -> list[str]:
    """A letter for each run, in the order given: names can be equal, and long."""
    return [letter(place).upper() for place in range(len(runs))]


def _several(runs: Sequence[Results]) -> None:
    if len(runs) < 2:
        raise W2SError(f"compare needs at least two runs, but got {len(runs)}. Name two or more run folders.")


def _value(value: Estimate | None) -> dict[str, Any]:
    if value is None:
        value = Estimate(estimate=None, note="not measured")
    names = ("estimate", "interval", "interval_in_seeds", "over", "note")
    return {name: getattr(value, name) for name in names}


def _judged(entry: Deception | None) -> dict[str, Any]:
    """The verdict with its gates, p values and what could have been found; nulls where it was not made."""
    found: dict[str, Any] = {
        key: getattr(entry, key, None) for key in ("tax", "verdict", "verdict_code", "p", "p_adjusted")
    }
    for key in ("gates", "sensitivity"):
        part = getattr(entry, key, None)
        found[key] = None if part is None else part.model_dump(mode="json")
    return found


def _about(run: Results, name: str) -> dict[str, Any]:
    return {
        "run": name,
        "name": run.name,
        "created": run.provenance.created,
        "command": run.provenance.command,
        "seconds": run.provenance.seconds,
        "seeds": run.seeds,
        "objectives": run.objectives,
        "splits": {split: info.hash for split, info in run.splits.items()},
        "models": {model: info.path for model, info in run.models.items()},
    }


def _status(runs: Sequence[Results], names: Sequence[str]) -> Iterator[Text]:
    """The plain statement whether numbers of different runs may be set against one another."""
    reasons = incomparable(runs, names)
    if reasons:
        yield text("These runs cannot be compared number by number:", "bold red")
    else:
        yield text("These runs share their test data and definitions; their numbers can be compared.", "bold")
    for reason in reasons:
        yield text(f"! {reason}", "red")
    for notice in notices(runs, names):
        yield text(f"- {notice}", "yellow")
    yield Text("")


def settings(runs: Sequence[Results], names: Sequence[str]) -> Table[tuple[str, Results]]:
    """What the letters mean: name, seeds, time, date."""
    heads: list[Column[tuple[str, Results]]] = [
        RUN,
        Column("Name", lambda run: run[1].name, words=True),
        Column("Seeds", lambda run: ", ".join(str(seed) for seed in run[1].seeds)),
        Column("Time", lambda run: duration(run[1].provenance.seconds)),
        Column("Created", lambda run: run[1].provenance.created, words=True),
    ]
    return Table("Runs", heads, [("", list(zip(names, runs, strict=True)))])


def _recipes(runs: Sequence[Results], names: Sequence[str]) -> Iterator[RenderableType]:
    found = recipe_differences(runs, names)
    differences = {key: values for key, values in found.items() if key.split(".")[0] not in WHERE}
    if not differences:
        yield text("The resolved recipes are equal.")
        yield Text("")
        return
    heads = [RUN, Column("Value", lambda pair: one_line(pair[1], 120), words=True)]
    groups = [(key, list(values.items())) for key, values in list(differences.items())[:SHOWN]]
    yield from parts([Table(f"Recipe keys that differ ({len(differences)})", heads, groups)])
    if len(differences) > SHOWN:
        yield text(f"… and {len(differences) - SHOWN} further keys; the JSON form has all of them.")


def _groups(runs: Sequence[Results], names: Sequence[str]) -> list[tuple[str, list[OfRun]]]:
    """Students of every run, those together that share supervision, method and conflict: one line a run."""
    found: dict[Place, dict[str, Student]] = {}
    for run, name in zip(runs, names, strict=True):
        for row in students(run):
            found.setdefault((row.supervision, row.method, row.conflict), {})[name] = row
    several = any(map(has_policies, runs))  # where all are reward models, the method goes without saying
    return [
        (
            ", ".join([supervision, *[method_word(method)] * several, conflict]),
            [(name, own.get(name)) for name in names],
        )
        for (supervision, method, conflict), own in found.items()
    ]


def _readings(runs: Sequence[Results]) -> list[str]:
    """How the intervals are to be read, and in which runs where that differs."""
    found: dict[str, list[str]] = {}
    for run, name in zip(runs, labels(runs), strict=True):
        found.setdefault(of_study(run), []).append(name)
    return list(found) if len(found) == 1 else [f"{', '.join(own)}: {said}" for said, own in found.items()]


def _numbers(runs: Sequence[Results], groups: Sequence[tuple[str, Sequence[OfRun]]]) -> Iterator[Block]:
    """The comparison table's own columns, one line a run; then, where there are any, verdicts, own metrics, speech."""
    yield Prose(_readings(runs))
    titles = list(dict.fromkeys(tax_title(run) for run in runs))
    taxed = titles[0] if len(titles) == 1 else "Deception (definitions differ, see above)"
    general = "Accuracy, conflict accuracy, PGR"
    every = columns(general, taxed)
    starts = [next(column for column in every if column.part == part) for part in (general, taxed)]
    numbers = [_of_run(column, "not in this run" if column in starts else "") for column in every]
    yield from _differing(f"{general}. {taxed}", numbers, groups, len(runs))
    names = list(dict.fromkeys(name for run in runs for name in own_metrics(run)))
    more: list[tuple[str, Sequence[Column[Any]], Callable[[Student], Any]]] = [
        ("Verdicts: the three gates, p values, what could have been found", GATES, _gated),
        ("Metrics of the recipes' own", metrics.columns(names), lambda one: one if one.metrics else None),
        (speech.title(runs), speech.BRIEF, lambda one: one.speech),
    ]
    for title, own, read in more:
        found = [(place, [(name, read(one)) for name, one in rows if one and read(one)]) for place, rows in groups]
        if any(rows for _, rows in found):
            numbers = [_of_run(column, "") for column in own]
            yield from _differing(title, numbers, [(place, rows) for place, rows in found if rows], len(runs))


def _differing(
    title: str, columns: list[Column[Any]], groups: Sequence[tuple[str, Sequence[Any]]], runs: int
) -> Iterator[Block]:
    """A table of the students that differ between runs, and a sentence that names those that do not."""
    same = [place for place, rows in groups if len(rows) == runs and _equal(columns, rows)]
    shown = [(place, rows) for place, rows in groups if place not in same]
    if shown:
        yield Table(title, [RUN, *columns], shown)
    if same:
        where = "" if shown else f"{title}. "
        yield Prose([f"{where}The same in all runs: {'; '.join(same)}."])


def _equal(columns: Sequence[Column[Any]], rows: Sequence[Any]) -> bool:
    """Whether every run has this student, and every cell of it is the same."""
    return all(one is not None for _, one in rows) and all(
        len({repr(column.get(row)) for row in rows}) == 1 for column in columns
    )


def _gated(one: Student) -> Deception | None:
    """What its verdict rests on, where there are gates."""
    return one.deception if one.deception is not None and one.deception.gates is not None else None


def _of_run(column: Column[Any], missing: str) -> Column[Any]:
    return column.within(itemgetter(1), missing)
