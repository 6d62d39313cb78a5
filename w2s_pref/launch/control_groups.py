"""Limits of the control groups (containers, jobs of a cluster, systemd's units) that this process is in.

Version 1 has a tree of groups a controller, version 2 one for all. A process is in one group of each tree, and every
group around that one limits it as well. All trees are walked alike, and each group is asked by the names of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

#: Where the trees are mounted, and which groups this process is in: ``number:controllers:/path`` a line.
ROOT, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
#: Files of the limit of memory in bytes, and of what counts towards it.
MEMORY = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def processors() -> int | None:
    """Processors whose whole time the tightest quota gives, at least one; None without a quota."""
    return min((max(1, each) for group in _groups("cpu") for each in _quotas(group)), default=None)


def free_memory() -> int | None:
    """Bytes that are left in the fullest group; None without a limit."""
    return min((each for group in _groups("memory") for each in _left(group)), default=None)


def _quotas(group: Path) -> Iterator[int]:
    for texts in (_texts(group, "cpu.max"), _texts(group, "cpu.cfs_quota_us", "cpu.cfs_period_us")):
        words = " ".join(texts).split()
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):  # not "max", not -1
            yield int(words[0]) // int(words[1])


def _left(group: Path) -> Iterator[int]:
    for names in MEMORY:
        words = _texts(group, *names)
        if len(words) == 2 and all(word.isdigit() for word in words):
            yield max(0, int(words[0]) - int(words[1]) + _cached(group))


def _cached(group: Path) -> int:
    """Bytes of files in a group's memory, which make room where it is wanted; they count towards its limit."""
    lines = [line.partition(" ") for text in _texts(group, "memory.stat") for line in text.splitlines()]
    said = {name: int(value) for name, _, value in lines if value.isdigit()}
    return sum(said.get(f"total_{name}", said.get(name, 0)) for name in ("inactive_file", "active_file"))


def _texts(group: Path, *names: str) -> list[str]:
    """What these files hold; nothing where one cannot be read."""
    try:
        return [(group / name).read_text().strip() for name in names]
    except OSError:
        return []


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups with that controller: the one that this process is in, and all around it."""
    paths = {"": "", controller: ""}
    for line in "".join(_texts(OWN.parent, OWN.name)).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        paths |= {name: path for name in controllers.split(",") if name in paths}
    own = {name: [part for part in path.split("/") if part] for name, path in paths.items()}
    alone = [(tree, own[controller]) for tree in ROOT.glob("*") if controller in tree.name.split(",")]
    for tree, parts in ((ROOT, own[""]), (ROOT / "unified", own[""]), *alone):
        for depth in range(0 if ".." in parts else len(parts), -1, -1):  # a container may see its own group as the tree
            yield tree.joinpath(*parts[:depth])
