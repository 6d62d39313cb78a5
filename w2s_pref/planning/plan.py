"""What a run would do: stages, hits and misses, rows, memory. And what stands of it: status. No weights are loaded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from w2s_pref.engine.stage import Stage
from w2s_pref.planning.cost.memory import training_memory
from w2s_pref.planning.cost.table import scaled
from w2s_pref.results.read import list_runs
from w2s_pref.studies.folder import check_places, replaced
from w2s_pref.studies.kind import AnyOpened
from w2s_pref.studies.run import Given, open_recipe


@dataclass(frozen=True)
class Row:
    """One stage of the plan. ``state``: hit, building (``note``: by whom), partial (its newest checkpoint) or miss."""

    key: str
    kind: str
    name: str
    state: str
    rows: int
    memory: int | None
    note: str


def rows_of(opened: AnyOpened) -> list[Row]:
    """The plan, one row a stage, in building order."""
    return [_row(opened, stage) for stage in opened.stages]


def _row(opened: AnyOpened, stage: Stage) -> Row:
    store = opened.store
    state, note = ("hit", "") if store.has(stage.kind, stage.key) else ("miss", "")
    if state == "miss":
        named = [
            path.name.removeprefix("checkpoint-") for path in store.partial(stage.kind, stage.key).glob("checkpoint-*")
        ]
        steps = [int(step) for step in named if step.isdecimal()]
        if steps:
            state, note = "partial", f"continues after step {max(steps)}"
        holder = store.holder(stage.kind, stage.key)
        if holder is not None:
            state, note = "building", f"{holder.holder}{'; ' * bool(note)}{note}"
    return Row(stage.key, stage.kind, stage.name, state, stage.rows, training_memory(stage), note)


def warnings_of(opened: AnyOpened) -> list[str]:
    """What should be known before a run: of the data, of models that are not here, of a run that would be replaced."""
    from w2s_pref.models.spec import how_to_get

    models = [f"not checked: {how_to_get(f.spec.path)}" for f in opened.study.models.values() if f.folder is None]
    old = replaced(opened)
    return opened.prepared.notes + models + ([old] if old is not None else [])


def as_json(opened: AnyOpened) -> dict[str, Any]:
    """The plan for programs."""
    rows = rows_of(opened)
    return {
        "stages": [row.__dict__ for row in rows],
        "counts": dict(Counter(row.state for row in rows)),
        "splits": {name: len(split) for name, split in opened.study.rows.items()},
        "warnings": warnings_of(opened),
    }


def show_plan(opened: AnyOpened, console: Console, only_missing: bool = False) -> None:
    """Print the stage table, the splits, and totals."""
    rows = rows_of(opened)
    table = Table("stage", "", "rows", "memory", "", title=f"{opened.recipe.name}: {len(rows)} stages", box=None)
    colours = {"hit": "green", "building": "magenta", "partial": "yellow", "miss": "cyan"}
    for row in rows:
        if only_missing and row.state == "hit":
            continue
        state = f"[{colours[row.state]}]{row.state}[/]"
        memory = scaled(row.memory, "B")
        table.add_row(f"{row.kind}: {escape(row.name)}", state, f"{row.rows:,}", memory, escape(row.note))
    console.print(table)
    splits = ", ".join(f"{name} {len(split):,}" for name, split in opened.study.rows.items())
    console.print(f"splits (rows): {escape(splits)}")
    said = ", ".join(f"{what} {number:,}" for what, number in opened.prepared.counts.items() if number)
    console.print(f"data: {escape(said)}" if said else "data: stands in, could not be read")
    states = Counter(row.state for row in rows)
    peak = max((row.memory or 0 for row in rows if row.state != "hit"), default=0)
    shown = ("hit", "building", "partial", "miss") if states["building"] else ("hit", "partial", "miss")
    line = ", ".join(f"{states[name]} {name}" for name in shown)
    console.print(f"{line}; peak training memory about {scaled(peak, 'B')} (estimate)" if peak else line)
    for warning in warnings_of(opened):
        console.print(f"[yellow]{escape(warning)}[/]")


def open_for_plan(given: Given, overrides: list[str]) -> AnyOpened:
    """Like ``open_recipe``, but data that cannot be reached from here may be stood in for."""
    opened = open_recipe(given, overrides, planning=True)
    check_places(opened)
    return opened


def show_runs(folder: Path, console: Console) -> None:
    """Print the finished runs under an output folder."""
    runs = list_runs(folder)
    if not runs:
        console.print(f"no finished run under {escape(str(folder))}; `w2s run RECIPE` makes one")
    for row in runs:
        console.print(f"{escape(row['name'])}  {row['created']}  {escape(row['headline'])}", highlight=False)
