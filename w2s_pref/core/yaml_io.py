"""Read recipes: YAML with `extends`, `key=value` overrides, and errors that name the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from w2s_pref.core.errors import W2SError


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key standing twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice (line {line})")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_yaml(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file; ``extends: OTHER.yaml`` (relative to the file) is read first and merged under it.

    Raises:
        W2SError: no such file, not YAML, not a mapping, or files that extend each other in a circle.
    """
    path = path.expanduser()
    if path.resolve() in seen:
        raise W2SError(f"{path}: extends itself, through {' → '.join(p.name for p in seen)}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"recipe {path}: cannot be read ({error.strerror}); `w2s init` writes one to start from"
        raise W2SError(message) from error
    except UnicodeDecodeError as error:
        raise W2SError(f"recipe {path}: is not UTF-8 text (byte {error.start})") from error
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise W2SError(f"recipe {path}: is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise W2SError(f"recipe {path}: should be a mapping of keys (name:, data:, models:, …)")
    parent = value.pop("extends", None)
    if parent is None:
        return value
    return merge(load_yaml(path.parent / str(parent), (*seen, path.resolve())), value)


def merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """``high`` over ``low``: mappings are merged, null takes a key away, everything else is replaced."""
    result = dict(low)
    for key, value in high.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def with_overrides(recipe: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of the recipe with ``a.b.c=value`` set; the value is read as YAML and replaces what stood there.

    Raises:
        W2SError: no ``=``, or a path that leads through something that is not a mapping.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise W2SError(f"override {text!r}: write key=value, dots for nested keys: training.learning_rate=1.0e-4")
        try:
            parsed: Any = yaml.load(value, Loader=_Loader)
        except yaml.YAMLError as error:
            raise W2SError(f"override {text!r}: the value is not valid YAML") from error
        recipe = _set(recipe, path.split("."), parsed, text)
    return recipe


def _set(tree: dict[str, Any], path: list[str], value: Any, text: str) -> dict[str, Any]:
    first, *rest = path
    if not rest:
        return {**tree, first: value}
    below = tree.get(first) if tree.get(first) is not None else {}
    if not isinstance(below, dict):
        raise W2SError(f"override {text!r}: {first} is not a mapping but {below!r}")
    return {**tree, first: _set(below, rest, value, text)}
