"""What a run would do: stages, hits and misses, rows, memory. And what stands of it: status. No weights are loaded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from w2s_pref.core.errors import W2SError
from w2s_pref.data.config import DataConfig, Prepared
from w2s_pref.engine.stage import Stage
from w2s_pref.planning.cost.memory import training_memory
from w2s_pref.results.results import SCHEMA_VERSION, Results
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.studies.preferences.graph import all_stages
from w2s_pref.studies.run import Opened


@dataclass(frozen=True)
class Row:
    """One stage of the plan. ``state``: hit, building (``note``: by whom), partial (its newest checkpoint) or miss."""

    kind: str
    name: str
    state: str
    rows: int
    memory: int | None
    note: str


def rows_of(opened: Opened) -> list[Row]:
    """The plan, one row a stage, in building order."""
    return [_row(opened, stage) for stage in all_stages(opened.study)]


def _row(opened: Opened, stage: Stage) -> Row:
    store = opened.store
    state, note = ("hit", "") if store.has(stage.kind, stage.key) else ("miss", "")
    if state == "miss":
        steps = [int(path.name.rsplit("-", 1)[1]) for path in store.partial(stage.kind, stage.key).glob("checkpoint-*")]
        if steps:
            state, note = "partial", f"continues after step {max(steps)}"
        holder = store.holder(stage.kind, stage.key)
        if holder is not None:
            state, note = "building", f"{holder.holder}{'; ' * bool(note)}{note}"
    trained = isinstance(stage, PolicyStage) or (isinstance(stage, TrainStage) and bool(stage.parts))
    memory = training_memory(stage) if trained and isinstance(stage, TrainStage | PolicyStage) else None
    return Row(stage.kind, stage.name, state, stage.rows, memory, note)


def warnings_of(opened: Opened) -> list[str]:
    """What the plan could not check: hub models that are not here."""
    from w2s_pref.models.spec import how_to_get

    models = [f"not checked: {how_to_get(f.spec.path)}" for f in opened.study.models.values() if f.folder is None]
    return opened.notes + models


def as_json(opened: Opened) -> dict[str, Any]:
    """The plan for programs."""
    rows = rows_of(opened)
    return {
        "stages": [row.__dict__ for row in rows],
        "counts": dict(Counter(row.state for row in rows)),
        "splits": {name: len(split) for name, split in opened.study.rows.items()},
        "warnings": warnings_of(opened),
    }


def show_plan(opened: Opened, console: Console, only_missing: bool = False) -> None:
    """Print the stage table, the splits, and totals."""
    rows = rows_of(opened)
    table = Table("stage", "", "rows", "memory", "", title=f"{opened.recipe.name}: {len(rows)} stages", box=None)
    colours = {"hit": "green", "building": "magenta", "partial": "yellow", "miss": "cyan"}
    for row in rows:
        if only_missing and row.state == "hit":
            continue
        state = f"[{colours[row.state]}]{row.state}[/]"
        table.add_row(f"{row.kind}: {escape(row.name)}", state, f"{row.rows:,}", _size(row.memory), escape(row.note))
    console.print(table)
    splits = ", ".join(f"{name} {len(split):,}" for name, split in opened.study.rows.items())
    console.print(f"splits (rows): {escape(splits)}")
    said = ", ".join(f"{what} {number:,}" for what, number in opened.prepared.counts.items() if number)
    console.print(f"data: {escape(said)}" if said else "data: stands in, could not be read")
    states = Counter(row.state for row in rows)
    peak = max((row.memory or 0 for row in rows if row.state != "hit"), default=0)
    shown = ("hit", "building", "partial", "miss") if states["building"] else ("hit", "partial", "miss")
    line = ", ".join(f"{states[name]} {name}" for name in shown)
    console.print(f"{line}; peak training memory about {_size(peak)} (estimate)" if peak else line)
    for warning in warnings_of(opened):
        console.print(f"[yellow]{escape(warning)}[/]")


def _size(value: int | None) -> str:
    if not value:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value = round(value / 1000)
    return f"{value} TB"


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """Finished runs under an output folder: name, when, headline."""
    found = []
    for path in sorted(folder.glob("*/results.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            headline = value["verdict"]["headline"] if "verdict" in value else f"{len(value['cells'])} chains of chess"
            created = value.get("provenance", {}).get("created", "")
            found.append({"name": value["name"], "created": created, "headline": headline})
        except (OSError, ValueError, KeyError, TypeError):
            found.append({"name": path.parent.name, "created": "", "headline": "unreadable results.json"})
    return found


def open_for_plan(path: Path, overrides: list[str]) -> Opened:
    """Like ``open_recipe``, but data that cannot be reached from here is stood in for by rows of the asked number."""
    from w2s_pref.core.errors import Unreachable
    from w2s_pref.studies import run
    from w2s_pref.studies.preferences.outputs import check_places

    try:
        opened = run.open_recipe(path, overrides)
    except Unreachable as error:
        opened = run.open_recipe(path, overrides, prepare_data=stand_in)
        opened = replace(opened, notes=[f"not checked: {problem}" for problem in error.problems])
    check_places(opened)
    return opened


def stand_in(config: DataConfig, base: Path) -> Prepared:
    """Rows without content, as many as the splits ask for: enough to plan, never to run."""
    splits = {}
    for name, size in config.splits.given().items():
        objective = config.conflict_objective if name.startswith("conflict") else config.target_objective
        ids = [f"{name}-{number}" for number in range(size)]
        columns = {"id": ids, "group": ids, "form": "text", "prompt": "", "a": ids, "b": "", "truth": 1}
        splits[name] = pd.DataFrame({**columns, "objective": objective})
    return Prepared(splits=splits, counts={}, hashes=dict.fromkeys(splits, "unreachable"))


def show_runs(folder: Path, console: Console) -> None:
    """Print the finished runs under an output folder."""
    runs = list_runs(folder)
    if not runs:
        console.print(f"no finished run under {escape(str(folder))}; `w2s run RECIPE` makes one")
    for row in runs:
        console.print(f"{escape(row['name'])}  {row['created']}  {escape(row['headline'])}", highlight=False)


def load_results(path: Path) -> Results:
    """Read a run's results.json (the file or its folder).

    Raises:
        W2SError: not there, or written by another version of the schema.
    """
    from pydantic import ValidationError

    file = path / "results.json" if path.is_dir() else path
    try:
        return Results.model_validate_json(file.read_bytes())
    except OSError as error:
        message = f"run {path}: has no readable results.json ({error.strerror}); `w2s status` lists runs"
        raise W2SError(message) from error
    except ValidationError as error:
        if kind_of(file) != "preferences":
            message = (
                f"run {path}: a study of the laboratory, which is read on its own pages; `w2s show {path}` prints it"
            )
            raise W2SError(message) from None
        message = f"run {path}: its results.json does not follow schema {SCHEMA_VERSION}; run the recipe again"
        raise W2SError(message) from error


def kind_of(file: Path) -> str:
    """What kind of study wrote a results.json: ``preferences``, ``generalization`` or ``chess``."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("kind", "preferences"))
    except (OSError, ValueError, AttributeError):
        return "preferences"


def load_any(path: Path) -> tuple[Any, Path]:
    """Results of whatever kind of study, and their folder.

    Raises:
        W2SError: as ``load_results``.
    """
    file = path / "results.json" if path.is_dir() else path
    kind = kind_of(file)
    if kind == "generalization":
        from w2s_pref.results.generalization import LabResults

        return LabResults.model_validate_json(file.read_bytes()), file.parent
    if kind == "chess":
        from w2s_pref.results.chess import ChessResults

        return ChessResults.model_validate_json(file.read_bytes()), file.parent
    return load_results(path), file.parent
