"""Several runs side by side: first whether they may be compared at all, then settings, differences, the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from w2s_pref.core.errors import W2SError
from w2s_pref.report.draw.format import duration, one_line, plain
from w2s_pref.report.grid import Grid, letter, text
from w2s_pref.report.methods import grids
from w2s_pref.report.mismatch import incomparable, notices, recipe_differences
from w2s_pref.report.policies import SPEECH_HEADS, speech_cells, speech_title
from w2s_pref.report.rows import METRICS, WIN, Row, has_policies, method_word, own_metrics, rows
from w2s_pref.report.terminal import GENERAL_HEADS, METHOD_ROOM, TAX_HEADS, general_cells, tax_cells, tax_title
from w2s_pref.results.results import Estimate, Results

#: What makes two students of different runs the same line: supervision, method, conflict.
Place = tuple[str, str, str]
#: Recipe differences shown in the terminal; the JSON form has all.
SHOWN: Final = 30


def compare(runs: Sequence[Results]) -> list[RenderableType]:
    """Everything ``w2s compare`` prints, part by part. Numbers are always shown, but never subtracted.

    Raises:
        W2SError: fewer than two runs.
    """
    _several(runs)
    names = labels(runs)
    tables = [
        *_tables(runs, names),
        *_own_metrics(runs, names),
        *_speech(runs, names),
        *grids(list(zip(names, runs, strict=True)), METHOD_ROOM[1]),
    ]
    return [*_status(runs, names), settings(runs, names), *_recipes(runs, names), *tables]


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
        for row in rows(run):
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


def settings(runs: Sequence[Results], names: Sequence[str]) -> Grid:
    """What the letters mean: name, seeds, time, date."""
    grid = Grid("Runs", ("Run", "Name", "Seeds", "Time", "Created"), words=("Name", "Created"))
    for run, name in zip(runs, names, strict=True):
        seeds = ", ".join(str(seed) for seed in run.seeds)
        cells = (run.name, seeds, duration(run.provenance.seconds), run.provenance.created)
        grid.add(name, [text(cell) for cell in cells])
    return grid


def _recipes(runs: Sequence[Results], names: Sequence[str]) -> Iterator[RenderableType]:
    differences = recipe_differences(runs, names)
    if not differences:
        yield text("The resolved recipes are equal.")
        yield Text("")
        return
    grid = Grid(f"Recipe keys that differ ({len(differences)})", ("Run", "Value"), words=("Value",))
    for key, values in list(differences.items())[:SHOWN]:
        grid.group(plain(key))
        for name, value in values.items():
            grid.add(name, [text(one_line(value, 120))])
    yield grid
    if len(differences) > SHOWN:
        yield text(f"… and {len(differences) - SHOWN} further keys; the JSON form has all of them.")


def _places(runs: Sequence[Results], names: Sequence[str]) -> dict[str, dict[Place, Row]]:
    """Students of every run by what they share with those of another."""
    return {
        name: {(row.supervision, row.method, row.conflict): row for row in rows(run)}
        for run, name in zip(runs, names, strict=True)
    }


def _title(runs: Sequence[Results], place: Place) -> str:
    """``direct, DPO, explicit``; without the method where all are reward models."""
    supervision, method, conflict = place
    return ", ".join([supervision, *([method_word(method)] if any(map(has_policies, runs)) else []), conflict])


def _tables(runs: Sequence[Results], names: Sequence[str]) -> Iterator[RenderableType]:
    """The comparison tables, grouped by supervision, method and conflict, one line a run."""
    general = Grid("Accuracy, conflict accuracy, PGR", ("Run", *GENERAL_HEADS))
    titles = list(dict.fromkeys(tax_title(run) for run in runs))
    taxed = Grid(titles[0] if len(titles) == 1 else "Deception (definitions differ, see above)", ("Run", *TAX_HEADS))
    found = _places(runs, names)
    for place in dict.fromkeys(place for students in found.values() for place in students):
        general.group(_title(runs, place))
        taxed.group(_title(runs, place))
        for name, students in found.items():
            _line(general, taxed, name, students, place)
    yield general
    yield taxed


def _speech(runs: Sequence[Results], names: Sequence[str]) -> Iterator[RenderableType]:
    """What the policies of the runs say, lined up the same way."""
    titles = list(dict.fromkeys(speech_title(run) for run in runs if run.speech))
    if not titles:
        return
    grid = Grid(titles[0] if len(titles) == 1 else "What policies say (judges differ)", ("Run", *SPEECH_HEADS))
    found = _places(runs, names)
    for place in dict.fromkeys(place for students in found.values() for place in students):
        said = {name: row.speech for name, students in found.items() if (row := students.get(place)) and row.speech}
        if said:
            grid.group(_title(runs, place))
        for name, one in said.items():
            grid.add(name, speech_cells(grid, one))
    yield grid


def _own_metrics(runs: Sequence[Results], names: Sequence[str]) -> Iterator[RenderableType]:
    """The users' metrics, lined up the same way; runs whose recipe names none are left out."""
    metrics = list(dict.fromkeys(name for run in runs for name in own_metrics(run)))
    if not metrics:
        return
    grid = Grid("Metrics of the recipes' own", ("Run", *metrics))
    found = _places(runs, names)
    for place in dict.fromkeys(place for students in found.values() for place in students):
        grid.group(_title(runs, place))
        for name, students in found.items():
            if (row := students.get(place)) and row.metrics:
                grid.add(name, [grid.notes.estimate(row.metrics.get(metric), 3) for metric in metrics])
    yield grid


def _line(general: Grid, taxed: Grid, name: str, students: Mapping[Place, Row], place: Place) -> None:
    row = students.get(place)
    if row is None:
        general.add(name, [text("not in this run", "dim")])
        taxed.add(name, [text("none", "dim")])
        return
    general.add(name, general_cells(general, row))
    taxed.add(name, tax_cells(taxed, row))
