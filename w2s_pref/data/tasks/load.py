"""From the name of a task, or its configuration, to its records, and their table."""

from __future__ import annotations

import glob
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import local_path
from w2s_pref.core.strict import sentences
from w2s_pref.core.tables import first_groups
from w2s_pref.core.user_code import guarded
from w2s_pref.data.problems import Problems, short
from w2s_pref.data.readers import Part, Request, from_hub, read
from w2s_pref.data.tasks.config import TaskConfig, own_recipe
from w2s_pref.data.tasks.table import TaskRow, balanced, rows_of, table
from w2s_pref.data.tasks.task import TASKS, BadRecord, Item, MissingColumn, Question, Recipe, Task, Unusable

log = logging.getLogger(__name__)

_SPLIT = re.compile(r"(?:^|[^a-z])(train|test|validation|valid|val|dev)(?:[^a-z]|$)")


@dataclass(frozen=True)
class LoadedTask:
    """The items of a task and what became of the records.

    Attributes:
        frame: one row an item: the columns of every pair table (``form`` item, ``truth`` 1 = positive), ``unit`` (what
            right and wrong are balanced within) and ``part`` (``train`` or ``test``; only ``train`` where no file is
            for testing).
        counts: ``records``, ``rows``, and where not zero what was left out, by reason.
    """

    frame: pd.DataFrame
    counts: dict[str, int]


def load_task(config: str | TaskConfig | Mapping[str, Any], base: Path = Path()) -> pd.DataFrame:
    """Balanced items of a task, columns ``tables.ITEM_COLUMNS``: ``load(config, base).frame``."""
    return load(config, base).frame


def load(config: str | TaskConfig | Mapping[str, Any], base: Path = Path()) -> LoadedTask:
    """Read, expand, clean and balance a task. Deterministic; relative paths start at ``base``.

    Args:
        config: a registered name (read from the hub), or a configuration, which may name files.
        base: where relative paths start.

    Raises:
        W2SError: an unknown task, a source that cannot be read, or every bad record found (ten are shown).
    """
    chosen = as_config(config)
    rows, counts, builtin = _rows(chosen, base)
    frame, dropped = table(rows, chosen.task)
    counts.update(dropped)
    _two_classes(frame, chosen.task)
    frame = _apart(frame, chosen.overlap or ("drop" if builtin else "error"), chosen.task, counts)
    even = _even(frame, chosen, counts).reset_index(drop=True)
    _two_classes(even, chosen.task)
    log.info("%s: %s", chosen.task, ", ".join(f"{key} {count:,}" for key, count in counts.items() if count))
    return LoadedTask(even, {key: count for key, count in counts.items() if count} | {"rows": len(even)})


def _even(frame: pd.DataFrame, config: TaskConfig, counts: Counter[str]) -> pd.DataFrame:
    """Balanced items, at most ``size`` of each part.

    Balanced before the cut, or an uneven source would keep far fewer; and after it, since groups are whole.
    """
    even = balanced(frame, config.seed)
    counts["balanced_away"] = len(frame) - len(even)
    if config.size is None or even.empty:
        return even
    cut = pd.concat([first_groups(part, config.size, config.seed) for _, part in even.groupby("part")]).sort_index()
    counts["over_size"] = len(even) - len(cut)
    even = balanced(cut, config.seed)
    counts["balanced_away"] += len(cut) - len(even)
    return even


def as_config(config: str | TaskConfig | Mapping[str, Any]) -> TaskConfig:
    """A name, a mapping or a configuration as a configuration. Raises W2SError with a sentence a problem."""
    if isinstance(config, TaskConfig):
        return config
    value = {"task": config} if isinstance(config, str) else dict(config)
    try:
        return TaskConfig.model_validate(value)
    except ValidationError as error:
        raise W2SError(sentences(error, f"task {value.get('task', '?')}")) from None


def _rows(config: TaskConfig, base: Path) -> tuple[list[TaskRow], Counter[str], bool]:
    """Rows of the task, what was counted on the way, and whether the task came with the package."""
    if config.kind is not None:
        return (*_expand(_local(config, {}, base), own_recipe(config), config.seed), False)
    found = TASKS.find(config.task, base)
    if not isinstance(found, Task):
        if config.path is not None:
            raise W2SError(f"task {config.task!r} is a function, which reads its own data; remove path")
        return (*_made(found, config), False)
    if config.arguments:
        raise W2SError(f"task {config.task!r}: arguments are for functions; remove them")
    parts = _hub(found) if config.path is None else _local(config, found.hub.splits, base)
    return (*_expand(parts, found, config.seed), True)


def _expand(parts: Sequence[tuple[str, Part]], recipe: Recipe, seed: int) -> tuple[list[TaskRow], Counter[str]]:
    """Every record through the recipe. ``parts``: (train or test, raw table)."""
    problems, counts, rows = Problems(), Counter[str](), []
    alone = len({part for part, _ in parts}) == 1
    for part, raw in parts:
        counts["records"] += len(raw.frame)
        for number, record in zip(raw.frame.index, raw.frame.to_dict("records"), strict=True):
            try:
                rows += rows_of(
                    recipe({str(key): value for key, value in record.items()}), "train" if alone else part, seed
                )
            except Unusable as reason:
                counts[f"dropped.{reason}"] += 1
            except MissingColumn as reason:
                problems.add(f"{raw.label}: {reason}")
                break
            except BadRecord as reason:
                problems.add(f"{raw.label}, row {number}: {reason}")
    problems.check()
    return rows, counts


