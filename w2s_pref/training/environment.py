"""What is set before a training and before models are loaded: the environment, and what libraries say by themselves."""

from __future__ import annotations

import logging
import os
import warnings

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
