"""Read recipes: YAML with `extends`, `key=value` overrides, and errors that name the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, shortened, shown
from w2s_pref.core.files import readable
from w2s_pref.core.paths import local_path
from w2s_pref.core.references import did_you_mean
from w2s_pref.core.yaml_values import CHARACTERS, NotRead, checked_key, values_of


def load_yaml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file; ``extends: OTHER.yaml`` (relative to the file) is read first and merged under it.

    Raises:
        W2SError: no such file, not YAML, not a mapping, or files that extend each other in a circle.
    """
    path = local_path(path, "recipe")
    if path.resolve() in seen:
        raise W2SError(f"{path}: extends itself, through {' → '.join(p.name for p in seen)}")
    there = [] if path.exists() or not path.parent.is_dir() else [file.name for file in path.parent.glob("*.y*ml")]
    value = yaml_file(path, "recipe", f"{did_you_mean(path.name, there) or ';'} `w2s init` writes one to start from")
    if not isinstance(value, dict):
        raise W2SError(f"recipe {path}: should be a mapping of keys (name:, data:, models:, …)")
    parent = value.pop("extends", None)
    if parent is None:
        return value
    if not isinstance(parent, str):
        raise W2SError(f"recipe {path}: extends: should be the path of one recipe, but this is {shown(parent)}")
    return merge(load_yaml(path.parent / local_path(parent, f"recipe {path}: extends"), (*seen, path.resolve())), value)


def yaml_file(path: Path, what: str, advice: str = "") -> Any:
    """The values in a YAML file.

    Raises:
        W2SError: no such file, not UTF-8, or not YAML as it is read here; starts with ``what`` the file is.
    """
    try:
        with readable(path), path.open("rb") as handle:
            data = handle.read(4 * CHARACTERS + 1)  # no character has more than four bytes
        return values_of(data.decode("utf-8"))
    except OSError as error:
        raise W2SError(f"{what} {path}: cannot be read ({error.strerror}){advice}") from error
    except UnicodeDecodeError as error:
        raise W2SError(f"{what} {path}: is not UTF-8 text (byte {error.start})") from error
    except NotRead as error:
        raise W2SError(f"{what} {path}, {error}") from error


def merge(low: dict[str, Any], high: dict[str, Any], of: str = "") -> dict[str, Any]:
    """``high`` over ``low``: mappings are merged, null takes a key away, everything else is replaced.

    Args:
        of: the key whose values these are; below ``columns`` null is a value, and replaces as others do.
    """
    result = dict(low)
    for key, value in high.items():
        if value is None and not _null_is_a_value(of, key):
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value, key)
        else:
            result[key] = value
    return result


def _null_is_a_value(of: str, key: str) -> bool:
    """``columns: {id: null}`` leaves a column out; the two answers cannot be, and null gives them back their names."""
    return of == "columns" and key not in ("chosen", "rejected")


def with_overrides(recipe: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of the recipe with ``a.b.c=value`` set; the value is read as YAML and replaces what stood there.

    ``null`` takes a key away that is there, as it does in a recipe that extends another (below ``columns`` it is a
    value).

    Raises:
        W2SError: no ``=``, or a path that leads through something that is not a mapping.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise W2SError(
                f"override {shown(text)}: write key=value, dots for nested keys: training.learning_rate=1.0e-4"
            )
        try:
            keys = [checked_key(key) for key in path.split(".")]
            parsed = values_of(value, comments=False)
        except NotRead as error:
            raise W2SError(f"override {shown(text)}: {error.reason}") from error
        except ValueError as error:
            raise W2SError(f"override {shown(text)}: {error}") from error
        recipe = _set(recipe, keys, parsed, text)
    return recipe


def _set(tree: dict[str, Any], path: list[str], value: Any, text: str, of: str = "") -> dict[str, Any]:
    first, *rest = path
    if not rest:
        gone = value is None and tree.get(first) is not None and not _null_is_a_value(of, first)
        return {key: each for key, each in tree.items() if key != first} if gone else {**tree, first: value}
    below = tree.get(first) if tree.get(first) is not None else {}
    if not isinstance(below, dict):
        raise W2SError(f"override {shown(text)}: {shortened(first)} is not a mapping but {shown(below)}")
    return {**tree, first: _set(below, rest, value, text, first)}
