"""Read what runs wrote: results.json of one schema, the name of its kind of study, the list of runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.core.strict import sentences
from w2s_pref.results.preferences import SCHEMA_VERSION, Results

M = TypeVar("M", bound=BaseModel)

#: What a results.json without ``kind`` holds.
PREFERENCES = "preferences"


def results_file(path: Path) -> Path:
    """results.json of a run folder, or the file itself."""
    return path if path.is_file() else path / "results.json"


def kind_named(file: Path) -> str:
    """The kind of study that a results.json says it is of; where it cannot be read, that of preferences."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("kind", PREFERENCES))
    except (OSError, ValueError, AttributeError):
        return PREFERENCES


def read_file(file: Path, schema: type[M], run: Path) -> M:
    """One JSON file of a run.

    Args:
        run: what the user called the run.

    Raises:
        W2SError: not there, damaged, or written by another version of the schema.
    """
    try:
        return schema.model_validate_json(file.read_bytes())
    except OSError as error:
        message = f"run {run}: has no readable {file.name} ({error.strerror}); `w2s status` lists runs"
        raise W2SError(message) from error
    except ValidationError as error:
        wrong = sentences(error, "")[0].removeprefix(": ")
        raise W2SError(
            f"run {run}: its {file.name} does not follow schema {SCHEMA_VERSION} ({wrong}); it is damaged or another "
            "version wrote it; run the recipe again (what stands in the store is not computed again)"
        ) from error


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
    for path in sorted(folder.glob("*/results.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            headline = value.get("verdict", {}).get("headline", f"a study of kind {value.get('kind', PREFERENCES)}")
            created = value.get("provenance", {}).get("created", "")
            found.append({"name": value["name"], "created": created, "headline": headline})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            found.append({"name": path.parent.name, "created": "", "headline": "unreadable results.json"})
    return found
