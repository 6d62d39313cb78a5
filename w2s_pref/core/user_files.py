"""Code in a user's file: run once, again when it was edited, and never other than the text that keys hold."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from w2s_pref.core.errors import W2SError, file_hash
from w2s_pref.core.files import readable

#: Module name of a user's file -> its time of change when it was run, and the hash of the text that ran: a file runs
#: once, and again when it is edited.
_LOADED: dict[str, tuple[int, str]] = {}


class _Keyed:
    """File -> hash of its text in the keys of the recipe at hand; while it is ``built``, no other text may run."""

    texts: dict[Path, str] | None = None
    built = False


#: How modules of users' files are called.
USER_MODULES = "w2s_user_"


class _AsItStands(SourceFileLoader):
    """Compiles a file each time: bytecode of the same second and size would be taken for it, whatever was edited."""

    ran = ""

    def get_code(self, fullname: str) -> CodeType:
        """Of the text as it is now, whose hash is ``ran``."""
        text = self.get_data(self.path)
        self.ran = hashlib.sha256(text).hexdigest()
        return self.source_to_code(text, self.path)


def load_file(reference: str, path: Path) -> ModuleType:
    """The module of a file that a reference names.

    Raises:
        W2SError: it cannot be read, fails while it runs, or was edited since keys were made of it.
    """
    name = f"{USER_MODULES}{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    changed, keyed = path.stat().st_mtime_ns, (_Keyed.texts or {}).get(path) if _Keyed.built else None
    if name in sys.modules and name in _LOADED:
        before, ran = _LOADED[name]
        if ran == keyed or (keyed is None and before == changed):
            return sys.modules[name]
    if keyed not in (None, file_hash(path)):
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
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        lonely = isinstance(error, ImportError) and "relative import" in str(error)
        advice = "; a file belongs to no package: import by absolute names, or write package.module:name" * lonely
        raise W2SError(f"{reference}: running {path} failed: {type(error).__name__}: {error}{advice}") from error
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


def keyed_hash(path: Path) -> str:
    """Of a file's text: of the one that other keys of the same recipe hold, whatever was edited since."""
    if _Keyed.texts is None:
        return file_hash(path)
    if path not in _Keyed.texts:
        _Keyed.texts[path] = file_hash(path)
    return _Keyed.texts[path]
