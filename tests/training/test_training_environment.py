"""What a training sets in the environment: at its start and not at an import, and never over the user's own word."""

from __future__ import annotations

import os

import pytest
import torch
from huggingface_hub import constants
from processes import at_the_fork

from w2s_pref.training.environment import set_environment

NAMES = ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DS_ACCELERATOR")
#: Every module that trains.
TRAINS = {f"w2s_pref.training.{name}" for name in ("fit", "policy", "online", "ppo.fit")}


def test_an_import_sets_nothing() -> None:
    """The process that command lines are forked from has imported all of them, and done nothing else."""
    loaded, set_there = at_the_fork(NAMES)
    assert loaded >= TRAINS
    assert set_there == []


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
