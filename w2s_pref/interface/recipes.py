"""A recipe as Python gives it: the name of a shipped one, a path or a dictionary, and keys that replace its own."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, masked
from w2s_pref.core.paths import local_path
from w2s_pref.core.yaml_io import load_yaml, merge
from w2s_pref.core.yaml_values import NotRead, values_of
from w2s_pref.studies.run import Given
from w2s_pref.studies.shipped import find_recipe

Recipe = str | Path | Mapping[str, Any]


def given_recipe(recipe: Recipe) -> Given:
    """What ``studies.run`` opens. A dictionary is read as its YAML would be, ``extends`` (a path or a name) included.

    Raises:
        W2SError: values that no recipe can hold, or nothing that names a recipe.
    """
    if isinstance(recipe, str | Path):
        return local_path(recipe, "recipe")
    if not isinstance(recipe, Mapping):
        kind = type(recipe).__name__
        raise W2SError(f"recipe: give the name of a recipe, the path of one, or a dictionary; this is of type {kind}")
    try:
        keys: dict[str, Any] = values_of(_json("recipe", dict(recipe)))
    except NotRead as error:
        raise W2SError(f"recipe: {error.reason}") from error
    parent = keys.pop("extends", None)
    return keys if parent is None else merge(load_yaml(find_recipe(local_path(str(parent), "recipe: extends"))), keys)


def overrides(keys: Mapping[str, Any]) -> list[str]:
    """``key=value`` as the command line has it, for every keyword; nested keys have dots.

    Raises:
        W2SError: a value that no recipe can hold.
    """
    return [f"{key}={_json(key, value)}" for key, value in keys.items()]


def command(recipe: Recipe, keys: Mapping[str, Any], workers: int | None = None) -> str:
    """What the provenance says: the command that does the same; a dictionary stands in the run's recipe.yaml."""
    if isinstance(recipe, Mapping):
        return "w2s.run({…})"
    more = ["--workers", str(workers)] if workers else []
    return masked(shlex.join(["w2s", "run", str(recipe), *overrides(keys), *more]))


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise W2SError(
            f"{name}: a recipe holds text, numbers, true, false, null, lists and mappings ({error}); write it so"
        ) from error


def _plain(value: Any) -> Any:
    """What stands in a recipe for a path, another mapping or sequence, or a number or array of numpy's."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, range | set | frozenset):
        return sorted(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"this holds a {type(value).__name__}")
