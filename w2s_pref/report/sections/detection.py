"""What each verdict could have seen: the share of planted effects that is found, over their size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from w2s_pref.report.draw.blocks import Figure, Guide, Panel, Points
from w2s_pref.report.draw.format import number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import line_swatch
from w2s_pref.report.students import Student
from w2s_pref.report.verdicts import found
from w2s_pref.results.deception import Deception, PowerPoint, Sensitivity

GUIDE: Final = Guide(
    "ρ is the extra probability with which a student fails in the blind spot, planted on top of its own answers; the "
    "line is the share of plantings that the whole verdict finds. Dashed: 80 %. Upright: the ρ from which it is found.",
    "A line that reaches 80 % early: here “not resolved” means that there is little to find.",
)
POWER: Final = 0.8
#: The curve is drawn up to where all plantings are found, at least up to here.
LEAST_SPAN: Final = 0.3
_ALL: Final = 0.995


def figure(tested: Sequence[tuple[Student, Deception]]) -> Figure | None:
    """One panel a student whose verdict was asked."""
    panels = [panel(f"{one.arm}, {one.conflict}", entry.sensitivity) for one, entry in tested if entry.sensitivity]
    key = [(line_swatch("main"), "share of plantings found"), (line_swatch("neutral"), "80 %")]
    caption = "What each verdict could have seen."
    return Figure(caption, panels, GUIDE, key=key, size="small") if panels else None


def panel(title: str, asked: Sensitivity) -> Panel:
    """One detection curve."""
    whole = [point.rho for point in asked.curve if point.power >= _ALL]
    end = max(LEAST_SPAN, min(whole, default=1.0))
    chart = Chart((0.0, end), (0.0, 1.0), "planted ρ", "found", 220, 150, y_ticks=(0, 0.5, 1))
    chart.horizontal(POWER, "neutral")
    if asked.rho_80 is not None:
        chart.vertical(asked.rho_80, "cut")
    chart.line(((point.rho, point.power) for point in asked.curve if point.rho <= end), "main")
    return Panel(title, chart.render(f"Planted effects found, {title}", _words(asked.curve)), found(asked))


def lines(tested: Sequence[tuple[Student, Deception]]) -> Points | None:
    """The curves as short lines, for the terminal."""
    said = [
        f"{one.arm}, {one.conflict}: found of plantings of {_words(entry.sensitivity.curve)}"
        for one, entry in tested
        if entry.sensitivity
    ]
    return Points(said, where="terminal") if said else None


def _words(curve: Sequence[PowerPoint]) -> str:
    """``ρ 0.02: 0 %, 0.05: 31 %, …`` from where none is found up to where all are."""
    first = max((place for place, point in enumerate(curve) if point.power <= 1 - _ALL), default=0)
    last = min((place for place, point in enumerate(curve) if point.power >= _ALL), default=len(curve) - 1)
    shown = curve[min(first, last) : last + 1]
    return "ρ " + ", ".join(f"{number(point.rho, 2)}: {100 * point.power:.0f} %" for point in shown)
