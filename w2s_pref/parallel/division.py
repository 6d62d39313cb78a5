"""Models divided among processes (DeepSpeed ZeRO, FSDP2): what the launch asks for, and what it cannot have here.

`accelerate launch --config_file …` says it through the environment; transformers' Trainer reads that. It says nothing
where it could not: on CPUs an FSDP launch trains plain data parallel. So it is refused here.
"""

from __future__ import annotations

import os
from typing import Literal

from w2s_pref.core.errors import W2SError

#: Ways to divide a model; without one every process holds all of it.
Division = Literal["deepspeed", "fsdp"]


def division() -> Division | None:
    """What this launch divides models with. Imports nothing."""
    if _flag("ACCELERATE_USE_DEEPSPEED"):
        return "deepspeed"
    return "fsdp" if _flag("ACCELERATE_USE_FSDP") else None


def _flag(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"


def refuse_impossible() -> None:
    """Say before any work what this machine, or this launch, cannot do.

    Raises:
        W2SError: FSDP without an accelerator (accelerate 1.15 would train data parallel and say nothing), or with
            models that only the first process loads.
    """
    if division() != "fsdp":
        return
    import torch

    if _flag("FSDP_CPU_RAM_EFFICIENT_LOADING"):
        raise W2SError(
            "fsdp_cpu_ram_efficient_loading: models that are loaded to score would be empty on all processes but the "
            "first; set it to false in the launch's configuration"
        )
    if not torch.accelerator.is_available():
        raise W2SError(
            "FSDP needs a GPU in every process: on CPUs accelerate would silently train plain data parallel; launch "
            "with accelerate_configs/ddp.yaml, zero2.yaml or zero3.yaml instead"
        )
