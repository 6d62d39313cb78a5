"""Read what runs wrote: results.json of this schema or the one before, its kind of study, the list of runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import closed, readable, refused
from w2s_pref.core.json_io import json_values
from w2s_pref.core.strict import sentences
from w2s_pref.results.chess import ChessResults
from w2s_pref.results.lab import LabBody, LabResults
from w2s_pref.results.preferences import SCHEMA_VERSION, Results

M = TypeVar("M", bound=BaseModel)

#: Schemas whose files of schema 1 are read as well.
UPGRADED = (Results, LabResults, LabBody, ChessResults)
#: What a results.json without ``kind`` holds.
PREFERENCES = "preferences"
#: Seconds for which a file is looked for that a new run of that name is about to put there.
PATIENCE = 1.0


def results_file(path: Path) -> Path:
    """results.json of a run folder, or the file itself.

    Raises:
        W2SError: the file is a recipe.
    """
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        raise W2SError(f"run {path}: is a recipe; give the folder of its run (OUTPUT/NAME; `w2s status` lists runs)")
    with readable(path):
        return path if path.is_file() else path / "results.json"


def kind_named(file: Path) -> str:
    """The kind of study that a results.json says it is of; where it cannot be read, that of preferences."""
    try:
        found = json_values(_bytes(file))
    except (OSError, ValueError, W2SError):
        return PREFERENCES
    return str(found.get("kind", PREFERENCES)) if isinstance(found, dict) else PREFERENCES


def read_file(file: Path, schema: type[M], run: Path) -> M:
    """One JSON file of a run.

    Args:
        run: what the user called the run.

    Raises:
        W2SError: not there, closed to this user, damaged, or written by another version of the schema.
    """
    try:
        text = _bytes(file)
        found = json_values(text)
        if not issubclass(schema, UPGRADED):
            return schema.model_validate_json(text)
        return schema.model_validate(upgraded(found))
    except OSError as error:
        message = f"run {run}: has no readable {file.name} ({error.strerror}); `w2s status` lists runs"
        raise W2SError(message) from error
    except ValueError as error:
        wrong = sentences(error, "")[0].removeprefix(": ") if isinstance(error, ValidationError) else str(error)
        raise W2SError(
            f"run {run}: its {file.name} does not follow schema {SCHEMA_VERSION} ({wrong}); it is damaged or another "
            "version wrote it; run the recipe again (what stands in the store is not computed again)"
        ) from error


def _bytes(file: Path) -> bytes:
    """The file; looked for again while a run of that name, which another one replaces, stands aside for a moment."""
    last, folder = time.monotonic() + PATIENCE, file.resolve().parent
    while True:
        try:
            with readable(file):
                return file.read_bytes()
        except FileNotFoundError:
            coming = (f".{folder.name}-", f".{folder.name}.old-")
            if time.monotonic() > last or not any(each.name.startswith(coming) for each in _beside(folder)):
                raise
        time.sleep(0.05)


def _beside(folder: Path) -> list[Path]:
    try:
        return list(folder.parent.iterdir())
    except OSError:
        return []


def upgraded(found: Any) -> Any:
    """What a JSON file of schema 1 says in schema 2; anything else as it is.

    Schema 1 held target minus mean under ``bias_weak`` and ``bias_strong``, schema 2 holds mean minus target; so a rank
    correlation of the bias turns its sign, too. What schema 1 did not have (intervals in these seeds, gates, families)
    stays out: nothing is invented.
    """
    if not isinstance(found, dict) or found.get("schema_version") != 1:
        return found
    new = {**found, "schema_version": SCHEMA_VERSION}
    if isinstance(found.get("risk"), list):
        new["risk"] = [_turned(entry, ("raw", "calibrated"), _biases) for entry in found["risk"]]
    signals = _part(found.get("predictors"), "signals")
    if isinstance(signals, list):
        turned = [_turned(entry, ("raw", "calibrated"), _negative) if _bias(entry) else entry for entry in signals]
        new["predictors"] = {**found["predictors"], "signals": turned}
    return new


def _turned(value: Any, keys: Sequence[str], turn: Callable[[Any], Any]) -> Any:
    """A dictionary with some of its entries turned; a damaged one as it is, for the schema to refuse."""
    if not isinstance(value, dict):
        return value
    return {**value, **{key: turn(value[key]) for key in keys if key in value}}


def _biases(numbers: Any) -> Any:
    return _turned(numbers, ("bias_weak", "bias_strong"), _negative)


def _bias(entry: Any) -> bool:
    return str(_part(entry, "signal")).startswith("bias_")


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _negative(value: Any) -> Any:
    """A number, an interval (its ends change places), a list of seeds' values, or an object that holds them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0.0 - value  # no -0
    if not isinstance(value, dict):
        return value
    new = {key: _negative(value[key]) for key in ("estimate", "rho") if key in value}
    for key, step in (("interval", -1), ("seeds", 1)):
        if isinstance(value.get(key), list):
            new[key] = [_negative(each) for each in value[key]][::step]
    return {**value, **new}


def load_results(path: Path) -> Results:
    """Results of a study of preferences: the run folder, or its results.json.

    Raises:
        W2SError: not there, damaged, of another kind of study, or written by another version of the schema.
    """
    file = results_file(path)
    kind = kind_named(file)
    if kind != PREFERENCES:
        raise W2SError(f"run {path}: is a study of kind {kind}, not of preferences; `w2s show {path}` prints it")
    return read_file(file, Results, path)


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """Finished runs under an output folder: name, when, headline."""
    found = []
    with readable(folder):
        names = [name for name in os.listdir(folder) if not name.startswith(".")] if folder.is_dir() else []
    for path in (folder / name / "results.json" for name in sorted(names)):  # hidden ones are being written
        if closed(path):
            found.append({"name": path.parent.name, "created": "", "headline": f"{refused(path)}"})
            continue
        if not path.is_file():
            continue
        try:
            value = json_values(path.read_bytes())
            headline = value.get("verdict", {}).get("headline", f"a study of kind {value.get('kind', PREFERENCES)}")
            created = value.get("provenance", {}).get("created", "")
            row = {"name": value["name"], "created": created, "headline": headline}
            if not all(isinstance(said, str) for said in row.values()):
                raise TypeError(row)
            if row["name"] != path.parent.name:  # moved or copied: other commands know it by its folder
                row["name"] = f"{path.parent.name} (a run of {row['name']})"
            found.append(row)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found.append({"name": path.parent.name, "created": "", "headline": "unreadable results.json"})
    return found
