"""How many workers of a run share each GPU: the process that starts them says it in their environment."""

from __future__ import annotations

import os

#: The environment variable.
GPU_SHARE = "W2S_GPU_SHARE"

#: Bytes of a GPU's memory that a process takes before it holds anything: kernels and the allocator's first blocks.
EMPTY_ON_GPU = 1_000_000_000


def gpu_share() -> int:
    """Processes that share the GPU of this one, itself included."""
    return int(os.environ.get(GPU_SHARE, "1"))
