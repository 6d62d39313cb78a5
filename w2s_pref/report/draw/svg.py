"""Small pieces of SVG: elements, scales, ticks, marks, keys. Colours are CSS classes, so dark mode is free."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from markupsafe import Markup, escape

from w2s_pref.report.draw.format import plain

Attribute = str | float | None
P = TypeVar("P")


def short(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{value:.1f}".removesuffix(".0")


def el(tag: str, *children: str, **attributes: Attribute) -> Markup:
    """An element. ``class_`` becomes ``class``, ``stroke_width`` becomes ``stroke-width``; text is made harmless."""
    parts = [f"<{tag}"]
    for name, value in attributes.items():
        if value is not None:
            text = plain(value) if isinstance(value, str) else short(value)
            parts.append(f' {name.rstrip("_").replace("_", "-")}="{escape(text)}"')
    body = "".join(str(child if isinstance(child, Markup) else escape(plain(child))) for child in children)
    parts.append(f">{body}</{tag}>" if children else "/>")
    return Markup("".join(parts))


def picture(width: float, height: float, title: str, desc: str, children: Iterable[Markup], class_: str = "") -> Markup:
    """A whole drawing with a name and a description for people who do not see it."""
    return el(
        "svg",
        el("title", title),
        el("desc", desc),
        *children,
        viewBox=f"0 0 {short(width)} {short(height)}",
        width=width,
        height=height,
        role="img",
        class_=class_ or None,
    )


@dataclass(frozen=True)
class Scale:
    """A linear map from data to pixels that clamps at its ends."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        span = (self.high - self.low) or 1.0
        share = min(1.0, max(0.0, (value - self.low) / span))
        return self.start + share * (self.end - self.start)


def extent(values: Iterable[float | None], include: Sequence[float] = ()) -> tuple[float, float]:
    """The range that shows all values with a little air; a range of width one where there is nothing to show."""
    known = [value for value in values if value is not None] + list(include)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    air = (high - low) * 0.06 or 0.01
    return low - air, high + air


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About ``count`` round numbers between low and high."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def label(value: float) -> str:
    """A tick's text."""
    return "0" if abs(value) < 1e-12 else f"{value:.3g}"


def runs(points: Iterable[P | None]) -> list[list[P]]:
    """Stretches of points without a gap."""
    stretches: list[list[P]] = [[]]
    for point in points:
        if point is None:
            stretches.append([])
        else:
            stretches[-1].append(point)
    return [stretch for stretch in stretches if stretch]


def line(points: Iterable[tuple[float, float] | None], class_: str) -> Markup:
    """A line that breaks where a point is missing; a point alone between gaps is drawn as a dot."""
    data = (
        "M" + "L".join(f"{short(x)} {short(y)}" for x, y in stretch) + ("h0" if len(stretch) == 1 else "")
        for stretch in runs(points)
    )
    return _path(" ".join(data), class_)


def band(points: Iterable[tuple[float, float, float] | None], class_: str = "band") -> Markup:
    """A filled band between low and high over x, broken at gaps."""
    shapes = []
    for stretch in runs(points):
        there = [f"{short(x)} {short(low)}" for x, low, _ in stretch]
        back = [f"{short(x)} {short(high)}" for x, _, high in reversed(stretch)]
        shapes.append("M" + "L".join(there + back) + "Z")
    return _path("".join(shapes), class_)


def dots(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Many round dots as one path (round line caps on strokes of no length): eleven bytes a dot."""
    return _path("".join(f"M{short(x)} {short(y)}h0" for x, y in points), class_)


def crosses(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Many crosses as one path."""
    arm = 2.6
    b = short(2 * arm)
    return _path("".join(f"M{short(x - arm)} {short(y - arm)}l{b} {b}m-{b} 0l{b}-{b}" for x, y in points), class_)


def _path(data: str, class_: str) -> Markup:
    return el("path", d=data, class_=class_) if data else Markup("")


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
