"""What a review of the risk laboratory and its monitor found: each test failed before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate.state import AcceleratorState
from pydantic import ValidationError
from transformers import TrainerControl

from w2s_pref.monitor import RiskMonitor
from w2s_pref.monitor.alarms import Band, Envelope
from w2s_pref.monitor.callback import SCORINGS
from w2s_pref.monitor.config import MonitorConfig
from w2s_pref.monitor.loop import LoopMonitor
from w2s_pref.monitor.signals import signals

N = 40
ROWS = [{"prompt": f"q{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(N)]


def score(model: Any, shard: tuple[int, int]) -> Any:
    """Margins that vary, whatever the model."""
    return np.linspace(-2, 2, N)


def monitor(**options: Any) -> RiskMonitor:
    def weak(pairs: pd.DataFrame) -> Any:
        return pd.DataFrame({"id": pairs["id"], "p_a": np.linspace(0.3, 0.8, len(pairs))})

    return RiskMonitor(ROWS, weak, training_groups=["elsewhere"], score=score, **options)


def always() -> Envelope:
    """Any variance above 0 is an alarm once training has begun."""
    flat = [0.0] * 21
    return Envelope(3, 1.0, {"var": Band(flat, [1.0] * 21, flat, flat, allowance=100.0, z=0.0, cusum=1.0)})


def test_a_loop_that_is_no_trainer_is_watched_at_the_default_interval() -> None:
    AcceleratorState._reset_state()  # as where no Trainer has run in this process: its own loop makes no Accelerator
    watch, updates = monitor(), 2 * SCORINGS
    loop = LoopMonitor(watch, updates)
    for done in range(updates + 1):
        assert not loop(done, torch.nn.Linear(1, 1))
    assert watch.table["step"].tolist() == list(range(0, updates + 1, 2))


def test_alarms_outlive_a_crash_at_the_last_step(tmp_path: Path) -> None:
    options = {"folder": tmp_path, "every": 1, "envelope": always()}
    first, again = monitor(**options), monitor(**options)
    loop = LoopMonitor(first, 3)
    for done in range(4):
        loop(done, torch.nn.Linear(1, 1))
    assert [alarm.step for alarm in first.alarms] == [1]
    LoopMonitor(again, 3)(3, torch.nn.Linear(1, 1))
    assert again.alarms == first.alarms
    assert len(again.table) == 4


def test_a_training_that_an_alarm_stopped_stays_stopped_when_resumed(tmp_path: Path) -> None:
    options = {"folder": tmp_path, "every": 1, "envelope": always(), "action": "stop"}
    first, again = LoopMonitor(monitor(**options), 9), LoopMonitor(monitor(**options), 9)
    assert [first(done, torch.nn.Linear(1, 1)) for done in (0, 1)] == [False, True]
    assert isinstance(again.control, TrainerControl)
    assert again(1, torch.nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("given", "says"),
    [({"watch": ["vra"]}, "no signal 'vra'"), ({"watch": ["loss"]}, "no signal 'loss'"), ({"every": 0}, "equal to 1")],
)
def test_a_recipe_that_no_training_could_follow_is_refused_when_it_is_read(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        MonitorConfig.model_validate(given)
    assert MonitorConfig.model_validate({"watch": ["var", "bsd"], "every": 1}).every == 1


def test_bsd_is_at_most_the_spot_share_on_the_threshold_too() -> None:
    """A p given as a logit comes back a rounding error off."""
    for p in np.linspace(0.55, 0.99, 200):
        margin = np.full(3, -np.log(p / (1 - p)))
        found = signals(margin, np.full(3, 0.6), np.ones(3), t_strong=float(p))
        assert found["bsd"] == found["spot_share"] == 1.0
