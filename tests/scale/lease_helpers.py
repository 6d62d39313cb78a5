"""What the tests of leases share: other processes, other machines, and a game that several processes play."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

from w2s_pref.engine import identity
from w2s_pref.engine.identity import Identity, myself
from w2s_pref.engine.lease_folder import LeaseFolder
from w2s_pref.engine.locks import Lease, Locks, Shelf

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def dead_here() -> Identity:
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    found = replace(myself(), pid=process.pid, start=str(identity.started(process.pid)))
    process.communicate(b"\n")
    return found


def elsewhere(number: int = 1) -> Identity:
    """A process of another machine."""
    return Identity(f"machine-{number}", f"{number:012x}", 77, "5")


def put_lease(shelf: Shelf, name: str, process: Identity, since: str = "09:41", beat: int = 3) -> Lease:
    """A lease that some process holds."""
    lease = Lease(uuid.uuid4().hex, process, since, beat)
    assert shelf.create(name, lease.encode())
    return lease


def play(folder: Path, rounds: int, seed: int, place: str) -> None:
    """Take one lease again and again; now and then die holding it. The kernel's own lock says who was let in at once.

    ``place`` stands for the machine: with a place of its own, a process that dies is known by its heartbeat only.
    """
    if place:
        identity.this_place.cache_clear()
        identity.this_place = lambda: place  # type: ignore[assignment]
    locks, draw = Locks(LeaseFolder(folder), beat=0.05, lease=2.0), random.Random(seed)
    entered = 0
    while entered < rounds:
        held = locks.take("model-k")
        if held is None:
            time.sleep(draw.random() * 0.02)
            continue
        entered += 1
        with (folder / "oracle").open("ab") as oracle:
            fcntl.flock(oracle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where another is inside
            with (folder / "entries").open("a") as entries:
                entries.write(f"{os.getpid()}\n")
            time.sleep(draw.random() * 0.01)
            if entered == rounds:
                os.kill(os.getpid(), signal.SIGKILL)
        held.release()


if __name__ == "__main__":
    play(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
