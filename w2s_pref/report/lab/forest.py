"""Estimates in rows: a name, a mark, and its 95 % interval, with a line at the value that means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from w2s_pref.report.draw.format import UNDEFINED, number, plain
from w2s_pref.report.draw.key import marker
from w2s_pref.report.draw.svg import Scale, el, extent, label, picture, short, ticks
from w2s_pref.results.lab import Estimate

WIDTH, NAMES, ROW = 380.0, 150.0, 22.0
#: Letters of a name that fit beside the picture.
FITS = 24


class Row(NamedTuple):
    """One estimate; ``look`` is its colour class and ``kind`` its shape."""

    name: str
    value: Estimate
    look: str = "c0"
    kind: str = "circle"


def forest(rows: Sequence[Row], axis: str, title: str, neutral: float | None = None) -> Markup:
    """The picture; undefined estimates are written out."""
    bounds = [bound for row in rows for bound in (row.value.value, row.value.low, row.value.high)]
    low, high = extent(bounds, include=() if neutral is None else (neutral,))
    x, bottom = Scale(low, high, NAMES, WIDTH - 12), ROW * len(rows) + 6
    drawn = []
    for tick in ticks(low, high):
        drawn.append(el("path", d=f"M{short(x(tick))} 0V{short(bottom)}", class_="grid"))
        drawn.append(el("text", label(tick), x=x(tick), y=bottom + 14, class_="tick mid"))
    if neutral is not None:
        drawn.append(el("path", d=f"M{short(x(neutral))} 0V{short(bottom)}", class_="neutral"))
    for place, row in enumerate(rows):
        drawn += _row(row, x, ROW * place + 13)
    drawn.append(el("text", axis, x=(x.start + x.end) / 2, y=bottom + 30, class_="name mid"))
    said = "; ".join(f"{row.name}: {words(row.value)}" for row in rows)
    return picture(WIDTH, bottom + 36, plain(title), plain(said), drawn, "plot")


def _row(row: Row, x: Scale, y: float) -> list[Markup]:
    name, value = plain(row.name), row.value
    shown = name if len(name) <= FITS else name[: FITS - 1] + "…"
    drawn = [el("text", el("title", name), shown, x=NAMES - 8, y=y + 4, class_="tick end")]
    if value.value is None:
        return [*drawn, el("text", UNDEFINED, x=x.start + 6, y=y + 4, class_="tick")]
    if value.low is not None and value.high is not None:
        drawn.append(
            el("path", d=f"M{short(x(value.low))} {short(y)}H{short(x(value.high))}", class_=f"stroke {row.look}")
        )
    return [*drawn, marker(row.kind, x(value.value), y, f"fill {row.look}", f"{name}: {words(value)}")]


def words(value: Estimate) -> str:
    """``0.42 [0.30, 0.55]``, or that it is undefined."""
    if value.value is None:
        return UNDEFINED
    if value.low is None or value.high is None:
        return number(value.value)
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def cell(value: Estimate, undefined: str = UNDEFINED) -> Markup:
    """A table cell: the number, its interval beneath."""
    if value.value is None:
        return el("span", undefined, class_="undef")
    bounds = (
        "no interval" if value.low is None or value.high is None else f"[{number(value.low)}, {number(value.high)}]"
    )
    return el("span", number(value.value), class_="est") + el("span", bounds, class_="iv")
