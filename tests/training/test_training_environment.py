"""What a training sets in the environment: at its start and not at an import, and never over the user's own word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from huggingface_hub import constants

from w2s_pref.training.fit import set_environment

NAMES = ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DS_ACCELERATOR")
PROGRAM = """
import os
import w2s_pref.training.fit, w2s_pref.training.policy, w2s_pref.training.online, w2s_pref.training.ppo.fit
print([name for name in NAMES if name in os.environ])
"""


def test_an_import_sets_nothing() -> None:
    """Every module that trains."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    words = [sys.executable, "-c", PROGRAM.replace("NAMES", repr(NAMES))]
    done = subprocess.run(words, env=environment, text=True, capture_output=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("said", [None, "0"])
def test_a_training_turns_telemetry_off_unless_the_user_spoke(
    monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    """Also in this process, where huggingface_hub has read the environment already."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what the training sets is taken away afterwards
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    if said is not None:
        monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", said)
    set_environment()
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == (said or "1")
    assert constants.HF_HUB_DISABLE_TELEMETRY is (said is None)
    assert os.environ.get("DS_ACCELERATOR") == (None if torch.cuda.is_available() else "cpu")
