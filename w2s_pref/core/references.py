"""References of recipes to code: ``module:attr`` and ``path/to/file.py:attr``."""

from __future__ import annotations

import difflib
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from w2s_pref.core.aliases import new_name
from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import local_path
from w2s_pref.core.user_files import load_file

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
    path = local_path(text, "the file")
    for candidate in (base / path, path):
        if candidate.exists():
            return candidate.resolve()
    return None


def looked_in(base: Path) -> str:
    """Where ``locate`` looks, once where that is one folder."""
    return " or ".join(dict.fromkeys([str(base.resolve()), str(Path.cwd())]))


def _load_module(reference: str, name: str) -> ModuleType:
    """A module. Recipes may go on naming it as keys hold it, where it has another name today: without a warning."""
    try:
        return importlib.import_module(new_name(name) or name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise W2SError(
                f"{reference}: there is no module {name!r} on the Python path; install it, or name the file: "
                f"path/to/{name.rpartition('.')[2]}.py:{reference.rpartition(':')[2]}"
            ) from None
        raise W2SError(f"{reference}: importing {name} failed: {error}") from error
    except W2SError:  # a sentence of its own, such as what to install
        raise
    except (Exception, SystemExit) as error:
        raise W2SError(f"{reference}: importing {name} failed: {type(error).__name__}: {error}") from error


def _load_file(reference: str, where: str, base: Path) -> ModuleType:
    path = locate(where, base)
    if path is None:
        raise W2SError(f"{reference}: there is no file {where} in {looked_in(base)}; check the path")
    return load_file(reference, path)


def short_name(text: str) -> str:
    """What tables call a thing: its name, or the last part of ``file.py:attr``."""
    return text.rpartition(":")[2]
