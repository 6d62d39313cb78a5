"""Names for things a recipe refers to: registered in code, or written ``module:attr`` or ``path/to/file.py:attr``.

Each room owns the registry of what it holds (data sets in ``data``, losses in ``losses`` …); all are a ``Registry``.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from w2s_pref.core.aliases import new_name
from w2s_pref.core.errors import W2SError, shown
from w2s_pref.core.files import readable
from w2s_pref.core.paths import local_path

F = TypeVar("F", bound=Callable[..., Any])

#: Module name of a user's file -> its time of change when it was run: a file runs once, and again when it is edited.
_LOADED: dict[str, int] = {}

#: How modules of users' files are called.
_USER = "w2s_user_"

#: Every registry of this process.
_REGISTRIES: list[Registry] = []

#: Entry points of installed packages whose modules register something when they are imported.
PLUGINS = "w2s_pref.plugins"

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
    except Exception as error:
        raise W2SError(f"{reference}: importing {name} failed: {type(error).__name__}: {error}") from error


def _load_file(reference: str, where: str, base: Path) -> ModuleType:
    path = locate(where, base)
    if path is None:
        raise W2SError(f"{reference}: there is no file {where} in {looked_in(base)}; check the path")
    name = f"{_USER}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules and _LOADED.get(name) == path.stat().st_mtime_ns:
        return sys.modules[name]
    inside = [str(path.parent)] if path.name == "__init__.py" else None  # a package: its files import each other
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inside)
    if spec is None or spec.loader is None:
        raise W2SError(f"{reference}: {path} cannot be read as Python code")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with readable(path):
            spec.loader.exec_module(module)
    except W2SError:  # a sentence of its own
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise W2SError(f"{reference}: running {path} failed: {type(error).__name__}: {error}") from error
    _LOADED[name] = path.stat().st_mtime_ns
    return module


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


def short_name(text: str) -> str:
    """What tables call a thing: its name, or the last part of ``file.py:attr``."""
    return text.rpartition(":")[2]


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
        return "" if path is None else _hash([path])
    found = resolve(text, base) if found is None else found
    modules = [where, str(getattr(found, "__module__", None) or "")]
    if any(name.partition(".")[0] == __package__.partition(".")[0] for name in modules):
        return ""
    files = {getattr(sys.modules.get(name), "__file__", None) for name in modules}
    code = getattr(inspect.unwrap(cast(Any, found)), "__code__", None)
    files.add(None if code is None else code.co_filename)
    return _hash(sorted({Path(file).resolve() for file in files if file and Path(file).is_file()}))


def _hash(files: list[Path]) -> str:
    """Of one file its SHA-256; of several that of theirs."""
    each = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


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
    own = {name: module for name, module in known.items() if not module.startswith(_USER)}
    plugins = {offer.module.partition(".")[0] for offer in entry_points(group=PLUGINS)} if own else set()
    return sorted(name for name, module in own.items() if module.partition(".")[0] not in plugins)


def _origin(item: object) -> set[tuple[str, str]]:
    """Where a definition stands: a file that runs again shares it, and so does a copy of a user's file elsewhere."""
    code, module = getattr(item, "__code__", None), str(getattr(item, "__module__", ""))
    where, name = code.co_filename if code is not None else module, str(getattr(item, "__qualname__", repr(item)))
    return {(where, name), *([(Path(where).name, name)] if module.startswith(_USER) else [])}
