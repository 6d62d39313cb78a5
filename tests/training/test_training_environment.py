"""What a training sets in the environment: at its start and not at an import, and never over the user's own word."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from processes import at_the_fork

from w2s_pref.models.batches.alone import precision
from w2s_pref.training import fit, online, policy
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


NEW_SETTING = pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch before 2.9")


@NEW_SETTING
@pytest.mark.parametrize("train", [fit.fit, policy.fit_policy, online.fit_online], ids=lambda train: train.__name__)
def test_products_round_after_a_training_as_before_it(monkeypatch: pytest.MonkeyPatch, train: Any) -> None:
    """Whatever transformers sets for ``tf32`` when the trainer's configuration is made, and however it ends."""

    class Job:
        def __getattr__(self, name: str) -> Any:
            torch.backends.fp32_precision = "tf32"
            raise InterruptedError

    before = torch.backends.fp32_precision
    monkeypatch.setattr(torch.backends, "fp32_precision", before)  # whatever happens here, it ends as it began
    given = {"job": Job(), "work": None, "save_to": None, "tokenizer": None}
    given |= {"algorithm": "rloo", "start_folder": None} if train is online.fit_online else {"model": None}
    with pytest.raises(InterruptedError):
        train(**given)
    assert torch.backends.fp32_precision == before


@NEW_SETTING
def test_tf32_is_seen_where_transformers_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch refuses to read its old setting once the new one was set, so the check of layouts did not begin."""
    assert precision("cuda", torch.float32) == torch.finfo(torch.float32).eps
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")
    assert precision("cuda", torch.float32) == 2**-10
