"""Locks that also hold between machines: leases with a heartbeat, on a shared file system or an object store.

A lease is a small file, created only where there is none, that names its holder and counts heartbeats. On the holder's
own machine a dead process frees it at once. Elsewhere it counts as dead after its heartbeat did not *change* for
``LEASE`` seconds of the waiter's own monotonic clock: no clocks of two machines and no times of files are compared.

Every lease has a token of its own. Only who holds the *right* to the dead lease's token (a lease again, under the name
``NAME.TOKEN``) may put another in its place, so of several that see it dead one takes it over.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from w2s_pref.core.tables import digest
from w2s_pref.engine.identity import Identity, alive, myself

#: Seconds between two heartbeats.
BEAT = 5.0
#: Seconds without a change after which a lease of another machine counts as dead.
LEASE = 120.0
#: Digits of the counter at the start of a lease, which is written over in place.
COUNTER = 20


class Shelf(Protocol):
    """Where leases lie."""

    def create(self, name: str, data: bytes) -> bool:
        """Put a lease where there is none; False where there is one."""

    def read(self, name: str) -> bytes | None:
        """What stands there, or None."""

    def beat(self, name: str, token: str, data: bytes) -> bool:
        """Write a heartbeat into the lease of that token; False where another stands there."""

    def replace(self, name: str, data: bytes) -> None:
        """Put a lease in the place of another."""

    def remove(self, name: str) -> None:
        """Take the lease away."""


class LeaseLost(Exception):
    """Another run took over what this process was building: it had shown no heartbeat for too long."""


@dataclass(frozen=True)
class Lease:
    """What a lease says."""

    token: str
    process: Identity
    since: str = ""
    beat: int = 0

    def encode(self) -> bytes:
        """The counter, with as many digits always, then everything else."""
        who = {"host": self.process.host, "place": self.process.place, "pid": self.process.pid}
        body = json.dumps({"token": self.token, **who, "start": self.process.start, "since": self.since})
        return f"{self.beat:0{COUNTER}d}\n{body}\n".encode()

    @classmethod
    def decode(cls, data: bytes) -> Lease:
        """Read a lease. One that is only half there has a holder who is not known, and a token made from its bytes."""
        try:
            counter, _, body = data.partition(b"\n")
            value = json.loads(body)
            process = Identity(value["host"], value["place"], int(value["pid"]), value["start"])
            return cls(value["token"], process, value["since"], int(counter))
        except (ValueError, KeyError, TypeError):
            return cls(digest("lease", data.hex())[:32], Identity("an unknown machine", "", 0, ""))

    @property
    def holder(self) -> str:
        """For people."""
        return f"process {self.process.pid} on {self.process.host}, since {self.since or 'an unknown time'}"


class Held:
    """A lease that this process holds; a thread keeps it alive until ``release``."""

    def __init__(self, locks: Locks, name: str, lease: Lease, taken_over: bool) -> None:
        self.name, self.lease, self.taken_over = name, lease, taken_over
        self.lost = False
        self._locks = locks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._heartbeats, daemon=True, name=f"lease {name[:40]}")

    def start(self) -> Held:
        """Begin the heartbeats."""
        self._thread.start()
        return self

    def _heartbeats(self) -> None:
        while not self._stop.wait(self._locks.beat) and not self.lost:
            self.lease = replace(self.lease, beat=self.lease.beat + 1)
            self._beat()

    def _beat(self) -> None:
        try:
            self.lost = not self._locks.shelf.beat(self.name, self.lease.token, self.lease.encode())
        except Exception:  # a store that cannot be reached now; at the next beat it may, and a lost lease is harmless
            return

    def check(self) -> None:
        """Raise ``LeaseLost`` where a heartbeat found the lease in other hands."""
        if self.lost:
            raise LeaseLost(self.name)

    def confirm(self) -> None:
        """Look at the lease itself: ``LeaseLost`` where another holds it."""
        self._beat()
        self.check()

    def release(self) -> None:
        """Stop the heartbeats and take the lease away, unless it is another's by now."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._locks.give_up(self.name, self.lease.token)


@dataclass
class _Seen:
    """A lease of another machine as last looked at, and for how long it has not changed."""

    value: tuple[str, int]
    last: float
    quiet: float = 0.0


class Locks:
    """The leases of one store."""

    def __init__(self, shelf: Shelf, beat: float = BEAT, lease: float = LEASE) -> None:
        self.shelf = shelf
        self.beat, self.lease = beat, lease
        self._seen: dict[str, _Seen] = {}

    def holder(self, name: str) -> Lease | None:
        """The lease that stands there, dead or alive."""
        data = self.shelf.read(name)
        return None if data is None else Lease.decode(data)

    def take(self, name: str) -> Held | None:
        """Take a lease that is free, or whose holder is dead. One try; never waits."""
        lease, taken_over = self._take(name)
        return None if lease is None else Held(self, name, lease, taken_over).start()

    def _take(self, name: str) -> tuple[Lease | None, bool]:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        mine = Lease(uuid.uuid4().hex, myself(), now)
        if self.shelf.create(name, mine.encode()):
            return mine, False
        found = self.holder(name)
        if found is None or not self._dead(name, found) or not self._replace(name, found.token, mine):
            return None, False
        return mine, True

    def _replace(self, name: str, token: str, mine: Lease | None) -> bool:
        """Put ``mine`` (None: nothing) in the place of the lease of that token, which nobody else may do meanwhile."""
        right, _ = self._take(f"{name}.{token}")
        if right is None:
            return False
        try:
            found = self.holder(name)
            if found is None or found.token != token:  # somebody was first
                return False
            if mine is None:
                self.shelf.remove(name)
            else:
                self.shelf.replace(name, mine.encode())
            return True
        finally:
            self.shelf.remove(f"{name}.{token}")

    def give_up(self, name: str, token: str) -> None:
        """Take away the lease of that token, if it still stands."""
        try:
            self._replace(name, token, None)
        except OSError:  # a full disk has no room for the right either
            found = self.holder(name)
            if found is not None and found.token == token:
                self.shelf.remove(name)

    def _dead(self, name: str, found: Lease) -> bool:
        known = alive(found.process)
        if known is not None:
            return not known
        now, value = time.monotonic(), (found.token, found.beat)
        seen = self._seen.get(name)
        if seen is None or seen.value != value:
            self._seen[name] = _Seen(value, now)
            return False
        # Who did not look (asleep, or building for an hour) has seen nothing: a long gap counts as a short one.
        seen.quiet += min(now - seen.last, self.lease / 4)
        seen.last = now
        return seen.quiet >= self.lease
