"""What a run would do: stages, hits and misses, rows, memory. And what stands of it: status. No weights are loaded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from w2s_pref.core.text_table import TextTable
from w2s_pref.engine.missing import missing
from w2s_pref.engine.stage import Stage
from w2s_pref.planning.cost.memory import training_memory
from w2s_pref.planning.cost.table import scaled
from w2s_pref.report.draw.format import one_line
from w2s_pref.results.read import list_runs
from w2s_pref.studies.folder import check_places, replaced
from w2s_pref.studies.kind import AnyOpened
from w2s_pref.studies.notices import warnings_of
from w2s_pref.studies.run import Given, open_recipe
from w2s_pref.training.sharding import reached

#: Most lines of the summary, on a terminal of 80 columns.
LINES: Final = 20
HINT: Final = "every stage: --all; tokens, FLOPs, time: --cost"
#: Stages from which on the list is no table that fits itself to the terminal.
LONG: Final = 200
COLOURS: Final = {"hit": "green", "building": "magenta", "partial": "yellow", "miss": "cyan"}


@dataclass(frozen=True)
class PlannedStage:
    """One stage of the plan. ``state``: hit, building (``note``: by whom), partial (its newest checkpoint) or miss."""

    key: str
    kind: str
    name: str
    state: str
    rows: int
    memory: int | None
    note: str


def rows_of(opened: AnyOpened) -> list[PlannedStage]:
    """The plan, one row a stage, in building order."""
    todo = {stage.key for stage in missing(opened.stages, opened.store)}
    return [_row(opened, stage, stage.key in todo) for stage in opened.stages]


def _row(opened: AnyOpened, stage: Stage, todo: bool) -> PlannedStage:
    store = opened.store
    state, note = ("miss", "") if todo else ("hit", "")
    if state == "hit" and stage.weights and store.freed(stage.kind, stage.key):
        note = "weights freed"
    if state == "miss":
        steps = reached(store.partial(stage.kind, stage.key))
        if steps:
            each = [f"after step {step}" + (f" ({how})" if how else "") for how, step in sorted(steps.items())]
            state, note = "partial", f"continues {' or '.join(each)}"
        holder = store.holder(stage.kind, stage.key)
        if holder is not None:
            state, note = "building", f"{holder.holder}{'; ' * bool(note)}{note}"
    return PlannedStage(stage.key, stage.kind, stage.name, state, stage.rows, training_memory(stage), note)


def as_json(opened: AnyOpened) -> dict[str, Any]:
    """The plan for programs."""
    rows = rows_of(opened)
    return {
        "stages": [row.__dict__ for row in rows],
        "counts": dict(Counter(row.state for row in rows)),
        "splits": {name: len(split) for name, split in opened.study.rows.items()},
        "warnings": warnings_of(opened),
    }


def show_plan(opened: AnyOpened, console: Console, every: bool = False, only_missing: bool = False) -> None:
    """Print the plan: a summary of at most ``LINES`` lines, or the table of every stage, or of the missing ones."""
    rows = rows_of(opened)
    if every or only_missing:
        console.print(_stage_table(opened, [row for row in rows if every or row.state != "hit"], len(rows)))
        _print(console, [*_facts(opened, short=False), _totals(rows)], warnings_of(opened))
        return
    console.print(_kind_table(opened, rows))
    lines = [*_facts(opened, short=True), _totals(rows)]
    used = len(_kinds(rows)) + 2 + sum(_height(line, console) for line in (*lines, HINT))
    _print(console, lines, _shortened(warnings_of(opened), console, LINES - used))
    console.print(HINT, style="dim", highlight=False)


def _print(console: Console, lines: list[str], warnings: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False)
    for warning in warnings:
        console.print(warning, style="yellow", markup=False)


def show_status(opened: AnyOpened, console: Console) -> None:
    """Say how far a recipe is: finished, and where its report is; or what is being built, half done, missing."""
    rows = rows_of(opened)
    report = opened.folder / "report.html"
    if all(row.state == "hit" for row in rows):
        written = replaced(opened) is None and (opened.folder / "results.json").is_file()
        said = f"{opened.recipe.name} is finished. Report: {report}; its tables here: w2s show {opened.folder}"
        if not written:
            said = f"Every stage of {opened.recipe.name} stands in the store; w2s run writes {report} without training."
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    else:
        begun = [row for row in rows if row.state in {"building", "partial"}]
        if begun:
            console.print(_stage_table(opened, begun, len(rows)))
        console.print(_kind_table(opened, rows))
    console.print(_totals(rows), markup=False)


def _stage_table(opened: AnyOpened, rows: list[PlannedStage], of: int) -> TextTable | Text:
    title = f"{opened.recipe.name}: {of} stages"
    cells = [(f"{row.kind}: {row.name}", row.state, f"{row.rows:,}", scaled(row.memory, "B"), row.note) for row in rows]
    if len(cells) > LONG:
        return _aligned(title, cells)
    table = TextTable("stage", "", "rows", "memory", "", title=title, box=None)
    for stage, state, *others in cells:
        table.add_row(escape(stage), f"[{COLOURS[state]}]{state}[/]", *map(escape, others))
    return table


def _aligned(title: str, cells: list[tuple[str, str, str, str, str]]) -> Text:
    """The same as one text: a table of three thousand rows takes Rich six seconds to measure and wrap."""
    rows = [("stage", "", "rows", "memory", ""), *cells]
    widths = [max(cell_len(row[at]) for row in rows) for at in range(5)]
    text = Text(f"{title}\n", no_wrap=True, overflow="ignore")
    for row in rows:
        first, state, *others = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        text.append(f"{first}  ").append(state, COLOURS.get(row[1], "")).append(f"  {'  '.join(others).rstrip()}\n")
    text.rstrip()
    return text


def _kinds(rows: list[PlannedStage]) -> dict[str, list[PlannedStage]]:
    """Stages by kind, in the order of the plan."""
    found: dict[str, list[PlannedStage]] = {}
    for row in rows:
        found.setdefault(row.kind, []).append(row)
    return found


def _kind_table(opened: AnyOpened, rows: list[PlannedStage]) -> TextTable:
    states = _states(rows)
    table = TextTable("stages", *states, "rows to do", title=f"{opened.recipe.name}: {len(rows)} stages", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, own in _kinds(rows).items():
        counts = Counter(row.state for row in own)
        cells = [f"[{COLOURS[state]}]{counts[state]:,}[/]" if counts[state] else "" for state in states]
        todo = sum(row.rows for row in own if row.state != "hit")
        table.add_row(kind, *cells, f"{todo:,}" if todo else "")
    return table


def _states(rows: list[PlannedStage]) -> list[str]:
    """The states that are shown: building where a stage is."""
    return [state for state in COLOURS if state != "building" or any(row.state == state for row in rows)]


def _facts(opened: AnyOpened, short: bool) -> list[str]:
    """Sizes of the splits, and what was read."""
    splits = ", ".join(f"{name} {len(split):,}" for name, split in opened.study.rows.items())
    counts = {what: number for what, number in opened.prepared.counts.items() if number}
    said = ", ".join(
        f"{what} {number:,}" for what, number in counts.items() if not (short and what.startswith("split."))
    )
    return [f"splits (rows): {splits}", f"data: {said}" if counts else "data: stands in, could not be read"]


def _totals(rows: list[PlannedStage]) -> str:
    counts = Counter(row.state for row in rows)
    line = ", ".join(f"{counts[state]} {state}" for state in _states(rows))
    peak = max((row.memory or 0 for row in rows if row.state != "hit"), default=0)
    return f"{line}; peak training memory about {scaled(peak, 'B')} (estimate)" if peak else line


def _height(line: str, console: Console) -> int:
    """Lines of the terminal that a sentence takes."""
    return len(Text(line).wrap(console, console.width))


def _shortened(sentences: list[str], console: Console, room: int) -> list[str]:
    """Sentences on at most ``room`` lines: whole where they fit, else cut to two lines, the last ones counted."""
    shown: list[str] = []
    for number, sentence in enumerate(sentences):
        after = len(sentences) - number - 1
        whole = one_line(sentence, 2000)
        said = whole if _height(whole, console) + 2 * after <= room else one_line(sentence, 2 * console.width - 16)
        room -= _height(said, console)
        if room < min(after, 1):
            return [*shown, f"… and {after + 1} more to attend to: --all"]
        shown.append(said)
    return shown


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
