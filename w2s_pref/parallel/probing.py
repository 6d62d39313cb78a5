"""Scoring in the middle of a training, divided among its processes where each of them holds the whole model."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from accelerate.state import AcceleratorState, PartialState, is_initialized
from accelerate.utils import DistributedType, broadcast_object_list, gather_object

from w2s_pref.core.arrays import Floats

T = TypeVar("T")

#: Here every process holds all weights and may score a part alone; elsewhere a forward pass takes all processes.
REPLICATED = frozenset(
    {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.MULTI_NPU}
)


def _state() -> AcceleratorState | PartialState:
    """The Accelerator's state, which knows of sharded weights; a loop without an Accelerator shards none."""
    return AcceleratorState() if is_initialized() else PartialState()


def shard() -> tuple[int, int]:
    """(rank, world) of this process's part of the probe; (0, 1), all of it, where weights are sharded."""
    state = _state()
    if state.num_processes == 1 or state.distributed_type not in REPLICATED:
        return 0, 1
    return int(state.process_index), int(state.num_processes)


def gathered(values: Floats, part: tuple[int, int]) -> Floats:
    """Every process's part as one array: (N,), NaN where no process has a number; ``part`` as ``shard`` gave it."""
    if part[1] == 1:
        return values
    return np.asarray(np.fmax.reduce(np.stack(gather_object([values]))), dtype=np.float64)


def agreed(value: T) -> T:
    """The main process's value, on every process."""
    if _state().num_processes == 1:
        return value
    box = [value]
    broadcast_object_list(box)
    return box[0]


def synchronize() -> None:
    """Wait for the accelerator, so that the time of training steps is not taken for the monitor's."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
