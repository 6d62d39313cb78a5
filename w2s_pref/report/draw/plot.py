"""A chart in the size of a phone column, estimates in rows, and the strip of seeds that stands beside a number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from markupsafe import Markup

from w2s_pref.report.draw.format import UNDEFINED, interval, number, second
from w2s_pref.report.draw.svg import Scale, band, el, extent, label, line, marker, picture, short, ticks
from w2s_pref.results.estimates import Estimate

Range = tuple[float, float]


@dataclass
class Chart:
    """Axes around a plotting area. Marks are added in the units of the data; ``x`` and ``y`` turn these into pixels."""

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
            drawn.append(horizontal(y(tick), x.start, x.end, "grid"))
            drawn.append(el("text", label(tick), x=x.start - 6, y=y(tick) + 3.5, class_="tick end"))
        for tick in self.x_ticks if self.x_ticks is not None else ticks(*self.x_range):
            drawn.append(el("path", d=f"M{short(x(tick))} {short(y.start)}v4", class_="axis"))
            drawn.append(el("text", label(tick), x=x(tick), y=y.start + 15, class_="tick mid"))
        drawn.append(horizontal(y.start, x.start, x.end, "axis"))
        drawn.append(el("text", self.x_label, x=(x.start + x.end) / 2, y=self.height - 4, class_="name mid"))
        middle = (y.start + y.end) / 2
        turn = f"rotate(-90 11 {short(middle)})"
        return [*drawn, el("text", self.y_label, x=11, y=middle, transform=turn, class_="name mid")]

    def horizontal(self, value: float, class_: str) -> None:
        """A line across the frame at one y."""
        self.marks.append(horizontal(self.y(value), self.x.start, self.x.end, class_))

    def vertical(self, value: float, class_: str) -> None:
        """A line up the frame at one x."""
        self.marks.append(vertical(self.x(value), self.y.start, self.y.end, class_))

    def line(self, points: Iterable[tuple[float, float | None]], class_: str, tip: str = "") -> None:
        """A line through (x, y), broken where y is missing; ``tip`` is shown where the pointer rests on it."""
        drawn = line((None if y is None else (self.x(x), self.y(y)) for x, y in points), class_)
        self.marks.append(el("g", el("title", tip), drawn) if tip else drawn)

    def band(self, points: Iterable[tuple[float, Range | None]]) -> None:
        """A band between the ends of (x, interval), broken where there is none."""
        self.marks.append(band(None if e is None else (self.x(x), self.y(e[0]), self.y(e[1])) for x, e in points))

    def mark(
        self, shape: str, x: float, y: float | None, class_: str, tip: str = "", *, apart: float = 0, size: float = 4.5
    ) -> None:
        """A mark, ``apart`` pixels to the right of its place; on the axis where there is no y."""
        height = self.y.start if y is None else self.y(y)
        self.marks.append(marker(shape, self.x(x) + apart, height, class_, tip, size))

    def whisker(self, x: float, ends: Range | None, class_: str, apart: float = 0) -> None:
        """An upright interval, if there is one."""
        if ends is not None:
            self.marks.append(vertical(self.x(x) + apart, self.y(ends[0]), self.y(ends[1]), class_))

    def text(self, words: str, x: float, y: float, class_: str) -> None:
        """Words at a place in pixels."""
        self.marks.append(el("text", words, x=x, y=y, class_=class_))

    def render(self, title: str, desc: str) -> Markup:
        """The finished picture."""
        return picture(self.width, self.height, title, desc, [*self.axes(), *self.marks], "plot")


def horizontal(y: float, start: float, end: float, class_: str) -> Markup:
    """A level line, in pixels."""
    return el("path", d=f"M{short(start)} {short(y)}H{short(end)}", class_=class_)


def vertical(x: float, start: float, end: float, class_: str) -> Markup:
    """An upright line, in pixels."""
    return el("path", d=f"M{short(x)} {short(start)}V{short(end)}", class_=class_)


def moved(x: float, y: float, drawn: Iterable[Markup]) -> Markup:
    """Drawings moved right and down."""
    return el("g", *drawn, transform=f"translate({short(x)} {short(y)})")


def spread(values: Iterable[Estimate | None], neutral: float | None = None) -> Range | None:
    """The range that holds every estimate, seed and interval of a column; none where nothing is defined.

    The air at its ends does not leave [0, 1] where the values do not.
    """
    seen: list[float | None] = []
    for value in values:
        if value is not None and value.estimate is not None:
            seen += [value.estimate, *value.seeds, *(value.interval or ()), *(value.interval_in_seeds or ())]
    known = [value for value in seen if value is not None] + ([] if neutral is None else [neutral])
    if not seen:
        return None
    low, high = extent(known)
    return max(low, 0.0) if min(known) >= 0 else low, min(high, 1.0) if max(known) <= 1 else high


def strip(
    value: Estimate, scale: Range, digits: int, name: str, neutral: float | None = None, width: float = 108
) -> Markup:
    """The interval (bar), that in these seeds inside it, the mean (tick), seeds as circles beneath; neutral dashed."""
    x = Scale(*scale, 4, width - 4)
    height, middle, below = 20.0, 6.0, 15.5
    marks = [horizontal(middle, 4, width - 4, "grid")]
    if neutral is not None and scale[0] <= neutral <= scale[1]:
        marks.append(vertical(x(neutral), 1, height - 1, "neutral"))
    if value.interval is not None:
        low, high = x(value.interval[0]), x(value.interval[1])
        marks.append(el("rect", x=low, y=middle - 3, width=max(1.0, high - low), height=6, class_="bar"))
    if value.interval_in_seeds is not None and value.interval_in_seeds != value.interval:
        low, high = value.interval_in_seeds
        marks.append(horizontal(middle, x(low), x(high), "within"))
    if value.estimate is not None:
        marks.append(vertical(x(value.estimate), 1, 11, "mean"))
    for index, seed in enumerate(value.seeds):
        if seed is not None:
            tip = el("title", f"seed {index + 1} of {len(value.seeds)}: {number(seed, digits)}")
            marks.append(el("circle", tip, cx=x(seed), cy=below, r=2.6, class_="seed"))
    seeds = ", ".join(number(seed, digits) for seed in value.seeds) or "not kept"
    both = f"{interval(value.interval, digits)} {second(value, digits)}".strip()
    desc = f"mean {number(value.estimate, digits)} {both}, seeds: {seeds}"
    return picture(width, height, name, desc, marks, "strip")


@dataclass(frozen=True)
class Mark:
    """One estimate. ``hue`` is its colour class, ``look`` how the mark is drawn (fill or stroke).

    ``apart`` moves it down, in pixels; ``others`` are further values, as small ticks beneath, each with its words.
    """

    value: float | None
    interval: Range | None
    tip: str = ""
    hue: str = "c0"
    look: str = "fill"
    shape: str = "circle"
    apart: float = 0
    others: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Forest:
    """Rows of marks over a horizontal scale, all lengths in pixels. Names longer than ``fits`` letters are cut."""

    rows: Sequence[tuple[str, Sequence[Mark]]]
    span: Range
    caption: str
    neutral: float | None
    width: float
    names: float
    row: float = 22
    right: float = 20
    fits: int = 24
    marks_at: Sequence[float] | None = None

    @property
    def bottom(self) -> float:
        """Where the rows end; tick labels and the caption need 36 more."""
        return self.row * len(self.rows) + 6

    def draw(self) -> list[Markup]:
        """Scale, rows, caption. Where no mark of a row has a value, the row says so."""
        x = Scale(*self.span, self.names, self.width - self.right)
        drawn = []
        for tick in self.marks_at or ticks(*self.span):
            if tick != self.neutral:
                drawn.append(vertical(x(tick), 0, self.bottom, "grid"))
            drawn.append(el("text", label(tick), x=x(tick), y=self.bottom + 14, class_="tick mid"))
        if self.neutral is not None:
            drawn.append(vertical(x(self.neutral), 0, self.bottom, "neutral"))
        for place, (name, marks) in enumerate(self.rows):
            drawn += self._row(name, marks, x, self.row * place + 13)
        drawn.append(el("text", self.caption, x=(x.start + x.end) / 2, y=self.bottom + 30, class_="name mid"))
        return drawn

    def _row(self, name: str, marks: Sequence[Mark], x: Scale, y: float) -> list[Markup]:
        whole = len(name) <= self.fits
        shown = (name,) if whole else (el("title", name), name[: self.fits - 1] + "…")
        drawn = [el("text", *shown, x=self.names - 8, y=y + 4, class_="tick end")]
        if all(mark.value is None for mark in marks):
            return [*drawn, el("text", UNDEFINED, x=x.start + 6, y=y + 4, class_="tick")]
        for mark in marks:
            if mark.value is None:
                continue
            at = y + mark.apart
            if mark.interval is not None:
                drawn.append(horizontal(at, x(mark.interval[0]), x(mark.interval[1]), f"stroke {mark.hue}"))
            for value, tip in mark.others:
                drawn.append(el("g", el("title", tip), vertical(x(value), at + 4, at + 9, "axis")))
            drawn.append(marker(mark.shape, x(mark.value), at, f"{mark.look} {mark.hue}", mark.tip))
        return drawn


def standalone(title: str, desc: str, width: float, height: float, drawn: Sequence[Markup]) -> str:
    """A file of its own, with the report's colours in both schemes."""
    style = files("w2s_pref.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return str(
        el(
            "svg",
            el("title", title),
            el("desc", desc),
            el("style", style),
            el("rect", width="100%", height="100%", fill="var(--paper)"),
            *drawn,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width:g} {height:g}",
            width=width,
            height=height,
            role="img",
        )
    )
