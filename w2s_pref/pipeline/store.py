"""The store: content-addressed artifacts, each a folder that is whole or absent.

An artifact is written into a temporary folder beside its place, its manifest (hash of every file) last, then renamed
in one step. Work that may be continued (checkpoints) lives under ``partial/`` until the artifact stands.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_pref.errors import W2SError
from w2s_pref.models.info import file_hash

MANIFEST = "manifest.json"
#: Bytes above which a file whose size and time of change are as written is not hashed again.
LARGE = 256_000_000


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        """What the stage wrote about itself (rows, steps, seconds, …)."""
        return dict(self.manifest["meta"])


class Store:
    """Artifacts under ``root/KIND/KEY``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._verified: dict[str, Artifact] = {}

    def place(self, kind: str, key: str) -> Path:
        """Where the artifact of that key stands, or would stand."""
        return self.root / kind / key

    def partial(self, kind: str, key: str) -> Path:
        """Where unfinished work of that key is kept."""
        return self.root / "partial" / f"{kind}-{key}"

    def has(self, kind: str, key: str) -> bool:
        """True where a manifest stands (files are checked by ``get``)."""
        return (self.place(kind, key) / MANIFEST).is_file()

    def get(self, kind: str, key: str) -> Artifact | None:
        """The artifact, every file checked against its hash, or None where there is none.

        A corrupted artifact is set aside (never served) and None is returned, so it is built again.
        """
        if key in self._verified:
            return self._verified[key]
        folder = self.place(kind, key)
        if not folder.is_dir():
            return None
        manifest = self._verify(folder)
        if manifest is None:
            self._set_aside(folder)
            return None
        self._verified[key] = Artifact(folder, manifest)
        return self._verified[key]

    @staticmethod
    def _verify(folder: Path) -> dict[str, Any] | None:
        try:
            manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            stamps = manifest["stamps"]
            whole = all(
                _stamp(folder / name) == stamps.get(name) or file_hash(folder / name) == value
                for name, value in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, AttributeError):
            return None
        return manifest if whole else None

    def _set_aside(self, folder: Path) -> None:
        target = self.root / "corrupted" / f"{folder.parent.name}-{folder.name}-{time.time_ns()}"
        with self.guard():
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another run was first
                folder.rename(target)
        print(f"store: {folder} did not match its hashes; moved to {target} and built again")

    @contextlib.contextmanager
    def writing(self, kind: str, key: str) -> Iterator[Path]:
        """A temporary folder to write the artifact into. Nothing of it stays if the block fails."""
        temporary = self.root / "tmp" / f"{kind}-{key}-{os.getpid()}"
        with self.guard():
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        try:
            with self.guard():
                yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def commit(self, kind: str, key: str, temporary: Path, payload: dict[str, Any], meta: dict[str, Any]) -> Artifact:
        """Hash the files, write the manifest, rename into place. If the place is taken, what stands there stays."""
        files = {str(p.relative_to(temporary)): file_hash(p) for p in sorted(temporary.rglob("*")) if p.is_file()}
        stamps = {name: _stamp(temporary / name) for name in files if (temporary / name).stat().st_size > LARGE}
        manifest = {"kind": kind, "key": key, "files": files, "stamps": stamps, "payload": payload, "meta": meta}
        for path in temporary.rglob("*"):
            if path.is_file():
                _fsync(path)
        with (temporary / MANIFEST).open("w", encoding="utf-8") as handle:
            json.dump(manifest, handle, indent=1)
            handle.flush()
            os.fsync(handle.fileno())
        place = self.place(kind, key)
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError, OSError) if place.is_dir() else contextlib.nullcontext():
            temporary.rename(place)
        shutil.rmtree(self.partial(kind, key), ignore_errors=True)
        artifact = self.get(kind, key)
        if artifact is None:
            raise W2SError(f"store: {place} could not be read back right after it was written; is the disk sound?")
        return artifact

    @contextlib.contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """One builder per artifact, also across processes; released by the system if its holder dies."""
        from filelock import FileLock

        held = FileLock(self.root / "locks" / f"{kind}-{key}.lock")
        with self.guard():
            (self.root / "locks").mkdir(parents=True, exist_ok=True)
            held.acquire()
        try:
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Turn a full disk or a read-only store into a sentence."""
        try:
            yield
        except W2SError:
            raise
        except Exception as error:
            found = system_error(error)
            if found is None:
                raise
            raise disk_sentence(found, "store", self.root) from error

    def sweep(self) -> None:
        """Remove temporary folders of processes that no longer live on this machine."""
        for folder in (self.root / "tmp").glob("*"):
            pid = folder.name.rsplit("-", 1)[-1]
            if pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def system_error(error: Exception) -> OSError | None:
    """The system's error behind an exception, or None. Torch, safetensors and tokenizers wrap it in kinds of theirs."""
    if isinstance(error, OSError):
        return error
    text = str(error)
    number = re.search(r"os error (\d+)", text)
    if number:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    if any(mark in text for mark in ("iostream error", "inline_container.cc", "PytorchStreamWriter")):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # torch's writer keeps the reason to itself
    return None


def disk_sentence(error: OSError, key: str, folder: Path) -> Exception:
    """A full, read-only or misplaced folder as a sentence; ``key`` is the recipe's key that names it."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return W2SError(
            f"{key}: no space left on the disk of {folder}; free some or give another {key} ({key}=FOLDER), "
            "then run the same command again: it continues where it stopped"
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.EIO}:
        return W2SError(f"{key}: {folder} cannot be written ({error.strerror}); give another: {key}=FOLDER")
    return error


def _stamp(path: Path) -> list[int]:
    """Size and time of change: enough to know a large file as the one that was hashed when it was written."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _fsync(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a user's file whole or not at all: temporary file beside it, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise W2SError(f"{path}: cannot be written ({error.strerror}); is the folder there and writable?") from error
