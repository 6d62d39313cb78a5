"""``w2s organisms --monitor``: the monitor's study on organisms, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from w2s_pref.monitor.verdict import headline, sentences
from w2s_pref.report.analyses.alarms import study_table


def main_table() -> tuple[list[RenderableType], dict[str, Any]]:
    """The study at its default size, as tables and as a dictionary."""
    from w2s_pref.organisms.monitored import monitor_study

    return tables(found := monitor_study()), found


def tables(found: Mapping[str, Any]) -> list[RenderableType]:
    """Verdict, final state of the organisms, the detector's tables; of what ``monitor_study`` returned."""
    return [study_table(found, headline(found["detector"]), sentences(found["detector"]))]
