"""Estimates in rows: a name, marks with their intervals, and a line at the value that means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from w2s_pref.report.draw.format import UNDEFINED
from w2s_pref.report.draw.key import marker
from w2s_pref.report.draw.plot import Range, horizontal, vertical
from w2s_pref.report.draw.svg import Scale, el, label, ticks


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
            drawn.append(vertical(x(tick), 0, self.bottom, "neutral" if tick == self.neutral else "grid"))
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
