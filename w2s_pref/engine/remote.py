"""A store at a URL that fsspec knows: artifacts are built and read in a local cache, the URL holds what all share.

An artifact goes up file by file, its manifest last, so that without a manifest nothing stands. It comes down on need,
every file checked. Checkpoints of unfinished work stay in the cache.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, file_hash, masked
from w2s_pref.core.paths import cache_root, local_path
from w2s_pref.core.tables import digest
from w2s_pref.engine.locks import Lease, Locks
from w2s_pref.engine.manifest import MANIFEST, Damaged, manifest_of, sealed
from w2s_pref.engine.store import Artifact, Store, move_in

#: Extras of this package by protocol.
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
#: Seconds between two heartbeats: every one is a paid request.
BEAT = 15.0


def cache_folder(url: str) -> Path:
    """The local cache of a store: under ``W2S_CACHE``, else ``~/.cache/w2s_pref``."""
    return cache_root() / "stores" / digest("store", url.rstrip("/"))[:16]


class Remote:
    """A folder at a URL. Everything that fails there is a sentence."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.url = url.rstrip("/")
        try:
            self.fs, self.root = url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            extra = EXTRAS.get(url.partition(":")[0])
            mend = f"pip install 'w2s-pref[{extra}]'" if extra else "install what it names"
            raise W2SError(f"store: {url} needs a package that is not here ({error}); {mend}") from error
        except ValueError as error:
            raise W2SError(f"store: {url}: {error}; give a folder, or a URL such as s3://bucket/folder") from error

    def path(self, *parts: str) -> str:
        """A path below the URL."""
        return "/".join([str(self.root).rstrip("/"), *parts])

    @contextlib.contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Turn whatever a file system raises into a sentence."""
        try:
            yield
        except (W2SError, FileNotFoundError, FileExistsError):
            raise
        except Exception as error:
            reason = masked((str(error).strip().splitlines() or [""])[0])[:160]
            raise W2SError(
                f"store: {what} {self.url} failed ({type(error).__name__}: {reason}); what was built is kept here, "
                "and the same command continues"
            ) from error

    def read(self, *parts: str) -> bytes | None:
        """A small file, or None."""
        with self.telling("reading from"):
            try:
                return bytes(self.fs.cat_file(self.path(*parts)))
            except FileNotFoundError:
                return None

    def write(self, data: bytes, *parts: str, mode: str = "wb") -> None:
        """Write a small file; mode ``xb`` raises FileExistsError where the file system can see that one is there."""
        with self.telling("writing to"):
            self.fs.makedirs(self.path(*parts[:-1]), exist_ok=True)
            with self.fs.open(self.path(*parts), mode) as handle:
                handle.write(data)

    def upload(self, source: Path, *parts: str) -> None:
        """Copy a file up."""
        with self.telling("writing to"):
            self.fs.makedirs(self.path(*parts[:-1]), exist_ok=True)
            self.fs.put_file(str(source), self.path(*parts))

    def download(self, target: Path, *parts: str) -> None:
        """Copy a file down."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.telling("reading from"):
            self.fs.get_file(self.path(*parts), str(target))

    def move(self, source: tuple[str, ...], target: tuple[str, ...]) -> None:
        """Move a file, if it is there."""
        with self.telling("writing to"), contextlib.suppress(FileNotFoundError):
            self.fs.makedirs(self.path(*target[:-1]), exist_ok=True)
            self.fs.mv(self.path(*source), self.path(*target))

    def remove(self, *parts: str) -> None:
        """Remove a file, if it is there."""
        with self.telling("writing to"), contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self.path(*parts))


class LeaseObjects:
    """Leases as objects: exclusive where the file system can create exclusively, else as far as reading back shows."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def create(self, name: str, data: bytes) -> bool:
        """Write where nothing stands, then read back what stands."""
        if self.read(name) is not None:
            return False
        try:
            self._write(name, data)
        except FileExistsError:
            return False
        found = self.read(name)
        return found is not None and Lease.decode(found).token == Lease.decode(data).token

    def _write(self, name: str, data: bytes) -> None:
        try:
            self.remote.write(data, "locks", f"{name}.lease", mode="xb")
        except W2SError as error:
            if not isinstance(error.__cause__, ValueError | NotImplementedError):
                raise
            self.replace(name, data)  # a file system that cannot create exclusively

    def read(self, name: str) -> bytes | None:
        """What stands there, or None."""
        return self.remote.read("locks", f"{name}.lease")

    def beat(self, name: str, token: str, data: bytes) -> bool:
        """Write the lease again, if it still is the one of that token."""
        found = self.read(name)
        if found is None:
            return True
        if Lease.decode(found).token != token:
            return False
        self.replace(name, data)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Write over what stands there."""
        self.remote.write(data, "locks", f"{name}.lease")

    def remove(self, name: str) -> None:
        """Take the lease away."""
        self.remote.remove("locks", f"{name}.lease")


