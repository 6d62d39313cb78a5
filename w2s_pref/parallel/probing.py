"""Score in the middle of a training without leaving a trace: modes, random numbers and gradients stay as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, PartialState, is_initialized
from accelerate.utils import DistributedType, broadcast_object_list, gather_object

from w2s_pref.core.arrays import Floats

#: Here every process holds all weights and may score a share alone; elsewhere a forward pass takes all processes.
REPLICATED = frozenset(
    {DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.MULTI_NPU}
)


@contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Within it the model is in eval mode and nothing is recorded for backward; afterwards all is as before."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(numpy)


def _state() -> Any:
    """The Accelerator's state, which knows of sharded weights; a loop without an Accelerator shards none."""
    return AcceleratorState() if is_initialized() else PartialState()


def shard() -> tuple[int, int]:
    """(rank, world) of this process's share of the probe; (0, 1), all of it, where weights are sharded."""
    state = _state()
    if state.num_processes == 1 or state.distributed_type not in REPLICATED:
        return 0, 1
    return int(state.process_index), int(state.num_processes)


def gathered(values: Floats, share: tuple[int, int]) -> Floats:
    """Every process's shares as one array: (N,), NaN where no process has a number."""
    if share[1] == 1:
        return values
    return np.asarray(np.fmax.reduce(np.stack(gather_object([values]))), dtype=np.float64)


def agreed(value: Any) -> Any:
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
