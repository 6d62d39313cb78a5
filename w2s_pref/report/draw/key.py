"""Series: the same colour and shape for the same thing in every figure, and swatches for the key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.svg import el, short

#: Colour classes c0 … c5 (style.css), chosen to differ for the common kinds of colour blindness, in both schemes.
COLOURS: Final = 6
SHAPES: Final = ("circle", "diamond", "square", "triangle")


def colour(names: Sequence[str], name: str) -> str:
    """The colour class of a name by its place in the list of names."""
    return f"c{names.index(name) % COLOURS}"


def shape(names: Sequence[str], name: str) -> str:
    """The shape of a name by its place in the list of names."""
    return SHAPES[names.index(name) % len(SHAPES)]


def marker(kind: str, x: float, y: float, class_: str, title: str = "", size: float = 4.5) -> Markup:
    """One mark, centred."""
    tip = (el("title", title),) if title else ()
    if kind == "circle":
        return el("circle", *tip, cx=x, cy=y, r=size - 0.5, class_=class_)
    sides = {"diamond": (4, 0.0), "square": (4, 45.0), "triangle": (3, -90.0)}[kind]
    radius = size * (1.15 if kind != "diamond" else 1.2)
    angles = [math.radians(sides[1] + index * 360 / sides[0]) for index in range(sides[0])]
    corners = (f"{short(x + radius * math.cos(a))} {short(y + radius * math.sin(a))}" for a in angles)
    return el("path", *tip, d="M" + "L".join(corners) + "Z", class_=class_)


def swatch(*marks: Markup) -> Markup:
    """A small picture for the key, hidden from screen readers because the text beside it says the same."""
    return el("svg", *marks, viewBox="0 0 26 14", width=26, height=14, class_="swatch", aria_hidden="true")


def line_swatch(class_: str) -> Markup:
    """A piece of line."""
    return swatch(el("path", d="M2 7H24", class_=class_))


def band_swatch(class_: str = "band") -> Markup:
    """A piece of band."""
    return swatch(el("rect", x=2, y=2, width=22, height=10, class_=class_))


def mark_swatch(kind: str, class_: str) -> Markup:
    """One mark."""
    return swatch(marker(kind, 13, 7, class_))


def series_key(arms: Iterable[str], conflicts: Iterable[str]) -> list[tuple[Markup, str]]:
    """The key of marks whose shape tells the arm and whose colour tells the conflict."""
    shapes, hues = list(dict.fromkeys(arms)), list(dict.fromkeys(conflicts))
    key = [(mark_swatch(shape(shapes, arm), "ink"), arm) for arm in shapes]
    return key + [(mark_swatch("circle", f"fill {colour(hues, name)}"), name) for name in hues]
