"""Names for things a recipe refers to: registered in code, or written as ``references`` are.

Each room owns the registry of what it holds (data sets in ``data``, losses in ``losses`` …); all are a ``Registry``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

from w2s_pref.core.errors import W2SError, shown
from w2s_pref.core.references import did_you_mean, is_reference, resolve
from w2s_pref.core.source_hash import noted, source_hash
from w2s_pref.core.user_files import USER_MODULES

F = TypeVar("F", bound=Callable[..., Any])

#: Every registry of this process.
_REGISTRIES: list[Registry] = []

#: Entry points of installed packages whose modules register something when they are imported.
PLUGINS = "w2s_pref.plugins"


@cache
def load_plugins() -> tuple[str, ...]:
    """Import the modules that installed packages offer, once; a sentence for each that cannot be imported."""
    problems = []
    for offer in entry_points(group=PLUGINS):
        try:
            offer.load()
        except Exception as error:
            problems.append(f"the plug-in {offer.name!r} ({offer.value}) failed: {type(error).__name__}: {error}")
    return tuple(problems)


class Registry:
    """Functions of one kind by name: what comes with the package, and what users add.

    A room makes one and gives its decorator a name::

        LOSSES = Registry("loss", {"soft_bce": "w2s_pref.losses.named:soft_bce"})
        loss = LOSSES.register

    A user writes a file ``mine.py``::

        from w2s_pref import loss

        @loss("cautious")
        def cautious(margin, p):
            return ...

    and names it in a recipe: ``mine.py:cautious`` (a file beside the recipe), ``package.module:cautious`` (a module on
    the Python path), or ``cautious`` alone wherever the file was imported already, as an installed package asks for
    with an entry point of the group ``w2s_pref.plugins``::

        [project.entry-points."w2s_pref.plugins"]
        mine = "mine"

    The decorator is only needed for the plain name. The room then checks the name while it reads the recipe, gets the
    function when it needs it, and puts its source into the key of the stages that it decides::

        LOSSES.checked("cautios")            # ValueError: unknown loss 'cautios'; did you mean 'cautious'? (known: …)
        LOSSES.find("mine.py:cautious", base)  # the function; base is the recipe's folder
        LOSSES.code("mine.py:cautious", base)  # hash of mine.py; "" for what comes with the package

    Args:
        kind: the noun used in messages, such as ``data set``.
        builtin: name -> ``module:attr`` of what comes with the package, imported only when asked for.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.builtin = dict(builtin or {})
        self._known: dict[str, Callable[..., Any]] = {}
        _REGISTRIES.append(self)

    def register(self, name: str) -> Callable[[F], F]:
        """Decorator that adds an object under ``name`` and returns it unchanged.

        Raises:
            W2SError: the name belongs to another object, or could be mistaken for a path, a hub id or a reference.
        """
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
            raise W2SError(f"{self.kind} name {name!r}: use letters, digits, '_', '-' and '.' only")

        def add(item: F) -> F:
            other = self._known.get(name)
            if name in self.builtin or (other is not None and not _origin(other) & _origin(item)):
                raise W2SError(f"a {self.kind} named {name!r} is registered already; choose another name")
            self._known[name] = item
            noted(item)
            return item

        return add

    def names(self) -> list[str]:
        """Every name, sorted: the package's, registered ones, and those that installed packages offer."""
        load_plugins()
        return sorted({*self.builtin, *self._known})

    def __contains__(self, name: object) -> bool:
        """Whether the name is known now; ``knows`` asks installed packages as well."""
        return name in self.builtin or name in self._known

    def knows(self, name: str) -> bool:
        """Whether the name is known; installed packages are imported only where it is not."""
        if name not in self and re.fullmatch(r"[\w.-]+", name):
            load_plugins()
        return name in self

    def checked(self, text: str) -> str:
        """The text itself, where it is a name that is known or written like a reference.

        Raises:
            ValueError: it is neither; the nearest name is offered.
        """
        if is_reference(text) or self.knows(text):
            return text
        known, why = self.names(), load_plugins()
        raise ValueError(
            f"unknown {self.kind} {shown(text)}{did_you_mean(text, known)} (known: {', '.join(known)}; a function of "
            f"your own is file.py:name or module:name){''.join(f'; {problem}' for problem in why)}"
        )

    def find(self, text: str, base: Path) -> Callable[..., Any]:
        """The object registered as ``text``, or behind it where it is a reference.

        Raises:
            W2SError: unknown name (the nearest is offered), or a reference that leads nowhere.
        """
        try:
            self.checked(text)
        except ValueError as error:
            raise W2SError(str(error)) from None
        if text in self._known:
            return self._known[text]
        found = resolve(self.builtin.get(text, text), base)
        if not callable(found):
            raise W2SError(f"{text}: this is of type {type(found).__name__}, but a {self.kind} is a function")
        return cast(Callable[..., Any], found)

    def code(self, text: str, base: Path) -> str:
        """Hash of the source behind ``text`` (see ``source_hash``); nothing for what comes with the package."""
        if text in self.builtin:
            return ""
        return source_hash(text, base, None if is_reference(text) else self.find(text, base))


def only_here() -> list[str]:
    """Registered names that another process would not know: neither a plug-in's nor of a file that a recipe names."""
    known = {name: str(getattr(item, "__module__", "")) for each in _REGISTRIES for name, item in each._known.items()}
    own = {name: module for name, module in known.items() if not module.startswith(USER_MODULES)}
    plugins = {offer.module.partition(".")[0] for offer in entry_points(group=PLUGINS)} if own else set()
    return sorted(name for name, module in own.items() if module.partition(".")[0] not in plugins)


def _origin(item: object) -> set[tuple[str, str]]:
    """Where a definition stands: a file that runs again shares it, and so does a copy of a user's file elsewhere."""
    code, module = getattr(item, "__code__", None), str(getattr(item, "__module__", ""))
    where, name = code.co_filename if code is not None else module, str(getattr(item, "__qualname__", repr(item)))
    return {(where, name), *([(Path(where).name, name)] if module.startswith(USER_MODULES) else [])}
