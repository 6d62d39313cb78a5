"""Files that appear whole or not at all, with names that no other process takes and modes that the umask says."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from w2s_pref.core.errors import W2SError


def own_name(name: str) -> str:
    """A hidden name beside ``name`` that is this process's alone, on this machine, in this container, everywhere."""
    host = re.sub(r"[^A-Za-z0-9]+", "-", platform.node())[:32]
    start = name.encode("utf-8", "replace")[:100].decode("utf-8", "ignore")
    return f".{start}.{host}-{os.getpid()}-{uuid.uuid4().hex[:12]}.tmp"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and is removed otherwise.

    What is no file (``/dev/stdout``, a pipe) is written to as it stands.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    temporary = path.with_name(own_name(path.name))
    try:
        yield temporary
        by_umask(temporary)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a user's file whole or not at all: temporary file beside it, then rename."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise W2SError(f"{path}: cannot be written ({error.strerror}); is the folder there and writable?") from error


def by_umask(path: Path) -> None:
    """Give a file, or all in a folder, the mode that new ones have there: libraries write some for the owner alone.

    A file system that knows no modes keeps its own.
    """
    folder = path if path.is_dir() else path.parent
    probe = folder / own_name("mode")
    with contextlib.suppress(PermissionError, NotImplementedError):
        probe.touch()  # the umask itself cannot be asked without being changed for other threads
        try:
            mode = stat.S_IMODE(probe.stat().st_mode)
        finally:
            probe.unlink()
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) != mode:
                file.chmod(mode)


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Within the block ``path`` is read. Where that fails because it, or a file in it, may not be, this is said.

    Libraries take what is closed for damaged, or for not there; so the rights are asked for, and not the exception.

    Raises:
        W2SError: something on the way may not be read.
    """
    try:
        yield
    except Exception as error:
        if closed(path):
            raise refused(path) from error
        raise


def closed(path: Path) -> Path | None:
    """The first thing that this user may not read: a folder on the way, the path, or a file in it; None: all may be."""
    for place in (*reversed(path.absolute().parents), path):
        try:
            folder = stat.S_ISDIR(place.stat().st_mode)
        except OSError:
            return None
        if not _may(place, os.X_OK if place != path else os.R_OK | (os.X_OK if folder else 0)):
            return place
    files = sorted(path.iterdir()) if folder else []
    return next((each for each in files if each.exists() and not _may(each, os.R_OK)), None)


def _may(path: Path, rights: int) -> bool:
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def refused(path: Path, otherwise: str = "") -> W2SError:
    """The sentence for a file or folder that is there and may not be read: no damage, but a matter of rights.

    Args:
        otherwise: what else would help.
    """
    path = closed(path) or path  # what is to be opened is the first closed thing on the way
    try:
        status = path.stat()
        owner = f" (owner {_user(status.st_uid)}, mode {stat.S_IMODE(status.st_mode):04o})"
    except OSError:
        owner = ""
    return W2SError(
        f"{path} may not be read by {_user(os.geteuid())}{owner}; nothing is wrong with it: ask its owner for "
        f"`chmod -R a+rX {path}`{otherwise}"
    )


def _user(number: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return f"user {number}"
