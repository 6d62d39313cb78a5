"""What is set before a training and before models are loaded: the environment, and what libraries say by themselves."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from huggingface_hub import constants

from w2s_pref.core import collector


def set_environment() -> None:
    """Before a training: no telemetry, and DeepSpeed told that it computes on the CPU where there is no GPU.

    What the user's environment says already stays. Only a training sets this, never an import.
    """
    if not {"HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY"} & os.environ.keys():
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # for child processes
        constants.HF_HUB_DISABLE_TELEMETRY = True  # what this one read when huggingface_hub was imported
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or DeepSpeed warns that it found nothing else


def quiet() -> None:
    """Before models are loaded: libraries' own chatter off, nobody told of the run, their imports left in peace."""
    set_environment()
    torch.backends.cuda.enable_cudnn_sdp(False)  # its kernels are planned anew for every width, and widths vary
    collector.spare_imports()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")


@contextmanager
def rounding_kept() -> Iterator[None]:
    """After a training, products in float32 round as before it.

    transformers sets ``tf32``, and TF32 for ``torch_compile``, for the whole process; a score would depend on what the
    process trained before it. Its setting is torch's since 2.9; before, it is the one of cuBLAS and of cuDNN.
    """
    places: list[tuple[Any, str]] = [(torch.backends, "fp32_precision")]
    if not hasattr(torch.backends, "fp32_precision"):
        places = [(torch.backends.cuda.matmul, "allow_tf32"), (torch.backends.cudnn, "allow_tf32")]
    before = [getattr(place, name) for place, name in places]
    try:
        yield
    finally:
        for (place, name), value in zip(places, before, strict=True):
            setattr(place, name, value)
