"""Who a process is, so that nobody mistakes it for another: on this machine, after a restart, in another container."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from w2s_pref.core.tables import digest


@dataclass(frozen=True)
class Identity:
    """A process. ``place`` stands for machine, boot and container; ``start`` tells two holders of one pid apart."""

    host: str
    place: str
    pid: int
    start: str

    @property
    def tag(self) -> str:
        """What names of temporary files end in: ``place-pid-start``."""
        return f"{self.place}-{self.pid}-{self.start}"

    @classmethod
    def of_name(cls, name: str) -> Identity | None:
        """The process whose temporary file has that name; None where the name does not end in a tag."""
        parts = name.rsplit("-", 3)
        return cls("", parts[1], int(parts[2]), parts[3]) if len(parts) == 4 and parts[2].isdigit() else None


def myself() -> Identity:
    """This process."""
    pid = os.getpid()
    return Identity(platform.node(), this_place(), pid, started(pid) or "0")


def alive(process: Identity) -> bool | None:
    """Whether the process lives, or None where that cannot be seen from here (another machine or container)."""
    if process.place != this_place():
        return None
    found = started(process.pid)
    if found is None and _hidden(process.pid):
        return None
    return found == process.start


def _hidden(pid: int) -> bool:
    """True where a process is there that belongs to somebody else and is kept from sight (``hidepid``)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return False


@cache
def this_place() -> str:
    """Hash of what process numbers are relative to: host name, boot, and on Linux the container's name space."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        boot = space = ""
    return digest("place", platform.node(), boot, space)[:12]


def started(pid: int) -> str | None:
    """When a process started, as its system counts it; None where it is gone or only waits to be buried.

    On Linux in clock ticks since the boot, which no change of the clock touches.
    """
    try:
        # The name (second field) may hold spaces and brackets; what follows the last bracket does not.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        # A zombie with threads has not ended yet: one of them still holds its files.
        gone = fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)
        return None if gone else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_elsewhere(pid)


def _started_elsewhere(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(int(process.create_time()))
    except psutil.NoSuchProcess:
        return None
