"""Functions of users, called so that what they raise becomes a sentence with their file and line."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from w2s_pref.core.errors import W2SError

F = TypeVar("F", bound=Callable[..., Any])


def guarded(function: F, what: str) -> F:
    """The same function; an exception in it becomes a ``W2SError`` that begins with ``what``."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except W2SError:
            raise
        except Exception as error:
            raise W2SError(f"{what} failed{_place(error)}: {type(error).__name__}: {error}") from error

    return cast(F, call)


def _place(error: Exception) -> str:
    """The last line outside installed packages, where there is one below the call itself."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