def _made(function: Callable[..., Any], config: TaskConfig) -> tuple[list[TaskRow], Counter[str]]:
    """The rows of a user's function."""
    made = guarded(lambda: list(function(**config.arguments)), f"task {config.task!r}")()
    counts, rows = Counter[str](records=len(made)), []
    for number, one in enumerate(made, start=1):
        _check_made(config.task, number, one)
        try:
            rows += rows_of(one, "train", config.seed)
        except Unusable as reason:
            counts[f"dropped.{reason}"] += 1
    return rows, counts


def _check_made(name: str, number: int, one: object) -> None:
    where = f"task {name!r}, item {number}"
    if isinstance(one, Item):
        if not _is_text(one.prompt):
            raise W2SError(f"{where}: the prompt is {short(one.prompt)}, but it must be text")
        if one.label not in (0, 1):
            raise W2SError(f"{where}: the label is {short(one.label)}, but it must be 0 or 1 (1 = positive)")
        if not isinstance(one.unit, str | None):
            raise W2SError(f"{where}: the unit is {short(one.unit)}, but it must be text; write str(…)")
    elif isinstance(one, Question):
        _check_question(where, one)
    else:
        raise W2SError(f"{where} is of type {type(one).__name__}; a task's function returns Item and Question objects")
    keys = list(one.group) if isinstance(one.group, tuple | list) else [one.group]
    if odd := [key for key in keys if not isinstance(key, str)]:
        raise W2SError(f"{where}: the group is {short(odd[0])}, but it must be text, or several texts; write str(…)")
    if not keys or not all(keys):
        raise W2SError(f"{where}: the group is empty; give the key whose rows must stay in one split")


def _check_question(where: str, one: Question) -> None:
    options = one.options
    if not isinstance(one.stem, str):
        raise W2SError(f"{where}: the stem is {short(one.stem)}, but it must be text")
    if isinstance(options, str) or not all(map(_is_text, options)):
        raise W2SError(f"{where}: the options are {short(options, 120)}, but they must be a list of texts, none empty")
    if not isinstance(one.right, int | np.integer) or not 0 <= one.right < len(options):
        raise W2SError(f"{where}: right is {one.right}, but there are {len(options)} options, from 0")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _local(config: TaskConfig, splits: Mapping[str, str], base: Path) -> list[tuple[str, Part]]:
    """Raw tables of files, each with its part: as the configuration says, else by the file's name."""
    assert config.path is not None
    if isinstance(config.path, dict):
        return [(part, raw) for part, paths in config.path.items() for raw in _read(paths, base)]
    return [(_part(raw.label, splits), raw) for raw in _read(config.path, base)]


def _read(paths: str | list[str], base: Path) -> Iterator[Part]:
    for name in [paths] if isinstance(paths, str) else paths:
        pattern = str(base / local_path(name, "path"))
        matches = sorted(glob.glob(pattern)) if any(sign in name for sign in "*?[") else [name]
        if not matches:
            raise W2SError(f"no file matches {pattern}; check the path of the task")
        for match in matches:
            for raw in read(Request(match, base)):
                if not len(raw.frame):
                    raise W2SError(f"{raw.label}: no rows; write some, or remove it from the path of the task")
                for note in raw.notes:
                    log.warning(note)
                yield raw


def _part(label: str, splits: Mapping[str, str]) -> str:
    """train or test, by the split that a file's name gives: ``justice_test.parquet``, ``dev.csv``.

    What the task makes of a split of this name on the hub is made of it here; of others, test is for testing.
    """
    match = _SPLIT.search(Path(label).stem.lower())
    if match is None:
        return "train"
    split = "validation" if match[1] in ("valid", "val", "dev") else match[1]
    return splits.get(split, "test" if split == "test" else "train")


def _hub(task: Task) -> list[tuple[str, Part]]:
    """The labelled splits of a task on the hub."""
    hub, tables = task.hub, list[tuple[str, Part]]()
    instead = (
        f". Check the network, or give the same data as files: {{task: {task.name}, path: FILES}}, with the columns "
        f"{', '.join(task.columns)}"
    )
    for split, part in hub.splits.items():
        failed = f"task {task.name!r} cannot be read from the hub ({hub.name}, split {split}): "
        where = {"split": split, "revision": hub.revision, "data_dir": hub.folder}
        raw = from_hub(f"{hub.name} {split}", (failed, instead), hub.name, hub.config, **where)
        tables.append((part, raw))
    return tables


def _two_classes(frame: pd.DataFrame, name: str) -> None:
    for part, rows in frame.groupby("part"):
        if rows["truth"].nunique() < 2:
            value = rows["truth"].iloc[0]
            raise W2SError(
                f"task {name!r}: all {len(rows):,} items of its {part} part have the label {value}; a task needs both "
                "classes, 0 and 1"
            )
    if not len(frame):
        raise W2SError(f"task {name!r}: no item is left; bring rows of both classes")


def _apart(frame: pd.DataFrame, overlap: str, name: str, counts: Counter[str]) -> pd.DataFrame:
    """Train and test parts that share no group: an error, or the training rows go."""
    tests = set(frame.loc[frame["part"] == "test", "group"])
    shared = (frame["part"] == "train") & frame["group"].isin(tests)
    if shared.any() and overlap == "error":
        rows = frame[shared]
        raise W2SError(
            f"task {name!r}: its train and test files share {rows['group'].nunique():,} groups, for example that of "
            f"{short(rows.iloc[0]['prompt'], 60)}; remove them from one file, or write overlap: drop to leave "
            f"{len(rows):,} items out of train"
        )
    counts["overlap_dropped"] = int(shared.sum())
    return frame[~shared]
