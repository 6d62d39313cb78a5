"""Figure of ``w2s analyze predictors``: variance against deception, raw and calibrated, and every correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from w2s_pref.report.draw.forest import Forest, Mark, standalone
from w2s_pref.report.draw.key import colour, marker, shape
from w2s_pref.report.draw.plot import Chart, moved
from w2s_pref.report.draw.svg import el, extent
from w2s_pref.results.signals import SIGNALS, TARGET

_WIDTH, _HEIGHT, _HEAD, _KEYS = 340, 250, 26, 4
KINDS = ("raw", "calibrated")


def scatter(points: Sequence[Mapping[str, Any]], settings: Sequence[str], kind: str, signal: str) -> Chart:
    """One signal against BSD, a mark for each setting, step and seed; ``kind`` is raw or calibrated.

    The ranges hold both kinds, so that two figures side by side show what calibration moves.
    """
    ranges = [extent((p[k][name] for p in points for k in KINDS), include=(0.0,)) for name in (signal, TARGET)]
    chart = Chart(ranges[0], ranges[1], SIGNALS[signal], "BSD", _WIDTH, _HEIGHT, left=52)
    for point in points:
        x, y = point[kind][signal], point[kind][TARGET]
        if x is not None and y is not None:
            name = str(point["setting"])
            tip = f"{name}, step {point['step']}, seed {point['seed']}"
            chart.mark(shape(settings, name), x, y, _look(settings, name), tip)
    return chart


def key(settings: Sequence[str]) -> list[Markup]:
    """The settings with their marks, a few to a row."""
    drawn = []
    step = 2 * _WIDTH / _KEYS
    for place, name in enumerate(settings):
        x, y = place % _KEYS * step + 20, place // _KEYS * 18.0 + 8
        drawn.append(marker(shape(settings, name), x, y, _look(settings, name)))
        drawn.append(el("text", name[:24], x=x + 10, y=y + 4, class_="tick"))
    return drawn


def _look(settings: Sequence[str], name: str) -> str:
    return f"fill {colour(settings, name)}"


def forest(signals: Sequence[Mapping[str, Any]]) -> Forest:
    """Rank correlation of each signal with BSD and its 95 % interval: a disc raw, a ring calibrated."""
    rows = [
        (
            SIGNALS[entry["signal"]],
            [
                Mark(entry["raw"]["rho"], entry["raw"]["interval"], apart=-4),
                Mark(entry["calibrated"]["rho"], entry["calibrated"]["interval"], hue="c1", look="stroke", apart=5),
            ],
        )
        for entry in signals
    ]
    caption = "rank correlation with BSD over settings, 95 % (disc: raw, ring: calibrated)"
    return Forest(rows, (-1.0, 1.0), caption, 0.0, 2 * _WIDTH, names=130, row=24, marks_at=(-1.0, -0.5, 0.0, 0.5, 1.0))


def predictor_figure(result: Mapping[str, Any], signal: str = "var_strong") -> str:
    """A file of its own: the two scatters above the forest, with the report's colours in both schemes."""
    settings = list(result["settings"])
    drawn = []
    for place, kind in enumerate(KINDS):
        chart = scatter(result["points"], settings, kind, signal)
        title = el("text", f"{SIGNALS[signal]} and blind-spot deception, {kind}", x=52, y=-8)
        drawn.append(moved(place * _WIDTH, _HEAD, [title, *chart.axes(), *chart.marks]))
    low = _HEIGHT + _HEAD + 14
    drawn.append(moved(0, low, key(settings)))
    low += 18 * -(-len(settings) // _KEYS) + 18
    rows = forest(result["signals"])
    drawn.append(moved(0, low, rows.draw()))
    return standalone(
        "What goes with blind-spot deception", str(result["verdict"]), 2 * _WIDTH, low + rows.bottom + 50, drawn
    )
