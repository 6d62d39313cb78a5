"""Trainings whose model is divided among processes: what a trainer is told, whether it came so, the way back."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError
from w2s_pref.parallel.world import division

if TYPE_CHECKING:
    from transformers import Trainer


#: Folders of ``checkpoints``: what divided the model, and among how many processes.
_DIVIDED = re.compile(r"(deepspeed\d?|fsdp)-(\d+)")


def device_arguments(accelerator_here: bool) -> dict[str, Any]:
    """Training arguments that put a training where the launch wants it.

    With ``use_cpu`` accelerate ignores DeepSpeed, and without a backend it forms no group on CPUs.
    """
    if division() is None or accelerator_here:
        return {"use_cpu": not accelerator_here}
    return {"use_cpu": False, "ddp_backend": "gloo"}


def checkpoints(work: Path) -> Path:
    """Where checkpoints of this launch live: those of a divided model fit only the same division."""
    if division() is None:
        return work
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "") if division() == "deepspeed" else ""
    return work / f"{division()}{stage}-{os.environ.get('WORLD_SIZE', '1')}"


def reached(work: Path) -> dict[str, int]:
    """Step of the newest checkpoint by what divided the model: "" undivided, else such as "deepspeed3, 2 processes"."""
    folders = {"": work}
    for folder in work.glob("*-*"):
        if divided := _DIVIDED.fullmatch(folder.name):
            folders[f"{divided[1]}, {divided[2]} process{'es' * (divided[2] != '1')}"] = folder
    steps = {how: _steps(folder) for how, folder in folders.items()}
    return {how: max(each) for how, each in steps.items() if each}


def _steps(folder: Path) -> list[int]:
    named = [path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*")]
    return [int(step) for step in named if step.isdecimal()]


def check(trainer: Trainer) -> None:
    """The trainer divides the model as the launch said, and nothing beside the recipe changes the optimisation.

    Raises:
        W2SError: it does not, or the launch's configuration sets what is the recipe's.
    """
    precision = "bf16" if trainer.args.bf16 else "fp16" if trainer.args.fp16 else "no"
    if trainer.accelerator.mixed_precision != precision:
        raise W2SError(
            f"the launch sets mixed_precision {trainer.accelerator.mixed_precision!r}, the recipe's training "
            f'{precision!r}; set bf16 or fp16 in the recipe\'s training, and mixed_precision: "no" for the launch'
        )
    found = trainer.accelerator.distributed_type.value.lower()
    if division() is not None and found != division():
        raise W2SError(f"launched to divide models by {division()}, but accelerate formed {found}")
    if division() == "deepspeed":
        _check_deepspeed(trainer.accelerator.state.deepspeed_plugin.deepspeed_config, trainer.args.max_grad_norm)


def _check_deepspeed(config: dict[str, Any], max_grad_norm: float) -> None:
    for name in ("optimizer", "scheduler"):
        if name in config:
            raise W2SError(f"the DeepSpeed configuration has a block {name!r}, which is the recipe's to say; remove it")
    if config.get("gradient_clipping", 0) != max_grad_norm:
        raise W2SError(
            f"the DeepSpeed configuration clips gradients at {config.get('gradient_clipping', 0)}, the recipe's "
            f"training.max_grad_norm is {max_grad_norm}; write gradient_clipping: auto"
        )
    zero = config.get("zero_optimization", {})
    if zero.get("stage") == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
        raise W2SError(
            "ZeRO-3 would save pieces instead of a model; set zero3_save_16bit_model: true (in DeepSpeed's own file: "
            "stage3_gather_16bit_weights_on_model_save)"
        )


def release(trainer: Trainer) -> None:
    """Leave the division behind: what is loaded next, to score or to train, is an ordinary whole model."""
    if division() != "deepspeed":
        return
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    trainer.deepspeed.destroy()
    trainer.accelerator.free_memory()
    unset_hf_deepspeed_config()  # or from_pretrained would divide every model to come
    gc.collect()
