"""From what a recipe names (files, folders, hub ids, functions) to raw tables. Nothing is interpreted here."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_pref.core.errors import Unreachable, W2SError
from w2s_pref.core.hub import go_offline_if_unreachable
from w2s_pref.core.registry import Registry, did_you_mean, is_reference, locate
from w2s_pref.core.user_code import guarded

#: The data sets by name: those that come with the package, and the user's (see ``dataset``).
DATASETS = Registry(
    "data set",
    {
        "testbed": "w2s_pref.data.readers:preference_world",
        "hh-rlhf": "w2s_pref.data.hub_sets:hh_rlhf",
        "pku-saferlhf": "w2s_pref.data.hub_sets:pku_saferlhf",
    },
)

#: Register a function as a data set: ``source: NAME`` in a recipe then calls it.
#:
#: The function gets the recipe's ``options`` as keyword arguments and, if it has parameters of these names,
#: ``objective``, ``rows``, ``seed`` and ``recipe_folder`` (a Path). It returns preference pairs in any form that a file
#: may hold: a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset.
dataset = DATASETS.register

#: File endings that are read as data.
SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Part:
    """One raw table. The index of ``frame`` is the row number a person would count: from 1, a header not counted."""

    label: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class Request:
    """What to read: one name, where relative paths start, and what goes with hub ids and functions."""

    name: str
    base: Path
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    options: Mapping[str, Any] | None = None
    objective: str = ""


def read(request: Request) -> list[Part]:
    """The raw tables behind one name of a recipe's ``source``: several where the name is a folder of files.

    Raises:
        W2SError: the name leads nowhere, or what it leads to cannot be read.
    """
    name = request.name
    if is_function(name, request.base):
        return [_call(request)]
    _only_for("options", "functions and registered data sets", request, request.options)
    path = locate(name, request.base)
    if path is None and not _looks_like_path(name) and _HUB_ID.fullmatch(name):
        return [_hub(request)]
    _only_for("config", "hub data sets", request, request.config)
    _only_for("revision", "hub data sets", request, request.revision)
    if path is None:
        raise W2SError(_nowhere(name, request.base))
    if path.is_dir() and any((path / mark).exists() for mark in ("state.json", "dataset_dict.json")):
        return [_saved(path, request)]
    _only_for("split", "hub data sets and saved dataset dictionaries", request, request.split)
    return _folder(path) if path.is_dir() else [_file(path)]


def is_function(name: str, base: Path) -> bool:
    """Whether a function makes the data: installed packages are asked only where nothing else has that name."""
    if name in DATASETS or is_reference(name):
        return True
    elsewhere = _looks_like_path(name) or _HUB_ID.fullmatch(name) or locate(name, base) is not None
    return not elsewhere and DATASETS.knows(name)


def _only_for(key: str, what: str, request: Request, value: object) -> None:
    if value:
        raise W2SError(f"source {request.name!r}: {key} is for {what} only; remove {key}: {value!r}")


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or name.lower().endswith(SUFFIXES)


def _nowhere(name: str, base: Path) -> str:
    if not _looks_like_path(name):
        near = did_you_mean(name, DATASETS.names())
        return (
            f"unknown data set {name!r}{near} (registered: {', '.join(DATASETS.names())}; a hub data set is written "
            "owner/name; a function module:attr or path/to/file.py:attr)"
        )
    folder = (base / Path(name).expanduser()).parent
    near = did_you_mean(Path(name).name, [item.name for item in folder.iterdir()] if folder.is_dir() else [])
    return (
        f"there is no file or folder {name} in {base.resolve()} or {Path.cwd()}{near or '; check the path in source'}"
    )


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1), axis=0)


def _folder(path: Path) -> list[Part]:
    files = sorted(item for item in path.iterdir() if item.is_file() and item.suffix.lower() in SUFFIXES)
    if not files:
        raise W2SError(f"folder {path} holds no data file; expected one of {', '.join(SUFFIXES)}")
    return [_file(file) for file in files]


def _file(path: Path) -> Part:
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": _csv,
        ".json": lambda file: _table(json.loads(file.read_text(encoding="utf-8-sig")), str(file)),
        ".jsonl": _jsonl,
        ".parquet": lambda file: _numbered(pd.read_parquet(file)),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise W2SError(f"{path} has the ending {path.suffix!r}; expected one of {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise W2SError(f"{path} is empty (0 bytes); write it again, or remove it from source")
    try:
        return Part(path.name, reader(path))
    except UnicodeDecodeError as error:
        raise W2SError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (ValueError, OSError) as error:  # pandas, pyarrow and json raise kinds of these for damaged files
        raise W2SError(f"{path} cannot be read as {path.suffix[1:]}: {str(error).splitlines()[0]}") from error


def _csv(path: Path) -> pd.DataFrame:
    """Every cell as text (``NA`` and ``007`` stay as they are); a cell that is a JSON list of messages is parsed."""
    frame = _numbered(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig").astype(object))
    for column in frame.columns:
        if frame[column].str.startswith("[{").any():
            frame[column] = [_messages_or_text(cell) for cell in frame[column]]
    return frame


def _messages_or_text(cell: str) -> Any:
    try:
        return json.loads(cell) if cell.startswith("[{") else cell
    except ValueError:
        return cell


def _jsonl(path: Path) -> pd.DataFrame:
    rows: dict[int, dict[str, Any]] = {}
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise W2SError(f"{path}, line {number}: not JSON ({error}); every line is one JSON object") from error
            if not isinstance(row, dict):
                raise W2SError(f"{path}, line {number}: a {type(row).__name__}, but every line is one JSON object")
            rows[number] = row
    return _records(list(rows.values())).set_axis(list(rows), axis=0)


def _records(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Values stay the Python objects they are: pandas would turn ids into numbers and refuse broken characters."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = {column: pd.Series([row.get(column) for row in rows], dtype=object) for column in columns}
    return pd.DataFrame(table, index=pd.RangeIndex(len(rows)))


def _table(value: Any, label: str) -> pd.DataFrame:
    """Rows as a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset -> a numbered table."""
    if isinstance(value, pd.DataFrame):
        return _numbered(value)
    if hasattr(value, "to_pandas") and hasattr(value, "features"):
        return _numbered(value.to_pandas())
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return _numbered(_records(value))
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        lengths = {key: len(column) for key, column in value.items()}
        if len(set(lengths.values())) > 1:
            raise W2SError(f"{label}: the columns differ in length: {lengths}")
        return _numbered(pd.DataFrame({key: pd.Series(column, dtype=object) for key, column in value.items()}))
    raise W2SError(
        f"{label}: expected a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset, "
        f"but this is of type {type(value).__name__}"
    )


def preference_world(objective: str, rows: int = 2000, seed: int = 0, **options: Any) -> pd.DataFrame:
    """The built-in preference world: the same ``rows`` and ``seed`` give the same prompts for every objective."""
    from w2s_pref.testbed.world import generate

    return generate(rows=rows, seed=seed, objective=objective, **options)


def accepts(function: Callable[..., Any], name: str) -> bool:
    """True where the function has a parameter of that very name."""
    return name in inspect.signature(function).parameters


def _call(request: Request) -> Part:
    for key, value in (("config", request.config), ("split", request.split), ("revision", request.revision)):
        _only_for(key, "hub data sets", request, value)
    function = DATASETS.find(request.name, request.base)
    options = dict(request.options or {})
    if accepts(function, "objective"):
        options.setdefault("objective", request.objective)
    if accepts(function, "recipe_folder"):
        options.setdefault("recipe_folder", request.base)
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        raise W2SError(
            f"data set {request.name!r} cannot be called with options {sorted(options)}: {error}; "
            f"it takes {inspect.signature(function)}"
        ) from error
    value = guarded(function, f"data set {request.name!r}")(**options)
    return Part(request.name, _table(value, request.name))


def _saved(path: Path, request: Request) -> Part:
    from datasets import Dataset, DatasetDict, load_from_disk

    try:
        loaded = load_from_disk(str(path))
    except Exception as error:
        raise W2SError(f"{path} cannot be read as a saved data set: {error}; save it again") from error
    if isinstance(loaded, DatasetDict):
        loaded = loaded[_split_name(list(loaded), request)]
    elif request.split:
        raise W2SError(f"{path} holds one data set without splits; remove split: {request.split!r}")
    assert isinstance(loaded, Dataset)
    return Part(path.name, _numbered(loaded.to_pandas()))


def _split_name(known: list[str], request: Request) -> str:
    name = request.split or ("train" if "train" in known else known[0] if len(known) == 1 else "train")
    if name not in known:
        raise W2SError(f"{request.name} has no split {name!r}{did_you_mean(name, known)}; write split: {known[0]}")
    return name


def _hub(request: Request) -> Part:
    name, split = request.name, request.split or "train"
    wanted = [repr(name)] + ([repr(request.config)] if request.config else []) + [f"split={split!r}"]
    wanted += [f"revision={request.revision!r}"] if request.revision else []
    instead = (
        ". Check id, config, split and network. To use it without a network, run this where there is one, copy the "
        'folder here and write source: folder:  python -c "from datasets import load_dataset; '
        f"load_dataset({', '.join(wanted)}).save_to_disk('folder')\""
    )
    failed = f"cannot load {name!r}: no such file or folder here, and the hub says: "
    return from_hub(name, (failed, instead), name, name=request.config, split=split, revision=request.revision)


def from_hub(label: str, failed: tuple[str, str], *names: str | None, **where: str | None) -> Part:
    """The raw table of one split on the hub. No code of the data set is run.

    Args:
        failed: what is said before and after the reason where it cannot be read.
        names: with ``where`` the arguments of ``datasets.load_dataset``.
    """
    go_offline_if_unreachable()
    from datasets import load_dataset

    try:
        loaded = load_dataset(*names, **where)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        kind = Unreachable if isinstance(error, ConnectionError) else W2SError
        raise kind(reason.join(failed)) from error
    return Part(label, _numbered(loaded.to_pandas()))
