"""How a run divides this machine where nobody says: how many workers, and how many threads each."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from w2s_pref.core.gpus import EMPTY_ON_GPU
from w2s_pref.engine.missing import missing
from w2s_pref.engine.stage import Stage
from w2s_pref.launch import control_groups
from w2s_pref.models.shapes import BYTES, shape
from w2s_pref.planning.cost.memory import training_memory
from w2s_pref.studies.kind import AnyOpened

#: Missing stages for which another worker is worth its start, five seconds of imports.
WORTH_A_WORKER = 6
#: Bytes of a worker before it trains: Python, torch, transformers, TRL and the data.
EMPTY_WORKER = 900_000_000
#: Main memory of one that trains on a GPU: 41 GB for 15 of them, measured with SmolLM2-135M and MiniLM.
WORKER_BESIDE_GPU = 3_000_000_000
#: Share of the free memory that the workers may fill.
FILLED = 0.7
#: Bytes of weights and training state below which one thread is as fast as two: the quickstart's models, measured.
ONE_THREAD = 200_000_000
#: Bytes of weights and training state up to which several workers share a GPU. It waits for Python four fifths of the
#: time with 135 million weights, and an eighteenth with 1.5 billion (``benchmarks/gpu_profile.py``, an H200).
SHARED_GPU = 8_000_000_000


@dataclass(frozen=True)
class Allocation:
    """Processes that build stages at once, the threads of each, and why; ``small``: for models that need one thread."""

    workers: int
    threads: int
    why: str
    small: bool = False

    def __str__(self) -> str:
        """What a user is told."""
        many = "1 process" if self.workers == 1 else f"{self.workers} processes"
        each = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{many} of {each} ({self.why}; --workers N sets another number)"


def allocate(opened: AnyOpened, cores: int, memory: int, gpus: Sequence[int] = ()) -> Allocation:
    """As many workers as have work at the same time, fit the memory, and have a core.

    Where there are GPUs, one worker each, or as many as its memory holds of small models, which leave it idle.

    Args:
        cores: that this process may use.
        memory: free bytes.
        gpus: bytes of memory of each GPU.
    """
    todo = missing(opened.stages, opened.store)
    need = max((training_memory(stage) or 0 for stage in todo), default=0)
    bounds = {
        "the cores": cores,
        "what can be built at the same time": min(_width(todo), ceil(len(todo) / WORTH_A_WORKER)),
        "the free memory": int(memory * FILLED / (EMPTY_WORKER + need)),
    }
    if gpus:
        bounds["the cores"] = max(cores, len(gpus))
        bounds["the free memory"] = max(len(gpus), int(memory * FILLED / WORKER_BESIDE_GPU))
        bounds["the GPUs"] = len(gpus) * _on_gpu(min(gpus), _on_gpus(opened, need))  # they are given out in turn
    limit = min(bounds, key=lambda name: bounds[name])
    workers = max(1, bounds[limit])
    small = not gpus and need <= ONE_THREAD
    return Allocation(workers, 1 if small else max(1, cores // workers), f"bound by {limit}", small)


def _on_gpu(memory: int, need: int | None) -> int:
    """Workers that share a GPU of so many bytes; one where nobody knows what they need."""
    if need is None or need > SHARED_GPU:
        return 1
    return max(1, int(memory * FILLED / (EMPTY_ON_GPU + need)))


def _on_gpus(opened: AnyOpened, need: int) -> int | None:
    """Bytes of the largest training, or of the largest model that is only read; None: a shape is not known."""
    shapes = [(shape(facts), BYTES.get(facts.spec.dtype, 4)) for facts in opened.study.models.values()]
    if any(known is None for known, _ in shapes):
        return None
    return max([need, *(known.parameters * size for known, size in shapes if known is not None)])


def _width(stages: list[Stage]) -> int:
    """Most of these stages that wait for nothing but stages built by then, when each takes as long as any other."""
    depth: dict[str, int] = {}
    for stage in stages:  # inputs come first
        depth[stage.key] = 1 + max((depth.get(needed.key, 0) for needed in stage.inputs.values()), default=0)
    return max(Counter(depth.values()).values(), default=1)


def cores() -> int:
    """Cores this process may use: its affinity, and the quotas of its containers."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, control_groups.processors() or here)


def memory() -> int:
    """Free bytes that this process may use: of the machine, and of the limits of its containers."""
    import psutil

    free: int = psutil.virtual_memory().available
    left = control_groups.free_memory()
    return free if left is None else min(free, left)


def here(opened: AnyOpened) -> Allocation | None:
    """What a run gets of this machine now; None: nothing is missing, or OMP_NUM_THREADS says how it is divided."""
    if os.environ.get("OMP_NUM_THREADS") or not missing(opened.stages, opened.store):
        return None
    return allocate(opened, cores(), memory(), _gpus())


def _gpus() -> list[int]:
    """Bytes of memory of each GPU that this process sees."""
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return []  # without importing torch
    import torch

    return [torch.cuda.get_device_properties(number).total_memory for number in range(torch.cuda.device_count())]
