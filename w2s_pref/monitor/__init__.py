"""A callback that watches a training on a fixed probe set: signals, alarms, verdicts.

from w2s_pref.monitor import RiskMonitor

monitor = RiskMonitor(probe, "my/weak-model", training_groups=train["prompt"], folder="out")
monitor.attach(trainer)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from w2s_pref.monitor.callback import RiskMonitor

__all__ = ["RiskMonitor"]


def __getattr__(name: str) -> Any:
    """``RiskMonitor``, imported when it is asked for: the pure parts of this package need no torch."""
    if name != "RiskMonitor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from w2s_pref.monitor.callback import RiskMonitor

    return RiskMonitor
