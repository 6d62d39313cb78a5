"""Functions of users: called with what they ask for by name, and failing in sentences with their file and line."""

from __future__ import annotations

import functools
import inspect
import sysconfig
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

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
        except (Exception, SystemExit) as error:
            raise W2SError(f"{what} failed{_place(error)}: {type(error).__name__}: {error}") from error

    return cast(F, call)


def _place(error: BaseException) -> str:
    """The last line outside installed packages, where there is one below the call itself."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if not _installed(frame.filename)] or list(frames)
    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""


def _installed(file: str) -> bool:
    """Whether code is of Python itself or of an installed package."""
    return "site-packages" in file or file.startswith((sysconfig.get_path("stdlib"), "<frozen"))


def asked(function: Callable[..., Any], offered: Collection[str], what: str) -> list[str]:
    """Names of the function's parameters that are among ``offered``: what it is called with.

    Raises:
        W2SError: it needs something else, or nothing of it.
    """
    offers = f"its parameters are filled in by their names: {', '.join(offered)}"
    named = parameters(function, what)
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.POSITIONAL_ONLY and each.default is each.empty:
            raise W2SError(f"{what}: {each.name!r} stands before a '/' and has no name to callers; {offers}")
    if other := [each.name for each in named if each.name not in offered and each.default is each.empty]:
        raise W2SError(f"{what} asks for {other[0]!r}, which is not offered; {offers}")
    found = [each.name for each in named if each.name in offered]
    if not found:
        raise W2SError(f"{what} asks for nothing that is offered; {offers}")
    return found


def parameters(function: Callable[..., Any], what: str) -> list[inspect.Parameter]:
    """The function's parameters that have a name to be filled in by.

    Raises:
        W2SError: nobody can tell.
    """
    star = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise W2SError(f"{what} is no function whose parameters can be read; write it in Python") from None
    return [each for each in found if each.kind not in star]


def by_name(
    function: Callable[..., Any], offered: Collection[str], what: str, options: dict[str, Any] | None = None
) -> Callable[..., Any]:
    """The function, guarded, as a call by keyword: it takes all that is offered and passes on what was asked for.

    Raises:
        W2SError: it needs something that is not offered, or does not take one of the ``options``.
    """
    given = options or {}
    names = asked(function, [*offered, *given], what)
    if unread := [name for name in given if name not in names]:
        raise W2SError(f"{what} takes no {unread[0]!r}; it is called with {inspect.signature(function)}")
    own = guarded(function, what)
    return lambda **values: own(**{name: (values | given)[name] for name in names})


def numbers(
    value: Any, count: int, what: str, low: float = -np.inf, high: float = np.inf, gaps: bool = False
) -> np.ndarray:
    """What a function returned as float64, shape (count,), in [low, high]; ``gaps``: NaN is allowed.

    Raises:
        W2SError: it is something else; the first bad number is named.
    """
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise W2SError(
            f"{what} should return {count} numbers, but it returned {type(value).__name__}: {error}"
        ) from error
    if found.shape != (count,):
        raise W2SError(f"{what} should return one number for each of {count}, but it returned shape {found.shape}")
    wrong = ~np.isfinite(found) if not gaps else np.isinf(found)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise W2SError(f"{what} returned {int(wrong.sum())} numbers that are not finite; the first is number {place}")
    outside = (found < low) | (found > high)
    if outside.any():
        place = int(np.flatnonzero(outside)[0])
        raise W2SError(f"{what} returned {found[place]:g} (number {place}), which is outside of {low:g} to {high:g}")
    return found
