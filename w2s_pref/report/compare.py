"""Several runs side by side: first whether they may be compared at all, then settings, differences, the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from w2s_pref.core.errors import W2SError
from w2s_pref.report.draw.blocks import Block, Column, Table
from w2s_pref.report.draw.format import duration, one_line
from w2s_pref.report.draw.terminal import letter, parts, text
from w2s_pref.report.mismatch import incomparable, notices, recipe_differences
from w2s_pref.report.sections import methods, metrics, speech
from w2s_pref.report.sections.comparison import columns
from w2s_pref.report.students import METRICS, WIN, Student, has_policies, method_word, own_metrics, students, tax_title
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Results
from w2s_pref.results.speech import Speech

#: What makes two students of different runs the same line: supervision, method, conflict.
Place = tuple[str, str, str]
#: A student of one run, or none, under the letter of the run.
OfRun = tuple[str, Student | None]
#: Recipe differences shown in the terminal; the JSON form has all.
SHOWN: Final = 30


def compare(runs: Sequence[Results]) -> list[RenderableType]:
    """Everything ``w2s compare`` prints, part by part. Numbers are always shown, but never subtracted.

    Raises:
        W2SError: fewer than two runs.
    """
    _several(runs)
    names = labels(runs)
    groups = _groups(runs, names)
    blocks: list[Block] = [_numbers(runs, groups), *_own_metrics(runs, groups), *_speech(runs, groups)]
    blocks += methods.tables(list(zip(names, runs, strict=True)))
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
            values = {metric.key: _value(metric.get(row)) for metric in (*METRICS, WIN)}
            tax = None if row.deception is None else row.deception.tax
            verdict = None if row.deception is None else row.deception.verdict
            place = {"run": name, "arm": row.arm, "conflict": row.conflict}
            place |= {"supervision": row.supervision, "method": row.method}
            own = {name: _value(value) for name, value in row.metrics.items()}
            found.append({**place, **values, "tax": tax, "verdict": verdict, **({"metrics": own} if own else {})})
    return found


def labels(runs: Sequence[Results]) -> list[str]:
    """A letter for each run, in the order given: names can be equal, and long."""
    return [letter(place).upper() for place in range(len(runs))]


def _several(runs: Sequence[Results]) -> None:
    if len(runs) < 2:
        raise W2SError(f"compare needs at least two runs, but got {len(runs)}. Name two or more run folders.")


def _value(value: Estimate | None) -> dict[str, Any]:
    if value is None:
        return {"estimate": None, "interval": None, "note": "not measured"}
    return {"estimate": value.estimate, "interval": value.interval, "note": value.note}


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
        Column("Run", lambda run: run[0]),
        Column("Name", lambda run: run[1].name, words=True),
        Column("Seeds", lambda run: ", ".join(str(seed) for seed in run[1].seeds)),
        Column("Time", lambda run: duration(run[1].provenance.seconds)),
        Column("Created", lambda run: run[1].provenance.created, words=True),
    ]
    return Table("Runs", heads, [("", list(zip(names, runs, strict=True)))])


def _recipes(runs: Sequence[Results], names: Sequence[str]) -> Iterator[RenderableType]:
    differences = recipe_differences(runs, names)
    if not differences:
        yield text("The resolved recipes are equal.")
        yield Text("")
        return
    heads: list[Column[tuple[str, str]]] = [
        Column("Run", lambda pair: pair[0]),
        Column("Value", lambda pair: one_line(pair[1], 120), words=True),
    ]
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
    return [(_title(runs, place), [(name, own.get(name)) for name in names]) for place, own in found.items()]


def _title(runs: Sequence[Results], place: Place) -> str:
    """``direct, DPO, explicit``; without the method where all are reward models."""
    supervision, method, conflict = place
    return ", ".join([supervision, *([method_word(method)] if any(map(has_policies, runs)) else []), conflict])


def _numbers(runs: Sequence[Results], groups: Sequence[tuple[str, Sequence[OfRun]]]) -> Table[OfRun]:
    """The comparison table's own columns, grouped by supervision, method and conflict, one line a run."""
    titles = list(dict.fromkeys(tax_title(run) for run in runs))
    taxed = titles[0] if len(titles) == 1 else "Deception (definitions differ, see above)"
    general = "Accuracy, conflict accuracy, PGR"
    every = columns(general, taxed)
    starts = [next(column for column in every if column.part == part) for part in (general, taxed)]
    numbers = [column.within(_student, "not in this run" if column in starts else "") for column in every]
    return Table(f"{general}. {taxed}", [Column("Run", lambda row: row[0]), *numbers], groups)


def _student(row: OfRun) -> Student | None:
    return row[1]


def _own_metrics(runs: Sequence[Results], groups: Sequence[tuple[str, Sequence[OfRun]]]) -> Iterator[Table[OfRun]]:
    """The users' metrics, lined up the same way; runs whose recipe names none are left out."""
    names = list(dict.fromkeys(name for run in runs for name in own_metrics(run)))
    found = [(title, [row for row in own if row[1] is not None and row[1].metrics]) for title, own in groups]
    if names:
        numbers = [column.within(_student, "") for column in metrics.columns(names)]
        shown = [(title, own) for title, own in found if own]
        yield Table("Metrics of the recipes' own", [Column("Run", lambda row: row[0]), *numbers], shown)


def _speech(
    runs: Sequence[Results], groups: Sequence[tuple[str, Sequence[OfRun]]]
) -> Iterator[Table[tuple[str, Speech]]]:
    """What the policies of the runs say, lined up the same way."""
    said = [
        (title, [(name, row.speech) for name, row in own if row is not None and row.speech]) for title, own in groups
    ]
    spoken = [(title, own) for title, own in said if own]
    if spoken:
        brief = [column.within(_said, "") for column in speech.BRIEF]
        yield Table(speech.title(runs), [Column("Run", lambda row: row[0]), *brief], spoken)


def _said(row: tuple[str, Speech]) -> Speech | None:
    return row[1]
