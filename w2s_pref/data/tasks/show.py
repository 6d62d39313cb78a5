"""Tasks for the terminal, and those that a command names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_io import load_yaml
from w2s_pref.data.inspect import safe
from w2s_pref.data.tasks.config import TaskConfig
from w2s_pref.data.tasks.load import as_config
from w2s_pref.data.tasks.task import PARQUET, TASKS, Task


def task_lines(names: Sequence[str]) -> list[str]:
    """Two lines a task: kind, where training and test rows come from, what keeps rows together; its place on the hub.

    Nothing is cut at 80 columns.
    """
    lines = [f"{len(names)} tasks: kind, train / test, group; below: hub id, configuration, revision"]
    for name in names:
        found = TASKS.find(name, Path())
        if not isinstance(found, Task):
            lines.append(safe(f"{name:22} function"))
            continue
        parts = [" + ".join(key for key, part in found.hub.splits.items() if part == of) for of in ("train", "test")]
        lines.append(safe(f"{name:22} {found.kind:7} {' / '.join(parts):27} {found.group}"))
        lines.append(safe("  " + ", ".join(filter(None, _place(found)))))
    return lines


def _place(task: Task) -> tuple[str, str, str]:
    hub = task.hub
    revision = "parquet" if hub.revision == PARQUET else (hub.revision or "newest")[:7]
    return hub.name, hub.config or hub.folder or "", revision


def configs(what: str, path: Sequence[str]) -> tuple[list[TaskConfig], Path]:
    """The tasks that a command names (a name, a function, or a YAML file with one task or ``tasks:``) and their folder.

    Raises:
        W2SError: a file that holds no task, or a path beside a file, which has its own.
    """
    if not what.endswith((".yaml", ".yml")):
        return [as_config({"task": what} | ({"path": list(path)} if path else {}))], Path()
    if path:
        raise W2SError(f"{what} says where its tasks are; leave --path out")
    file = Path(what)
    value = load_yaml(file)
    if "tasks" not in value:
        return [as_config(value)], file.parent
    listed = value["tasks"]
    entries = dict.fromkeys(listed) if isinstance(listed, list) else listed
    if not isinstance(entries, dict) or not all(isinstance(name, str) for name in entries):
        raise W2SError(f"{what}: tasks is a list of names, or name: {{task: …, path: …}}")
    own = TaskConfig.model_fields  # the other keys, such as sizes, are the recipe's
    tasks = [
        {"task": name} | {key: each for key, each in (given or {}).items() if key in own}
        for name, given in entries.items()
    ]
    return [as_config(task) for task in tasks], file.parent
