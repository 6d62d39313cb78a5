"""What tests spare themselves: waiting for disks, and reading again what does not change while they run."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from w2s_pref.data.sources import Loaded, Source

MEMORY = "/dev/shm"
ROOM = 2 * 2**30


def folders_in_memory() -> None:
    """Temporary folders of tests in memory, where it has room: a run waits until the disk has each file it commits."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY)  # pytest's name for the folder of all tmp_path


def packages_once() -> None:
    """Accelerate reads the metadata of a dozen packages for each trainer, and every run asks for their versions."""
    importlib.metadata.metadata = functools.cache(importlib.metadata.metadata)
    importlib.metadata.version = functools.cache(importlib.metadata.version)


def worlds_once() -> None:
    """The 16,384 pairs of the embedded world are read once, and not, for seconds, by every recipe that is opened."""
    from w2s_pref.data import config

    load = config.load
    known: dict[tuple[str, int], Loaded] = {}

    @functools.wraps(load)
    def once(source: Source, base: Path = Path(), version: int = 2) -> Loaded:
        if source.names() != ["testbed"]:
            return load(source, base, version)
        key = source.model_dump_json(), version
        if key not in known:
            known[key] = load(source, base, version)
        found = known[key]
        return replace(found, frame=found.frame.copy(), counts=dict(found.counts), notes=list(found.notes))

    config.load = once
