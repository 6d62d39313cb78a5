"""Reliability diagrams: confidence against how often the model is right."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from w2s_pref.report.draw.blocks import Figure, Guide, Panel, Section
from w2s_pref.report.draw.format import number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import line_swatch, mark_swatch
from w2s_pref.report.students import ceilings
from w2s_pref.results.estimates import Calibration
from w2s_pref.results.preferences import Results

GUIDE: Final = Guide(
    "Across: confidence max(p, 1 − p); up: how often the model is right at that confidence. The area of a dot follows "
    "the number of items. Dots under the diagonal are overconfident.",
    "Dots on the diagonal and an ECE near 0. Where a ceiling is far off it, the threshold T means something else.",
)


def section(results: Results) -> Section | None:
    """Ceilings, base, then every student."""
    panels = [_panel(name, calibration) for name, calibration in _models(results) if calibration.reliability]
    if not panels:
        return None
    key = [(mark_swatch("circle", "hollow"), "bin"), (line_swatch("neutral"), "perfectly calibrated")]
    caption = "Reliability on the target test set, seeds pooled."
    figure = Figure(caption, panels, GUIDE, key=key, size="small")
    return Section("reliability", "Does confidence mean anything", [figure], "Reliability")


def _models(results: Results) -> Iterator[tuple[str, Calibration]]:
    for name, performance in ceilings(results):
        yield name if performance is results.base else f"ceiling: {name}", performance.calibration
    for arm in results.arms:
        for setting in arm.settings:
            yield f"{arm.name}, {setting.conflict}", setting.performance.calibration


def _panel(name: str, calibration: Calibration) -> Panel:
    """One diagram. Accuracy may fall below one half: the vertical axis runs from 0."""
    ticks = (0.5, 0.75, 1.0)
    chart = Chart(
        (0.5, 1.0), (0.0, 1.0), "confidence", "accuracy",
        width=220, height=200, x_ticks=ticks, y_ticks=(0, 0.25, 0.5, 0.75, 1.0),
    )  # fmt: skip
    known = [(b.confidence, b.accuracy, b.n) for b in calibration.reliability if b.n]
    points = [(c, a, n) for c, a, n in known if c is not None and a is not None]
    most = max((n for _, _, n in points), default=1)
    chart.line([(0.5, 0.5), (1.0, 1.0)], "neutral")
    chart.line([(c, a) for c, a, _ in points], "main thin")
    for c, a, n in points:
        chart.mark("circle", c, a, "hollow", f"{n} items", size=2 + 5.5 * math.sqrt(n / most))
    words = "; ".join(f"confidence {number(c, 2)}: right {number(a, 2)}, {n} items" for c, a, n in points)
    note = f"ECE {number(calibration.ece.estimate)}, Brier {number(calibration.brier.estimate)}"
    return Panel(name, chart.render(f"Reliability, {name}", words or "no items"), note)
