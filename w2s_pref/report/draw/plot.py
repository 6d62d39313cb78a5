"""A plotting frame in the size of a phone column, and the strip of seed dots that stands beside a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from w2s_pref.report.draw.format import NO_INTERVAL, UNDEFINED, interval, number, plain, reason
from w2s_pref.report.draw.svg import Scale, el, label, picture, short, ticks
from w2s_pref.results.estimates import Estimate

Range = tuple[float, float]


@dataclass
class Frame:
    """Axes around a plotting area. ``x`` and ``y`` turn data into pixels; ``marks`` collects what is drawn inside."""

    x_range: Range
    y_range: Range
    x_label: str
    y_label: str
    width: float = 320
    height: float = 230
    left: float = 44
    right: float = 10
    top: float = 10
    bottom: float = 36
    x_ticks: Sequence[float] | None = None
    y_ticks: Sequence[float] | None = None
    marks: list[Markup] = field(default_factory=list)

    @property
    def x(self) -> Scale:
        """Horizontal scale."""
        return Scale(*self.x_range, self.left, self.width - self.right)

    @property
    def y(self) -> Scale:
        """Vertical scale, upward."""
        return Scale(*self.y_range, self.height - self.bottom, self.top)

    def axes(self) -> list[Markup]:
        """Grid, tick labels, axis names."""
        x, y = self.x, self.y
        drawn = []
        for tick in self.y_ticks if self.y_ticks is not None else ticks(*self.y_range):
            height = y(tick)
            drawn.append(el("path", d=f"M{short(x.start)} {short(height)}H{short(x.end)}", class_="grid"))
            drawn.append(el("text", label(tick), x=x.start - 6, y=height + 3.5, class_="tick end"))
        for tick in self.x_ticks if self.x_ticks is not None else ticks(*self.x_range):
            drawn.append(el("path", d=f"M{short(x(tick))} {short(y.start)}v4", class_="axis"))
            drawn.append(el("text", label(tick), x=x(tick), y=y.start + 15, class_="tick mid"))
        drawn.append(el("path", d=f"M{short(x.start)} {short(y.start)}H{short(x.end)}", class_="axis"))
        drawn.append(el("text", self.x_label, x=(x.start + x.end) / 2, y=self.height - 4, class_="name mid"))
        middle = (y.start + y.end) / 2
        turn = f"rotate(-90 11 {short(middle)})"
        drawn.append(el("text", self.y_label, x=11, y=middle, transform=turn, class_="name mid"))
        return drawn

    def horizontal(self, value: float, class_: str) -> Markup:
        """A line across the frame at one y."""
        return el("path", d=f"M{short(self.x.start)} {short(self.y(value))}H{short(self.x.end)}", class_=class_)

    def vertical(self, value: float, class_: str) -> Markup:
        """A line up the frame at one x."""
        return el("path", d=f"M{short(self.x(value))} {short(self.y.start)}V{short(self.y.end)}", class_=class_)

    def render(self, title: str, desc: str) -> Markup:
        """The finished picture."""
        return picture(self.width, self.height, plain(title), plain(desc), [*self.axes(), *self.marks], "plot")


def describe(value: Estimate, digits: int) -> str:
    """A strip in words: mean, interval, seeds."""
    seeds = ", ".join(number(seed, digits) for seed in value.seeds) or "not kept"
    return f"mean {number(value.estimate, digits)} {interval(value.interval, digits)}, seeds: {seeds}"


def strip(
    value: Estimate, scale: Range, digits: int, name: str, neutral: float | None = None, width: float = 108
) -> Markup:
    """The interval (bar) with the mean (tick), seeds as circles beneath, and a dashed line at the neutral value."""
    x = Scale(*scale, 4, width - 4)
    height, middle, below = 20.0, 6.0, 15.5
    marks = [el("path", d=f"M4 {short(middle)}H{short(width - 4)}", class_="grid")]
    if neutral is not None and scale[0] <= neutral <= scale[1]:
        marks.append(el("path", d=f"M{short(x(neutral))} 1V{short(height - 1)}", class_="neutral"))
    if value.interval is not None:
        low, high = x(value.interval[0]), x(value.interval[1])
        marks.append(el("rect", x=low, y=middle - 3, width=max(1.0, high - low), height=6, class_="bar"))
    if value.estimate is not None:
        marks.append(el("path", d=f"M{short(x(value.estimate))} 1v10", class_="mean"))
    for index, seed in enumerate(value.seeds):
        if seed is not None:
            tip = el("title", f"seed {index + 1} of {len(value.seeds)}: {number(seed, digits)}")
            marks.append(el("circle", tip, cx=x(seed), cy=below, r=2.6, class_="seed"))
    return picture(width, height, plain(name), describe(value, digits), marks, "strip")


def estimate_cell(
    value: Estimate | None,
    digits: int,
    *,
    scale: Range | None = None,
    name: str = "",
    neutral: float | None = None,
    absent: str = "not measured",
) -> Markup:
    """A table cell: number, interval beneath, and the strip of seed dots where a scale is given."""
    if value is None:
        return el("span", absent, class_="undef")
    if value.estimate is None:
        why = reason(value.note)
        note = el("span", why, class_="why") if why else Markup("")
        return el("span", UNDEFINED, class_="undef") + note
    bounds = interval(value.interval, digits) or (reason(value.note) or NO_INTERVAL)
    cell = el("span", number(value.estimate, digits), class_="est") + el("span", bounds, class_="iv")
    return cell if scale is None else cell + strip(value, scale, digits, name, neutral)
