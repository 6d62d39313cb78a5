"""The store: content-addressed artifacts, each a folder that is whole or absent.

An artifact is written into a temporary folder beside its place, its manifest (hash of every file) last, then renamed
in one step. Work that may be continued (checkpoints) lives under ``partial/`` until the artifact stands.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, disk_sentence, file_hash, system_error
from w2s_pref.core.files import by_umask
from w2s_pref.engine.identity import Identity, alive, myself
from w2s_pref.engine.lease_folder import LeaseFolder
from w2s_pref.engine.locks import Held, Lease, Locks
from w2s_pref.engine.manifest import MANIFEST, Damaged, closed_to_us, manifest_of, sealed, stamp, verified

#: Bytes above which a file whose size and time of change are as written is not hashed again.
LARGE = 256_000_000
#: How the names of files end that hold the weights of a model.
WEIGHTS = ".safetensors"
#: Folders of a store that hold no artifacts but what is begun or damaged.
NO_KINDS = ("partial", "tmp", "corrupted")


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: its folder and its manifest."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        """What the stage wrote about itself (rows, steps, seconds, …)."""
        return dict(self.manifest["meta"])

    @property
    def freed(self) -> frozenset[str]:
        """Names of its files that were removed to make room: the weights of a model that nothing read any more."""
        return frozenset(self.manifest.get("freed", ()))


class Store:
    """Artifacts under ``root/KIND/KEY``."""

    #: Seconds between two looks at what another run is building.
    poll = 1.0

    def __init__(self, root: Path) -> None:
        self.root = root
        self.locks = Locks(LeaseFolder(root))
        self._verified: dict[str, Artifact] = {}

    def __str__(self) -> str:
        return str(self.root)

    def place(self, kind: str, key: str) -> Path:
        """Where the artifact of that key stands, or would stand."""
        return self.root / kind / key

    def partial(self, kind: str, key: str) -> Path:
        """Where unfinished work of that key is kept."""
        return self.root / "partial" / f"{kind}-{key}"

    def has(self, kind: str, key: str) -> bool:
        """True where a manifest stands (files are checked by ``get``)."""
        folder = self._folder(kind, key)
        try:
            return folder is not None and (folder / MANIFEST).is_file()
        except PermissionError as error:
            raise closed_to_us(self.place(kind, key)) from error

    def stands(self, kind: str, key: str) -> bool:
        """True where the artifact is there and nothing speaks against it: here, every file is checked."""
        return self.get(kind, key) is not None

    def meta(self, kind: str, key: str) -> dict[str, Any] | None:
        """What the stage wrote about itself, or None where there is no artifact. No file is read but the manifest."""
        if key in self._verified:
            return self._verified[key].meta
        found = self._manifest(kind, key)
        return None if found is None else dict(found["meta"])

    def freed(self, kind: str, key: str) -> bool:
        """True where an artifact stands of which files were freed. No file is read but the manifest."""
        found = None if key in self._verified else self._manifest(kind, key)
        return bool(found and found.get("freed"))

    def _manifest(self, kind: str, key: str) -> dict[str, Any] | None:
        """What the artifact says of itself, or None where there is none that can be read."""
        folder = self._folder(kind, key)
        try:
            return None if folder is None else manifest_of((folder / MANIFEST).read_bytes(), kind, key)
        except PermissionError as error:
            raise closed_to_us(self.place(kind, key) / MANIFEST) from error
        except (FileNotFoundError, Damaged):
            return None

    def _folder(self, kind: str, key: str) -> Path | None:
        """The folder of the artifact, or None where nothing stands.

        Raises:
            W2SError: something else stands there: a file, or a link that leads nowhere or out of the store.
        """
        place = self.place(kind, key)
        self._refuse_links_out(place.parent, self.root / "tmp")
        try:
            mode = place.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise closed_to_us(place.parent) from error
        if stat.S_ISDIR(mode):
            return place
        if not stat.S_ISLNK(mode):
            what = "is a file"
        elif not place.exists():
            what = "is a link that leads nowhere"
        elif place.is_dir() and place.resolve().is_relative_to(self.root.resolve()):
            return place
        else:
            what = f"is a link out of the store, to {place.resolve()}"
        raise W2SError(
            f"store: {place} {what}, and the folder of an artifact should stand there; remove it (rm {place}) and run "
            "the same command again: what is missing is built"
        )

    def _refuse_links_out(self, *folders: Path) -> None:
        """An artifact is renamed from ``tmp`` into its place, and read from the store alone; links break both."""
        for folder in folders:
            if os.path.islink(folder) and not folder.resolve().is_relative_to(self.root.resolve()):
                raise W2SError(
                    f"store: {folder} is a link out of the store, to {folder.resolve()}; a store moves as a whole: "
                    f"bring that folder back to {folder}, or give a store with more room (store=FOLDER)"
                )

    def get(self, kind: str, key: str) -> Artifact | None:
        """The artifact, every file checked against its hash, or None where there is none.

        A corrupted artifact is set aside (never served) and None is returned, so it is built again. One of which files
        were freed is served without them: ``Artifact.freed``.
        """
        if key in self._verified:
            return self._verified[key]
        while (folder := self._folder(kind, key)) is not None:
            seen = _which(folder)
            try:
                artifact = Artifact(folder, verified(folder, self.root.resolve(), kind, key))
                if not artifact.freed:  # another run may build it again
                    self._verified[key] = artifact
                return artifact
            except Damaged as damage:
                self._set_aside(folder, seen, str(damage))
        return None

    def _set_aside(self, folder: Path, seen: tuple[int, int] | None, why: str) -> None:
        """Move the folder that was ``seen`` to be damaged, unless another run was first, which may have built again."""
        target = self.root / "corrupted" / f"{folder.parent.name}-{folder.name}-{time.time_ns()}"
        with self.guard():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if seen is None or _which(folder) != seen:
                    return
                folder.rename(target)
            except FileNotFoundError:
                return
        print(f"store: {folder} {why}; moved to {target} and built again")

    @contextlib.contextmanager
    def writing(self, kind: str, key: str) -> Iterator[Path]:
        """A temporary folder to write the artifact into. Nothing of it stays if the block fails."""
        temporary = self.temporary(f"{kind}-{key}")
        with self.guard():
            temporary.mkdir(parents=True)
        try:
            with self.guard():
                yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def commit(self, kind: str, key: str, temporary: Path, payload: dict[str, Any], meta: dict[str, Any]) -> Artifact:
        """Hash the files, write the manifest, rename into place. If the place is taken, what stands there stays.

        Raises:
            W2SError: there is no file to commit, or it could not be read back.
        """
        by_umask(temporary)
        files = {str(p.relative_to(temporary)): file_hash(p) for p in sorted(temporary.rglob("*")) if p.is_file()}
        if not files:
            raise W2SError(f"stage {kind} wrote no file; a stage leaves at least one, also where it has nothing to say")
        stamps = {name: stamp(temporary / name) for name in files if (temporary / name).stat().st_size > LARGE}
        said = {"kind": kind, "key": key, "files": files, "stamps": stamps, "payload": payload, "meta": meta}
        for name in files:
            _fsync(temporary / name)
        with (temporary / MANIFEST).open("w", encoding="utf-8") as text:
            json.dump(sealed(said), text, indent=1)
            text.flush()
            os.fsync(text.fileno())
        self._make_way(kind, key, files)
        move_in(temporary, self.place(kind, key))
        shutil.rmtree(self.partial(kind, key), ignore_errors=True)
        artifact = self.get(kind, key)
        if artifact is None:
            place = self.place(kind, key)
            raise W2SError(f"store: {place} could not be read back right after it was written; is the disk sound?")
        return artifact

    def _make_way(self, kind: str, key: str, files: dict[str, str]) -> None:
        """Remove what stands in the place of an artifact built again because its files were freed, and compare them."""
        found = self._manifest(kind, key)
        if found is None or not found.get("freed"):
            return
        old = self.temporary(f"freed-{kind}-{key}")
        with contextlib.suppress(FileNotFoundError):  # another run was first
            self.place(kind, key).rename(old)
        shutil.rmtree(old, ignore_errors=True)
        if any(files.get(name) != found["files"][name] for name in found["freed"]):
            print(
                f"store: {self.place(kind, key)} was built again after its weights had been freed, and they are not as "
                "they were (another processor, or other versions): what was computed with those stays as it is"
            )

    def weights(self, kind: str, key: str) -> list[Path]:
        """The ``.safetensors`` of an artifact that are there; none where there is no artifact."""
        found, place = self._manifest(kind, key), self.place(kind, key)
        names = sorted(found["files"]) if found is not None else []
        return [place / name for name in names if name.endswith(WEIGHTS) and (place / name).is_file()]

    def free(self, kind: str, key: str) -> bool:
        """Remove an artifact's weights, and note in its manifest that they are gone.

        Returns:
            False where there are none, or where another run is building the artifact.
        """
        held = self.take(kind, key)
        if held is None:
            return False
        try:
            found = self._manifest(kind, key)
            files = self.weights(kind, key)
            if found is None or not files:
                return False
            names = [name for name in found["files"] if name.endswith(WEIGHTS)]
            fresh = self.temporary(f"manifest-{kind}-{key}")
            with self.guard():
                fresh.parent.mkdir(parents=True, exist_ok=True)
                fresh.write_text(json.dumps(sealed({**found, "freed": names}), indent=1), encoding="utf-8")
                _fsync(fresh)
                fresh.replace(self.place(kind, key) / MANIFEST)  # first: files that are gone without a note are damage
                self._verified.pop(key, None)
                for file in files:
                    file.unlink()
            return True
        finally:
            held.release()

    def temporary(self, what: str) -> Path:
        """A name under ``tmp`` that nobody else has: neither a thread, nor a container with the same process number."""
        return self.root / "tmp" / f"{what}-{uuid.uuid4().hex[:12]}-{myself().tag}"

    def take(self, kind: str, key: str) -> Held | None:
        """The right to build that artifact, or None while another run has it. Never waits."""
        with self.guard():
            held = self.locks.take(f"{kind}-{key}")
            if held is not None and held.taken_over:
                for folder in (self.root / "tmp").glob(f"{kind}-{key}-*"):  # of the dead holder, wherever it lived
                    shutil.rmtree(folder, ignore_errors=True)
        return held

    def holder(self, kind: str, key: str) -> Lease | None:
        """Who builds that artifact, as far as one can see: None where nobody does, or a process that is gone."""
        lease = self.locks.holder(f"{kind}-{key}")
        return None if lease is None or alive(lease.process) is False else lease

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
        """Remove what processes of this machine left that are gone. Other machines' files are not judged."""
        with contextlib.suppress(OSError):
            LeaseFolder(self.root).sweep()
        try:
            left = list((self.root / "tmp").glob("*"))
        except PermissionError as error:
            raise closed_to_us(self.root) from error
        for path in left:
            process = Identity.of_name(path.name)
            if process is not None and alive(process) is False:
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    path.unlink()


def move_in(temporary: Path, place: Path) -> None:
    """Rename a whole folder into its place; if another run was first, what stands there stays."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def _which(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another one in its place later; None where none stands."""
    try:
        status = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def _fsync(path: Path) -> None:
    """The file's bytes reach the disk before its name does."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