class RemoteStore(Store):
    """Artifacts under ``URL/KIND/KEY``, laid out as in a local store; ``root`` is the local cache."""

    poll = 5.0

    def __init__(self, url: str) -> None:
        super().__init__(cache_folder(url))
        self.remote = Remote(url)
        self.locks = Locks(LeaseObjects(self.remote), beat=BEAT)
        self._metas: dict[str, dict[str, Any] | None] = {}

    def __str__(self) -> str:
        return masked(self.remote.url)

    def has(self, kind: str, key: str) -> bool:
        """True where a manifest stands at the URL. One that was there is not asked for twice: requests take time."""
        if key not in self._metas:
            manifest = self.remote.read(kind, key, MANIFEST)
            if manifest is None:
                return False
            self._metas[key] = self._meta_of(manifest, kind, key)
        return True

    @staticmethod
    def _meta_of(manifest: bytes, kind: str, key: str) -> dict[str, Any] | None:
        try:
            return dict(manifest_of(manifest, kind, key)["meta"])
        except Damaged:
            return None

    def meta(self, kind: str, key: str) -> dict[str, Any] | None:
        """From the cache where it is there, else from the manifest at the URL; nothing else comes down."""
        local = super().meta(kind, key)
        return self._metas[key] if local is None and self.has(kind, key) else local

    def stands(self, kind: str, key: str) -> bool:
        """True where a readable manifest stands at the URL: its files come down, and are checked, when they are read.

        What is in the cache is checked now, as in a local store.
        """
        cached = super().meta(kind, key) is not None
        return (not cached and self.meta(kind, key) is not None) or super().stands(kind, key)

    def get(self, kind: str, key: str) -> Artifact | None:
        """The artifact from the cache, else from the URL. What the cache alone has (an upload failed) goes up now."""
        if key in self._verified:
            return self._verified[key]
        manifest = self.remote.read(kind, key, MANIFEST)
        artifact = super().get(kind, key)
        if artifact is not None:
            if manifest is not None and self._meta_of(manifest, kind, key) is None:  # killed while it went up
                self._set_aside_remote(kind, key, manifest, "has a damaged manifest", "carried up")
                manifest = None
            if manifest is None:
                self._upload(kind, key, artifact)
            return artifact
        if manifest is None or not self._download(kind, key, manifest):
            return None
        return super().get(kind, key)

    def commit(self, kind: str, key: str, temporary: Path, payload: dict[str, Any], meta: dict[str, Any]) -> Artifact:
        """Commit to the cache and carry up what stands there then."""
        artifact = super().commit(kind, key, temporary, payload, meta)
        self._upload(kind, key, artifact)
        return artifact

    def free(self, kind: str, key: str) -> bool:
        """Refused: what stands at the URL is everybody's.

        Raises:
            W2SError: always.
        """
        raise W2SError(
            f"store: {self} is everybody's, and nothing is freed there; the cache on this machine, {self.root}, may be "
            "removed as a whole: what is read again comes down again"
        )

    def _upload(self, kind: str, key: str, artifact: Artifact) -> None:
        if self.has(kind, key):  # another run was first; what stands stays
            return
        for name in artifact.manifest["files"]:
            self.remote.upload(artifact.folder / name, kind, key, *Path(name).parts)
        self.remote.upload(artifact.folder / MANIFEST, kind, key, MANIFEST)

    def _download(self, kind: str, key: str, data: bytes) -> bool:
        """Bring an artifact into the cache. False, and the artifact set aside, where a file does not match."""
        temporary = self.temporary(f"fetch-{kind}-{key}")
        with self.guard():
            temporary.mkdir(parents=True)
            try:
                self._fetch(kind, key, data, temporary)
                move_in(temporary, self.place(kind, key))
            except Damaged as damage:
                self._set_aside_remote(kind, key, data, str(damage))
                return False
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return True

    def _fetch(self, kind: str, key: str, data: bytes, folder: Path) -> None:
        manifest = manifest_of(data, kind, key)
        for name, value in manifest["files"].items():
            try:
                self.remote.download(folder / name, kind, key, *Path(name).parts)
            except FileNotFoundError as error:
                raise Damaged(f"lacks a file ({name})") from error
            if file_hash(folder / name) != value:
                raise Damaged("did not match its hashes")
        # Times of change are of this machine's files, not of those that were hashed first.
        (folder / MANIFEST).write_text(json.dumps(sealed({**manifest, "stamps": {}}), indent=1), encoding="utf-8")

    def _set_aside_remote(self, kind: str, key: str, data: bytes, why: str, then: str = "built") -> None:
        """Move the manifest first: without it nothing stands; then the files it names, for who wants to look."""
        target = f"{kind}-{key}-{time.time_ns()}"
        self._metas.pop(key, None)
        self.remote.move((kind, key, MANIFEST), ("corrupted", target, MANIFEST))
        with contextlib.suppress(Damaged):
            for name in manifest_of(data, kind, key)["files"]:
                self.remote.move((kind, key, *Path(name).parts), ("corrupted", target, *Path(name).parts))
        print(f"store: {self}/{kind}/{key} {why}; moved to {self}/corrupted/{target} and {then} again")


def open_store(place: str) -> Store:
    """The store of a folder, or of a URL that fsspec knows (``s3://``, ``gs://``, …).

    Raises:
        W2SError: a URL whose file system is not installed or not known.
    """
    if "://" not in place:
        return Store(local_path(place, "store"))
    return RemoteStore(place)
