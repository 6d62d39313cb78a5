"""The hash of the code behind a reference or an object, so that edited code is a new key."""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
from pathlib import Path
from types import CellType, CodeType, ModuleType
from typing import Any, cast

from w2s_pref.core.errors import W2SError, file_hash
from w2s_pref.core.references import is_reference, locate, resolve
from w2s_pref.core.user_files import keyed_hash

#: File and name of an object -> the object (its code), and the hash of the file's text when it was first seen.
_SEEN: dict[tuple[str, str], tuple[object, str]] = {}


def source_hash(text: str, base: Path, found: object = None) -> str:
    """SHA-256 of the source behind a reference or a registered object, so that edited code is a new key.

    A file counts with its text, a module with its own and with the file where the object is defined. Nothing for what
    comes with this package: its keys hold versions.

    Args:
        found: the object, where it is at hand.
    """
    where = text.rpartition(":")[0] if is_reference(text) else ""
    if where.endswith(".py"):
        path = locate(where, base)
        return "" if path is None else keyed_hash(path)
    found = resolve(text, base) if found is None else found
    if any(_ours(name) for name in (where, str(getattr(found, "__module__", None) or ""))):
        return ""
    inner, given = _unwrapped(found)
    noted(inner)
    own = _files(inner)
    for file in own:
        if _SEEN[str(file), _name(inner)][1] != file_hash(file):
            raise W2SError(
                f"{text}: {file} was edited since it was imported, and what was imported would run; begin anew (in a "
                "notebook, restart the kernel), or name the file in the recipe: path/to/file.py:name"
            )
    named = getattr(sys.modules.get(where), "__file__", None)
    files = sorted({*own, *([Path(named).resolve()] if named and Path(named).is_file() else [])})
    typed = [] if files or _ours(inner.__module__) else [_typed(inner)]
    held = [] if where else [*(_held(inner) if files else []), *_read(inner)]
    return _joined([*map(file_hash, files), *typed, *given, *held])


def noted(item: object) -> None:
    """Remember, when an object is first seen, the text of the files that made it: edited later, it would run as it was.

    What a module that was reloaded holds is another object. Files that recipes name run again when they are edited.
    """
    inner, _ = _unwrapped(item)
    made = getattr(inner, "__code__", inner)
    for file in _files(inner):
        before = _SEEN.get((str(file), _name(inner)))
        if before is None or before[0] is not made:
            _SEEN[str(file), _name(inner)] = (made, file_hash(file))


def _name(inner: object) -> str:
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _ours(module: str) -> bool:
    return module.partition(".")[0] == __package__.partition(".")[0]


def _files(inner: object) -> list[Path]:
    """Of the module and of the code of an object that is not the package's own."""
    module, code = str(getattr(inner, "__module__", None) or ""), getattr(inner, "__code__", None)
    if _ours(module):
        return []
    names = {getattr(sys.modules.get(module), "__file__", None), None if code is None else code.co_filename}
    return sorted({Path(file).resolve() for file in names if file and Path(file).is_file()})


def _unwrapped(found: object) -> tuple[Any, list[str]]:
    """The function inside wrappers (decorators, partials, ``np.vectorize``), and what partials give to it."""
    given = []
    while True:
        inner = inspect.unwrap(cast(Any, found))
        if isinstance(inner, functools.partial):
            given.append(hashlib.sha256(_stable((inner.args, inner.keywords)).encode()).hexdigest())
            found = inner.func
        elif callable(getattr(inner, "pyfunc", None)):
            found = inner.pyfunc
        else:
            return inner, given


def _typed(found: object) -> str:
    """Hash of what was typed into a session: its source, else its compiled code; and what it holds."""
    code = getattr(found, "__code__", None)
    kind = found if code is not None or inspect.isclass(found) else type(found)
    try:
        text = inspect.getsource(cast(Any, kind))
    except (OSError, TypeError):
        text = f"{kind.__module__}.{kind.__qualname__}"  # type: ignore[attr-defined]
        text += "" if code is None else _stable(code)
    held = [cell.cell_contents for cell in getattr(found, "__closure__", None) or () if _full(cell)]
    parts = (text, getattr(found, "__defaults__", None), held, {} if kind is found else vars(found))
    return hashlib.sha256(_stable(parts).encode()).hexdigest()


def _held(found: object) -> list[str]:
    """Hash of what no text of a file decides: what a function was made with, the state of an instance. None of nothing.

    A loss that a script makes and registers for one value after the other is another loss each time.
    """
    inside = "<locals>" in _name(found)
    cells = [cell.cell_contents for cell in getattr(found, "__closure__", None) or () if _full(cell)]
    defaults = [getattr(found, name, None) for name in ("__defaults__", "__kwdefaults__")] if inside else []
    state = {} if inspect.isclass(found) or hasattr(found, "__code__") else getattr(found, "__dict__", {})
    return _hash_of([cells, *defaults, state])


def _read(found: object) -> list[str]:
    """Hash of the globals that an object of a session or script reads: set anew in another cell, they change it."""
    function = found if hasattr(found, "__code__") else getattr(type(found), "__call__", None)  # noqa: B004
    around, code = getattr(function, "__globals__", {}), getattr(function, "__code__", None)
    if getattr(function, "__module__", None) != "__main__" or code is None:
        return []
    names = {name for name in _globals(code) if not isinstance(around.get(name), ModuleType | None)}
    return _hash_of([{name: _value(around[name]) for name in names}])


def _globals(code: CodeType) -> set[str]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    own = {str(each.argval) for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"}
    return own.union(*map(_globals, inner))


def _value(item: object) -> object:
    """A global; of what has a name, the source where it is of the session itself, else the name."""
    if not hasattr(item, "__qualname__"):
        return item
    return _typed(item) if item.__module__ == "__main__" else f"{item.__module__}.{item.__qualname__}"


def _hash_of(parts: list[Any]) -> list[str]:
    return [hashlib.sha256(_stable(parts).encode()).hexdigest()] if any(parts) else []


def _full(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _stable(value: object) -> str:
    """A value as text that is the same in every process: of what has no such text, its type."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_stable, value))}]"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(map(_stable, value)))}}}"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{_stable(key)}:{_stable(each)}' for key, each in value.items()))}}}"
    if isinstance(value, CodeType):
        return f"{value.co_code.hex()}{value.co_names}{_stable(value.co_consts)}"
    dump = getattr(value, "tobytes", None)  # of arrays
    if callable(dump):
        told = (getattr(value, "dtype", ""), getattr(value, "shape", ""), hashlib.sha256(dump()).hexdigest())
        return " ".join(map(str, told))
    code = getattr(value, "__code__", None)
    return f"{type(value).__module__}.{type(value).__qualname__}{'' if code is None else _stable(code)}"


def _joined(hashes: list[str]) -> str:
    """One as it is; several as the hash of theirs."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
