"""Figures of the predictor study: variance against deception, raw and calibrated, and every signal's correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from w2s_pref.analysis.risk.signals import TARGET
from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.key import colour, marker, shape
from w2s_pref.report.draw.plot import Frame
from w2s_pref.report.draw.svg import Scale, el, extent, group, short
from w2s_pref.results.risk import SIGNALS

_WIDTH, _HEIGHT, _HEAD, _ROW = 340, 250, 26, 24
_NAMES, _KEYS = 130, 4
KINDS = ("raw", "calibrated")


def scatter(points: Sequence[Mapping[str, Any]], settings: Sequence[str], kind: str, signal: str) -> Frame:
    """One signal against BSD, a mark for each setting, step and seed; ``kind`` is raw or calibrated.

    The ranges hold both kinds, so that two figures side by side show what calibration moves.
    """
    ranges = [extent((p[k][name] for p in points for k in KINDS), include=(0.0,)) for name in (signal, TARGET)]
    frame = Frame(ranges[0], ranges[1], SIGNALS[signal], "BSD", _WIDTH, _HEIGHT, left=52)
    for point in points:
        x, y = point[kind][signal], point[kind][TARGET]
        if x is None or y is None:
            continue
        name = str(point["setting"])
        tip = plain(f"{name}, step {point['step']}, seed {point['seed']}")
        frame.marks.append(marker(shape(settings, name), frame.x(x), frame.y(y), _look(settings, name), tip))
    return frame


def key(settings: Sequence[str]) -> list[Markup]:
    """The settings with their marks, a few to a row."""
    drawn = []
    step = 2 * _WIDTH / _KEYS
    for place, name in enumerate(settings):
        x, y = place % _KEYS * step + 20, place // _KEYS * 18.0 + 8
        drawn.append(marker(shape(settings, name), x, y, _look(settings, name)))
        drawn.append(el("text", plain(name)[:24], x=x + 10, y=y + 4, class_="tick"))
    return drawn


def _look(settings: Sequence[str], name: str) -> str:
    return f"fill {colour(settings, name)}"


def forest(signals: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Rank correlation of each signal with BSD and its 95 % interval: a disc raw, a ring calibrated."""
    x = Scale(-1, 1, _NAMES, 2 * _WIDTH - 20)
    bottom = _ROW * len(signals) + 8
    drawn = []
    for tick in (-1.0, -0.5, 0.0, 0.5, 1.0):
        drawn.append(el("path", d=f"M{short(x(tick))} 0V{bottom}", class_="neutral" if tick == 0 else "grid"))
        drawn.append(el("text", f"{tick:g}", x=x(tick), y=bottom + 15, class_="tick mid"))
    for place, entry in enumerate(signals):
        y = _ROW * place + 14.0
        drawn.append(el("text", SIGNALS[entry["signal"]], x=_NAMES - 10, y=y + 4, class_="end"))
        drawn += _estimate(entry["raw"], x, y - 4, "fill c0", "stroke c0")
        drawn += _estimate(entry["calibrated"], x, y + 5, "stroke c1", "stroke c1")
    caption = "rank correlation with BSD over settings, 95 % (disc: raw, ring: calibrated)"
    drawn.append(el("text", caption, x=x(0.0), y=bottom + 32, class_="name mid"))
    return drawn


def predictor_figure(result: Mapping[str, Any], signal: str = "var_strong") -> str:
    """A file of its own: the two scatters above the forest, with the report's colours in both schemes."""
    settings = list(result["settings"])
    panels = []
    for place, kind in enumerate(KINDS):
        frame = scatter(result["points"], settings, kind, signal)
        title = el("text", f"{SIGNALS[signal]} and blind-spot deception, {kind}", x=52, y=-8)
        panels.append(_moved(place * _WIDTH, _HEAD, [title, *frame.axes(), *frame.marks]))
    low = _HEIGHT + _HEAD + 14
    panels.append(_moved(0, low, key(settings)))
    low += 18 * -(-len(settings) // _KEYS) + 18
    panels.append(_moved(0, low, forest(result["signals"])))
    height = low + _ROW * len(result["signals"]) + 56
    style = files("w2s_pref.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return str(
        el(
            "svg",
            el("title", "What goes with blind-spot deception"),
            el("desc", plain(str(result["verdict"]))),
            el("style", style),
            el("rect", width="100%", height="100%", fill="var(--paper)"),
            *panels,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {2 * _WIDTH} {height}",
            width=2 * _WIDTH,
            height=height,
            role="img",
        )
    )


def _moved(x: float, y: float, drawn: Sequence[Markup]) -> Markup:
    return el("g", group(drawn), transform=f"translate({short(x)} {short(y)})")


def _estimate(entry: Mapping[str, Any], x: Scale, y: float, dot: str, line: str) -> list[Markup]:
    """Interval and mark; nothing where the correlation is undefined."""
    if entry["rho"] is None:
        return []
    marks = []
    if entry["interval"] is not None:
        low, high = entry["interval"]
        marks.append(el("path", d=f"M{short(x(low))} {short(y)}H{short(x(high))}", class_=line))
    return [*marks, marker("circle", x(entry["rho"]), y, dot)]
