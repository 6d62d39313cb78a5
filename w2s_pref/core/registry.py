"""Names for things a recipe refers to: registered in code, or written ``module:attr`` or ``path/to/file.py:attr``."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from w2s_pref.core.errors import W2SError

F = TypeVar("F", bound=Callable[..., Any])

#: Module name of a user's file -> its time of change when it was run: a file runs once, and again when it is edited.
_LOADED: dict[str, int] = {}

_REFERENCE = re.compile(r"(?P<where>.+):(?P<attr>[A-Za-z_]\w*)")


def is_reference(text: str) -> bool:
    """True for ``package.module:attr`` and ``path/to/file.py:attr``."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return False
    where = match["where"]
    return where.endswith(".py") or all(part.isidentifier() for part in where.split("."))


def resolve(reference: str, base: Path) -> Any:
    """The object behind ``module:attr`` or ``file.py:attr``; files are looked up in ``base``, then where we are.

    Raises:
        W2SError: no such file, module or attribute, or the code fails while it is imported.
    """
    where, _, attr = reference.rpartition(":")
    module = _load_file(reference, where, base) if where.endswith(".py") else _load_module(reference, where)
    try:
        return getattr(module, attr)
    except AttributeError:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise W2SError(f"{reference}: {where} has no {attr!r}{did_you_mean(attr, public)}") from None


def did_you_mean(word: str, known: list[str]) -> str:
    """``; did you mean 'x'?`` for the closest known word, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def locate(text: str, base: Path) -> Path | None:
    """An existing file or folder, looked up in ``base``, then in the working directory; None where there is none."""
    for candidate in (base / Path(text).expanduser(), Path(text).expanduser()):
        if candidate.exists():
            return candidate.resolve()
    return None


def _load_module(reference: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise W2SError(
                f"{reference}: there is no module {name!r} on the Python path; install it, or name the file: "
                f"path/to/{name.rpartition('.')[2]}.py:{reference.rpartition(':')[2]}"
            ) from None
        raise W2SError(f"{reference}: importing {name} failed: {error}") from error
    except W2SError:  # a sentence of its own, such as what to install
        raise
    except Exception as error:
        raise W2SError(f"{reference}: importing {name} failed: {type(error).__name__}: {error}") from error


def _load_file(reference: str, where: str, base: Path) -> ModuleType:
    path = locate(where, base)
    if path is None:
        raise W2SError(f"{reference}: there is no file {where} in {base.resolve()} or {Path.cwd()}; check the path")
    name = f"w2s_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules and _LOADED.get(name) == path.stat().st_mtime_ns:
        return sys.modules[name]
    inside = [str(path.parent)] if path.name == "__init__.py" else None  # a package: its files import each other
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise W2SError(f"{reference}: {path} cannot be read as Python code")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise W2SError(f"{reference}: running {path} failed: {type(error).__name__}: {error}") from error
    _LOADED[name] = path.stat().st_mtime_ns
    return module


class Registry:
    """Functions or classes of one kind by name.

    Args:
        kind: the noun used in messages, such as ``data set``.
        builtin: name -> ``module:attr`` of what comes with the package, imported only when asked for.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._builtin = dict(builtin or {})
        self._known: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator that adds an object under ``name`` and returns it unchanged.

        Raises:
            W2SError: the name belongs to another object, or could be mistaken for a path, a hub id or a reference.
        """
        if not re.fullmatch(r"[\w.-]+", name):
            raise W2SError(f"{self.kind} name {name!r}: use letters, digits, '_', '-' and '.' only")

        def add(item: F) -> F:
            other = self._known.get(name)
            if name in self._builtin or (other is not None and _origin(other) != _origin(item)):
                raise W2SError(f"a {self.kind} named {name!r} is registered already; choose another name")
            self._known[name] = item
            return item

        return add

    def names(self) -> list[str]:
        """Every registered name, sorted."""
        return sorted({*self._builtin, *self._known})

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._known

    def find(self, text: str, base: Path) -> Callable[..., Any]:
        """The object registered as ``text``, or behind it where it is a reference.

        Raises:
            W2SError: unknown name (the nearest is offered), or a reference that leads nowhere.
        """
        if text in self._known:
            return self._known[text]
        if text in self._builtin or is_reference(text):
            found = resolve(self._builtin.get(text, text), base)
            if not callable(found):
                raise W2SError(f"{text}: this is of type {type(found).__name__}, but a {self.kind} is a function")
            return cast(Callable[..., Any], found)
        known = self.names()
        raise W2SError(f"unknown {self.kind} {text!r}{did_you_mean(text, known)} (known: {', '.join(known)})")


def _origin(item: object) -> tuple[str, str]:
    """What tells two definitions apart: running a file a second time gives the same origin."""
    code = getattr(item, "__code__", None)
    where = code.co_filename if code is not None else getattr(item, "__module__", "")
    return str(where), str(getattr(item, "__qualname__", repr(item)))


DATASETS = Registry(
    "data set",
    {
        "testbed": "w2s_pref.data.readers:preference_world",
        "hh-rlhf": "w2s_pref.data.hh:hh_rlhf",
        "pku-saferlhf": "w2s_pref.data.pku:pku_saferlhf",
    },
)


def dataset(name: str) -> Callable[[F], F]:
    """Register a function as a data set: ``source: NAME`` in a recipe then calls it.

    The function gets the recipe's ``options`` as keyword arguments and, if it has parameters of these names,
    ``objective``, ``rows``, ``seed`` and ``recipe_folder`` (a Path). It returns preference pairs in any form that a
    file may hold: a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset.
    """
    return DATASETS.register(name)
