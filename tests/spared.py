"""What tests spare themselves: waiting for disks, and reading again what does not change while they run."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import shutil

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
