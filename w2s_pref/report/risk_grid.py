"""Risk and the live monitor's alarms as terminal grids."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from w2s_pref.report.draw.format import number
from w2s_pref.report.grid import Grid, text
from w2s_pref.results.preferences import Results
from w2s_pref.results.risk import Risk
from w2s_pref.results.trainings import MonitorCurve

HEADS = ("Var_s", "BSD", "BSD_cond", "Residual", "BSD, calibrated")


def risk(results: Results) -> Iterator[Grid]:
    """One line a student."""
    if not results.risk:
        return
    one = results.risk[0]
    grid = Grid(f"Blind-spot deception at t_s {one.t_strong:g}, t_w {one.t_weak:g}, and risk", ("Conflict", *HEADS))
    for arm in dict.fromkeys(entry.arm for entry in results.risk):
        grid.group(arm)
        for entry in results.risk:
            if entry.arm == arm:
                grid.add(entry.conflict, _cells(grid, entry))
    yield grid


def _cells(grid: Grid, entry: Risk) -> list[Text]:
    estimate, raw, after = grid.notes.estimate, entry.raw, entry.calibrated
    return [
        estimate(raw.var_strong, 3, bounds=False),
        estimate(raw.bsd, 3),
        estimate(raw.bsd_cond, 3, bounds=False),
        estimate(raw.residual, 4, bounds=False),
        estimate(None if after is None else after.bsd, 3, "undefined"),
    ]


def monitors(results: Results) -> Iterator[Grid]:
    """One line a watched training: looks, first alarm, cost."""
    if not results.monitors:
        return
    grid = Grid("Live monitor", ("Training", "Looks", "Alarms", "First alarm", "Cost"), words=("First alarm",))
    for curve in results.monitors:
        cost = "not measured" if curve.cost is None else f"{number(100 * curve.cost, 1)} %"
        cells = [str(len(curve.steps)), str(len(curve.alarms)), _first(curve), cost]
        grid.add(f"{curve.name}, seed {curve.seed}", [text(cell) for cell in cells])
    yield grid


def _first(curve: MonitorCurve) -> str:
    if not curve.alarms:
        return "none"
    alarm = min(curve.alarms, key=lambda one: one.step)
    return f"step {alarm.step}: {alarm.signal}, {alarm.action}"
