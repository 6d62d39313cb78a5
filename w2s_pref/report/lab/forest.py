"""Estimates of the laboratory as the blocks want them: common estimates, forests of them, words."""

from __future__ import annotations

from collections.abc import Sequence

from w2s_pref.report.draw.blocks import Panel, Value
from w2s_pref.report.draw.forest import Forest, Mark
from w2s_pref.report.draw.format import UNDEFINED, interval, number
from w2s_pref.report.draw.svg import extent, picture
from w2s_pref.results.lab import Estimate
from w2s_pref.results.results import Estimate as Common

WIDTH = 380.0


def common(value: Estimate) -> Common:
    """The same numbers under the names that all reports use."""
    bounds = None if value.low is None or value.high is None else (value.low, value.high)
    return Common(estimate=value.value, interval=bounds)


def or_words(value: Estimate, undefined: str) -> Value:
    """The estimate, or these words where it is undefined."""
    return Value(None if value.value is None else common(value), absent=undefined)


def words(value: Estimate) -> str:
    """``0.42 [0.30, 0.55]``, or that it is undefined."""
    found = common(value)
    return UNDEFINED if found.estimate is None else f"{number(found.estimate)} {interval(found.interval)}".rstrip()


def forest_panel(
    name: str,
    rows: Sequence[tuple[str, Estimate]],
    axis: str,
    title: str,
    neutral: float | None = None,
    hue: str = "c0",
) -> Panel:
    """One picture of estimates in rows; undefined ones are written out."""
    found = [(row, common(value)) for row, value in rows]
    bounds = [bound for _, value in found for bound in (value.estimate, *(value.interval or ()))]
    marks = [
        (row, [Mark(value.estimate, value.interval, f"{row}: {words(own)}", hue)])
        for (row, value), (_, own) in zip(found, rows, strict=True)
    ]
    span = extent(bounds, include=() if neutral is None else (neutral,))
    drawn = Forest(marks, span, axis, neutral, WIDTH, names=150, right=12)
    said = "; ".join(f"{row}: {words(value)}" for row, value in rows)
    return Panel(name, picture(WIDTH, drawn.bottom + 36, title, said, drawn.draw(), "plot"))
