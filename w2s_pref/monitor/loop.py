"""The monitor in a training loop of one's own, which has no trainer to call it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from torch import nn
from transformers import TrainerControl, TrainerState

from w2s_pref.monitor.callback import RiskMonitor


class LoopMonitor:
    """Call it with the number of updates done and the model, once before the first and after each update."""

    def __init__(self, monitor: RiskMonitor, updates: int) -> None:
        from accelerate import PartialState

        self.monitor = monitor
        self.args: Any = SimpleNamespace(report_to=[])
        main = bool(PartialState().is_main_process)
        self.state = TrainerState(max_steps=updates, is_world_process_zero=main, is_local_process_zero=main)
        self.control = TrainerControl()
        self._begun = False

    def __call__(self, done: int, model: nn.Module, inside: bool = False) -> bool:
        """Look where it is time to; True where an alarm asks the training to stop.

        ``inside``: a checkpoint was loaded inside the next update: what the model was after ``done`` is gone.
        """
        self.state.global_step = done
        if not self._begun:
            self._begun = True
            self.monitor.on_train_begin(self.args, self.state, self.control, model=model, inside=inside)
        else:
            self.monitor.on_step_end(self.args, self.state, self.control, model=model)
        if done >= self.state.max_steps or self.control.should_training_stop:
            self.monitor.on_train_end(self.args, self.state, self.control, model=model)
        return bool(self.control.should_training_stop)
