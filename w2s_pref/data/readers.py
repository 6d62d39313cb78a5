"""From what a recipe names (files, folders, hub ids, functions) to raw tables. Nothing is interpreted here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_pref.core.errors import Unreachable, W2SError
from w2s_pref.core.hub import go_offline_if_unreachable
from w2s_pref.core.references import did_you_mean, is_reference, locate, looked_in
from w2s_pref.core.registry import Registry
from w2s_pref.core.user_code import guarded
from w2s_pref.data.files import READERS, as_table, read_file

#: The data sets by name: those that come with the package, and the user's (see ``dataset``).
DATASETS = Registry(
    "data set",
    {
        "testbed": "w2s_pref.data.readers:preference_world",
        "hh-rlhf": "w2s_pref.data.hub_sets:hh_rlhf",
        "pku-saferlhf": "w2s_pref.data.hub_sets:pku_saferlhf",
        "reward-bench": "w2s_pref.data.benchmarks:reward_bench",
        "reward-bench-2": "w2s_pref.data.benchmarks:reward_bench_2",
    },
)

#: Register a function as a data set: ``source: NAME`` in a recipe then calls it.
#:
#: The function gets the recipe's ``options`` as keyword arguments and, if it has parameters of these names,
#: ``objective``, ``rows``, ``seed`` and ``recipe_folder`` (a Path). It returns preference pairs in any form that a file
#: may hold: a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset.
dataset = DATASETS.register

#: File endings that are read as data.
SUFFIXES = tuple(READERS)

#: Endings of files that may hold data and are not read.
_OTHER_DATA = {
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz"),
    *(".tsv", ".ndjson", ".arrow", ".feather", ".orc", ".avro", ".xlsx", ".xls"),
}

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Part:
    """One raw table. The index of ``frame`` is the row number a person would count: from 1, a header not counted.

    ``notes``: sentences on what lies beside it and is not read.
    """

    label: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


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
    return _folder(path) if path.is_dir() else [Part(path.name, read_file(path))]


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
    if any(sign in name for sign in "*?["):
        return f"there is no file {name}, and patterns are not read; name the files in a list, or their folder"
    folder = (base / Path(name).expanduser()).parent
    near = did_you_mean(Path(name).name, [item.name for item in folder.iterdir()] if folder.is_dir() else [])
    return f"there is no file or folder {name} in {looked_in(base)}{near or '; check the path in source'}"


def _folder(path: Path) -> list[Part]:
    files = sorted(item for item in path.iterdir() if item.is_file() and item.suffix.lower() in SUFFIXES)
    left = sorted(item.name for item in path.iterdir() if _looks_like_data(item))
    said = f"{', '.join(left[:5])}{' …' if len(left) > 5 else ''}"
    if not files:
        beside = f" (not read: {said})" if left else ""
        raise W2SError(f"folder {path} holds no data file{beside}; expected one of {', '.join(SUFFIXES)}")
    note = (
        f"folder {path}: {said} looks like data and is not read; unpack it or save it as one of {', '.join(SUFFIXES)}, "
        "name what lies in subfolders in source (several are a list), or move it out"
    )
    return [Part(file.name, read_file(file), (note,) if left and not at else ()) for at, file in enumerate(files)]


def _looks_like_data(item: Path) -> bool:
    """Whether something in a folder of files seems to hold rows that are not read: packed, of another kind, deeper."""
    if item.name.startswith((".", "_")):
        return False
    if item.is_dir():
        return any(each.suffix.lower() in SUFFIXES for each in item.rglob("*"))
    return item.suffix.lower() in _OTHER_DATA


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
    return Part(request.name, as_table(value, request.name))


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
    return Part(path.name, as_table(loaded, str(path)))


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
    return Part(label, as_table(loaded, label))
