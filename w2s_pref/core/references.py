"""References of recipes to code (``module:attr``, ``path/to/file.py:attr``), and the hash of the source behind one."""

from __future__ import annotations

import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CellType, CodeType, ModuleType
from typing import Any, cast

from w2s_pref.core.aliases import new_name
from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import readable
from w2s_pref.core.paths import local_path

#: Module name of a user's file -> its time of change when it was run, and the hash of the text that ran: a file runs
#: once, and again when it is edited.
_LOADED: dict[str, tuple[int, str]] = {}


class _Keyed:
    """File -> hash of its text in the keys of the recipe at hand; while it is ``built``, no other text may run."""

    texts: dict[Path, str] | None = None
    built = False


#: File and name of an object -> the object (its code), and the hash of the file's text when it was first seen.
_SEEN: dict[tuple[str, str], tuple[object, str]] = {}

#: How modules of users' files are called.
USER_MODULES = "w2s_user_"

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


class _AsItStands(SourceFileLoader):
    """Compiles a file each time: bytecode of the same second and size would be taken for it, whatever was edited."""

    ran = ""

    def get_code(self, fullname: str) -> CodeType:
        """Of the text as it is now, whose hash is ``ran``."""
        text = self.get_data(self.path)
        self.ran = hashlib.sha256(text).hexdigest()
        return self.source_to_code(text, self.path)


def _load_file(reference: str, where: str, base: Path) -> ModuleType:
    path = locate(where, base)
    if path is None:
        raise W2SError(f"{reference}: there is no file {where} in {looked_in(base)}; check the path")
    name = f"{USER_MODULES}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    changed, keyed = path.stat().st_mtime_ns, (_Keyed.texts or {}).get(path) if _Keyed.built else None
    if name in sys.modules and name in _LOADED:
        before, ran = _LOADED[name]
        if ran == keyed or (keyed is None and before == changed):
            return sys.modules[name]
    if keyed not in (None, _hash(path)):
        raise _edited(reference, path)
    inside = [str(path.parent)] if path.name == "__init__.py" else None  # a package: its files import each other
    loader = _AsItStands(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=inside)
    if spec is None:
        raise W2SError(f"{reference}: {path} cannot be read as Python code")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with readable(path):
            loader.exec_module(module)
    except W2SError:  # a sentence of its own
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise W2SError(f"{reference}: running {path} failed: {type(error).__name__}: {error}") from error
    _LOADED[name] = changed, loader.ran
    if keyed not in (None, loader.ran):  # between the two looks
        raise _edited(reference, path)
    return module


def _edited(reference: str, path: Path) -> W2SError:
    return W2SError(
        f"{reference}: {path} was edited while this run was built, and its stages stand under the text of before; "
        "nothing was stored of the edited text. What was finished stays; run the same command again: stages that the "
        "file decides are built anew"
    )


@contextlib.contextmanager
def keyed_texts(texts: dict[Path, str], built: bool = False) -> Iterator[None]:
    """One recipe's keys are computed within, all of them with the text that a user's file had at first.

    Args:
        texts: file -> hash of that text, of this recipe; what is new is added.
        built: its stages are built within: a file whose text is another one by now is refused.
    """
    before = _Keyed.texts, _Keyed.built
    _Keyed.texts, _Keyed.built = texts, built
    try:
        yield
    finally:
        _Keyed.texts, _Keyed.built = before


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
        return "" if path is None else _keyed_hash(path)
    found = resolve(text, base) if found is None else found
    if any(_ours(name) for name in (where, str(getattr(found, "__module__", None) or ""))):
        return ""
    inner, given = _unwrapped(found)
    noted(inner)
    own = _files(inner)
    for file in own:
        if _SEEN[str(file), _name(inner)][1] != _hash(file):
            raise W2SError(
                f"{text}: {file} was edited since it was imported, and what was imported would run; begin anew (in a "
                "notebook, restart the kernel), or name the file in the recipe: path/to/file.py:name"
            )
    named = getattr(sys.modules.get(where), "__file__", None)
    files = sorted({*own, *([Path(named).resolve()] if named and Path(named).is_file() else [])})
    return _joined([*map(_hash, files), *([] if files or _ours(inner.__module__) else [_typed(inner)]), *given])


def _keyed_hash(path: Path) -> str:
    """Of a file's text: of the one that other keys of the same recipe hold, whatever was edited since."""
    if _Keyed.texts is None:
        return _hash(path)
    if path not in _Keyed.texts:
        _Keyed.texts[path] = _hash(path)
    return _Keyed.texts[path]


def noted(item: object) -> None:
    """Remember, when an object is first seen, the text of the files that made it: edited later, it would run as it was.

    What a module that was reloaded holds is another object. Files that recipes name run again when they are edited.
    """
    inner, _ = _unwrapped(item)
    made = getattr(inner, "__code__", inner)
    for file in _files(inner):
        before = _SEEN.get((str(file), _name(inner)))
        if before is None or before[0] is not made:
            _SEEN[str(file), _name(inner)] = (made, _hash(file))


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


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _joined(hashes: list[str]) -> str:
    """One as it is; several as the hash of theirs."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
