"""JSON that somebody else may have written: each key once, no depth or number without limit, and a reason in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, shown

#: Lists and objects within each other, and digits of a whole number, that are read at most.
DEPTH, DIGITS = 64, 100

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotJSON(ValueError):
    """Text that is not read as JSON; the reason is a part of a sentence."""


def json_values(text: str | bytes, *, halves: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        halves: whether texts may hold half of a pair of surrogates, which cannot be written as UTF-8.

    Raises:
        NotJSON: no JSON, not UTF-8, a key that stands twice in one object, or what is beyond the limits above.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
        found = json.loads(text, object_pairs_hook=_once, parse_int=_whole)
        if not halves and _SURROGATE.search(text):
            json.dumps(found, ensure_ascii=False).encode()
    except _Twice as error:
        raise NotJSON(_second(str(text))) from error
    except NotJSON:
        raise
    except UnicodeDecodeError as error:
        raise NotJSON(f"it is not UTF-8 text (byte {error.start})") from error
    except UnicodeEncodeError as error:
        raise NotJSON("it holds half of a pair of surrogates (\\ud800 … \\udfff), which is no character") from error
    except RecursionError as error:
        raise NotJSON(f"it is nested more than {DEPTH} deep") from error
    except ValueError as error:
        raise NotJSON(f"it is not JSON: {error}") from error
    _refuse_deep(found)
    return found


class _Twice(Exception):
    """An object that holds a key twice: the last would win in silence."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _second(text: str) -> str:
    """A sentence on the first key of a JSON text that its object has already."""
    keys: list[set[str] | None] = []  # of every open object; None for a list
    expects_key = False
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', text):
        sign = found.group()
        if sign in "{[":
            keys.append(set() if sign == "{" else None)
        elif sign in "}]":
            keys.pop()
        elif sign not in ",:" and expects_key and keys and keys[-1] is not None:
            key = json.loads(sign)
            if key in keys[-1]:
                line = f" (line {text.count(chr(10), 0, found.start()) + 1})" if "\n" in text else ""
                return f"the key {shown(key)} stands twice in one object{line}"
            keys[-1].add(key)
        expects_key = sign == "{" or (sign == "," and bool(keys) and keys[-1] is not None)
    return "a key stands twice in one object"


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise NotJSON(f"it holds a whole number of {len(digits.lstrip('-')):,} digits; write it as text, in quotes")
    return int(digits)


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH + 1):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise NotJSON(f"it is nested more than {DEPTH} deep")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def read_json(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        W2SError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise W2SError(f"{what}: {path} is not readable JSON ({error}); copy or download it again") from error
    if not isinstance(value, dict):
        raise W2SError(f"{what}: {path} should hold a JSON object; copy or download it again")
    return value
