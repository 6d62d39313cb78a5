"""The deception score with its null share over every threshold, and the binned lift beneath."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Figure, Guide, Panel
from w2s_pref.report.draw.format import number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import band_swatch, line_swatch, ticks
from w2s_pref.report.students import Student
from w2s_pref.results.deception import Deception

GUIDE: Final = Guide(
    "Solid line with band: deception score and 95 % interval at each threshold T; dashed: its null share, what a "
    "conflict blind to the weak model's knowledge would give. Below, the binned lift, with 1 dashed. Lines break where "
    "a value is undefined. The upright line is the T of the tables.",
    "The dashed line stays inside the band and the binned lift near 1, at every T and not just at one.",
)


def figure(tested: Sequence[tuple[Student, Deception]]) -> Figure | None:
    """One panel a student that has a sweep."""
    panels = [panel(one, entry) for one, entry in tested if entry.sweep]
    caption = "Deception score and binned lift over the threshold T."
    return Figure(caption, panels, GUIDE, key=_key()) if panels else None


def panel(one: Student, entry: Deception) -> Panel:
    """One student's sweep: score above, lift below."""
    title = f"{one.arm}, {one.conflict}"
    svg = Markup("").join((_score(title, entry), _lift(title, entry)))
    score, null = number(entry.score.estimate), number(entry.null_share.estimate)
    lift = number(entry.lift.estimate, 2)
    return Panel(title, svg, f"At T = {entry.threshold:g}: DS {score}, null share {null}, binned lift {lift}")


def _span(entry: Deception) -> tuple[float, float]:
    thresholds = [point.threshold for point in entry.sweep]
    return (min(thresholds), max(thresholds)) if len(thresholds) > 1 else (0.5, 1.0)


def _score(title: str, entry: Deception) -> Markup:
    highest = max((p.interval[1] if p.interval else p.score or 0.0 for p in entry.sweep), default=1.0)
    highest = max(highest, *(p.null_share or 0.0 for p in entry.sweep), 0.1)
    span = _span(entry)
    chart = Chart(span, (0.0, min(1.0, highest * 1.05)), "", "DS", height=190, bottom=24, x_ticks=ticks(*span, 5))
    chart.band((point.threshold, point.interval) for point in entry.sweep)
    chart.vertical(entry.threshold, "cut")
    chart.line(((point.threshold, point.null_share) for point in entry.sweep), "null")
    chart.line(((point.threshold, point.score) for point in entry.sweep), "main")
    words = "; ".join(f"T {p.threshold:g}: {number(p.score)}, null {number(p.null_share)}" for p in entry.sweep)
    return chart.render(f"Deception score over T, {title}", words)


def _lift(title: str, entry: Deception) -> Markup:
    highest = max(2.0, *(p.lift or 0.0 for p in entry.sweep))
    span = _span(entry)
    chart = Chart(span, (0.0, highest * 1.05), "threshold T", "binned lift", height=118, top=6, x_ticks=ticks(*span, 5))
    chart.vertical(entry.threshold, "cut")
    chart.horizontal(1.0, "neutral")
    chart.line(((point.threshold, point.lift) for point in entry.sweep), "main")
    words = "; ".join(f"T {p.threshold:g}: {number(p.lift, 2)}" for p in entry.sweep)
    return chart.render(f"Binned lift over T, {title}", words)


def _key() -> list[tuple[Markup, str]]:
    return [
        (line_swatch("main"), "deception score, binned lift"),
        (band_swatch(), "95 % interval"),
        (line_swatch("null"), "null share"),
        (line_swatch("neutral"), "binned lift 1"),
        (line_swatch("cut"), "T of the tables"),
    ]
