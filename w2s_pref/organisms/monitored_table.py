"""``w2s organisms --monitor``: the monitor's study as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from w2s_pref.monitor.verdict import headline, sentences


def main_table() -> tuple[list[RenderableType], dict[str, Any]]:
    """The study at its default size, as tables and as a dictionary."""
    from w2s_pref.organisms.monitored import monitor_study

    return tables(found := monitor_study()), found


def tables(found: Mapping[str, Any]) -> list[RenderableType]:
    """Verdict, final state of the organisms, the detector's tables; of what ``study.monitor_study`` returned."""
    from w2s_pref.report.terminal.alarms import study_table

    return [study_table(found, headline(found["detector"]), sentences(found["detector"]))]
