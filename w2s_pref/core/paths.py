"""Text that names a file or a folder: what no system can have as a path is a sentence, wherever it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from w2s_pref.core.errors import W2SError, shown

#: Bytes of a path, and of one name in it, that file systems hold.
PATH, NAME = 4096, 255


def path_problem(text: str) -> str | None:
    """Why a text cannot be a path; None where it can. Whether something stands there is not asked."""
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        return "it holds half of a pair of surrogates, which is no character"
    if not _is_text(text):
        return "a name in it is not UTF-8, which libraries of tables and models need; rename it, or set PYTHONUTF8=1"
    if b"\0" in raw:
        return "it holds a NUL character"
    if len(raw) > PATH:
        return f"it has {len(raw):,} bytes, and a path has at most {PATH:,}"
    if (longest := max(map(len, raw.split(b"/")))) > NAME:
        return f"a name in it has {longest} bytes, and a name has at most {NAME}"
    first = text.partition("/")[0]
    if first.startswith("~") and os.path.expanduser(first) == first:
        return f"no user is called {first[1:]!r} here"
    return None


def _is_text(path: str) -> bool:
    try:
        os.path.abspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def local_path(text: str | Path, where: str) -> Path:
    """A path with ``~`` written out.

    Raises:
        W2SError: it can be no path; starts with ``where``.
    """
    if problem := path_problem(str(text)):
        raise W2SError(f"{where}: {shown(str(text))} cannot be a path: {problem}")
    return Path(text).expanduser()


def cache_root() -> Path:
    """Where this machine keeps what can be had again: ``W2S_CACHE``, else ``~/.cache/w2s_pref``."""
    return Path(os.environ.get("W2S_CACHE") or Path("~/.cache/w2s_pref").expanduser())


def _checked(text: str) -> str:
    if problem := path_problem(text):
        raise ValueError(f"{shown(text)} cannot be a path: {problem}")
    return text


#: A key of a recipe that names a file, a folder, or something (a URL, a hub id) that a path could stand for.
PathText = Annotated[str, AfterValidator(_checked)]
