"""What a run would do: stages, hits and misses, rows, memory. And what stands of it: status. No weights are loaded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from w2s_pref.engine.stage import Stage
from w2s_pref.planning.cost.memory import training_memory
from w2s_pref.planning.cost.table import scaled
from w2s_pref.results.read import list_runs
from w2s_pref.studies.folder import check_places, replaced
from w2s_pref.studies.kind import AnyOpened
from w2s_pref.studies.run import open_recipe


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


#: Stages from which on the plan is no table that fits itself to the terminal.
LONG = 200
COLOURS = {"hit": "green", "building": "magenta", "partial": "yellow", "miss": "cyan"}
Cells: TypeAlias = "tuple[str, str, str, str, str]"
HEAD: Cells = ("stage", "", "rows", "memory", "")


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


def _table(title: str, cells: list[Cells]) -> list[RenderableType]:
    table = Table(*HEAD, title=title, box=None)
    for row in cells:
        table.add_row(*(Text(cell, COLOURS.get(cell, "") if at == 1 else "") for at, cell in enumerate(row)))
    return [table]


def _lines(title: str, cells: list[Cells]) -> list[RenderableType]:
    """The same as one text: a table of three thousand rows takes Rich six seconds to measure and wrap."""
    widths = [max(cell_len(row[at]) for row in [HEAD, *cells]) for at in range(len(HEAD))]
    text = Text(f"{title}\n")
    for row in [HEAD, *cells]:
        first, state, *others = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        text.append(f"{first}  ").append(state, COLOURS.get(row[1], "")).append(f"  {'  '.join(others).rstrip()}\n")
    text.rstrip()
    return [text]


def show_plan(opened: AnyOpened, console: Console, only_missing: bool = False) -> None:
    """Print the stage table, the splits, and totals."""
    rows = rows_of(opened)
    cells = [
        (f"{row.kind}: {row.name}", row.state, f"{row.rows:,}", scaled(row.memory, "B"), row.note)
        for row in rows
        if not (only_missing and row.state == "hit")
    ]
    title = f"{opened.recipe.name}: {len(rows)} stages"
    console.print(*(_table(title, cells) if len(cells) <= LONG else _lines(title, cells)), soft_wrap=len(cells) > LONG)
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


def open_for_plan(path: Path, overrides: list[str]) -> AnyOpened:
    """Like ``open_recipe``, but data that cannot be reached from here may be stood in for."""
    opened = open_recipe(path, overrides, planning=True)
    check_places(opened)
    return opened


def show_runs(folder: Path, console: Console) -> None:
    """Print the finished runs under an output folder."""
    runs = list_runs(folder)
    if not runs:
        console.print(f"no finished run under {escape(str(folder))}; `w2s run RECIPE` makes one")
    for row in runs:
        console.print(f"{escape(row['name'])}  {row['created']}  {escape(row['headline'])}", highlight=False)
