"""Where leases of a store on a file system lie: files that are linked, written over in place and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from w2s_pref.engine.identity import alive, myself
from w2s_pref.engine.locks import COUNTER, Lease

#: What file systems without hard links say.
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK}


class LeaseFolder:
    """Leases under ``root/locks``; their unfinished files under ``root/tmp``, which the store sweeps."""

    def __init__(self, root: Path) -> None:
        self.folder, self.tmp = root / "locks", root / "tmp"

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.lease"

    @contextlib.contextmanager
    def _written(self, data: bytes) -> Iterator[Path]:
        """A file with the whole lease in it, to be linked or renamed into place."""
        for folder in (self.folder, self.tmp):
            folder.mkdir(parents=True, exist_ok=True)
        path = self.tmp / f"lease{uuid.uuid4().hex}-{myself().tag}"
        try:
            with path.open("xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            yield path
        finally:
            path.unlink(missing_ok=True)

    def create(self, name: str, data: bytes) -> bool:
        """Link a whole file into place: there is no moment in which an empty one stands there."""
        if self._path(name).exists():
            return False
        with self._written(data) as path:
            try:
                os.link(path, self._path(name))
            except FileExistsError:
                # A server whose answer got lost is asked twice; the number of links knows what happened.
                return bool(path.stat().st_nlink == 2)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                return self._create_exclusive(name, data)
        return True

    def _create_exclusive(self, name: str, data: bytes) -> bool:
        try:
            with self._path(name).open("xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
        except FileExistsError:
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """What stands there, or None."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def beat(self, name: str, token: str, data: bytes) -> bool:
        """Write the counter into this very file: one renamed over it meanwhile is another file and stays untouched."""
        try:
            handle = self._path(name).open("r+b", buffering=0)
        except FileNotFoundError:
            return True  # taken away by hand, by nobody who builds
        with handle:
            if Lease.decode(handle.read()).token != token:
                return False
            handle.seek(0)
            handle.write(data[:COUNTER])
            os.fsync(handle.fileno())
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Rename a whole file over the one that stands there."""
        with self._written(data) as path:
            path.replace(self._path(name))

    def remove(self, name: str) -> None:
        """Take the lease away."""
        self._path(name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove rights to replace a lease that is gone, left by processes of this machine that are gone, too.

        A right is named after the token of the lease; no other lease will have that one, so nobody asks for it again.
        """
        for path in self.folder.glob("*.*.lease"):
            name, _, token = path.name.removesuffix(".lease").rpartition(".")
            right, lease = self.read(f"{name}.{token}"), self.read(name)
            gone = lease is None or Lease.decode(lease).token != token
            if gone and right is not None and alive(Lease.decode(right).process) is False:
                path.unlink(missing_ok=True)
