"""Pictures of the risk section: what a risk is made of, variance against deception, deception over thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Panel
from w2s_pref.report.draw.format import number, one_line, p_value
from w2s_pref.report.draw.plot import Chart, horizontal, vertical
from w2s_pref.report.draw.svg import Scale, colour, el, extent, label, picture, shape, ticks
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.risk import Predictors, RankCorrelation, Risk, RiskNumbers, RiskParts

RAW: Final = "raw"
CALIBRATED: Final = "calibrated"
#: Shade of a cell of the heat map at the largest value of its map.
SHADE: Final = 0.62
_WIDTH, _LEFT, _ROW, _FOOT = 320.0, 108.0, 34.0, 36.0
#: Parts of a bar in the order they are stacked: field, class, how the key calls it.
PARTS: Final = (
    ("bias_squared", "fill c5", "bias²"),
    ("shared", "fill c0", "variance, shared with the other model"),
    ("own", "fill c1", "variance, its own"),
)


def _numbers(risk: Risk, kind: str) -> RiskNumbers | None:
    return risk.raw if kind == RAW else risk.calibrated


def longest(risks: Iterable[Risk]) -> float:
    """The largest risk or end of its interval, raw or calibrated: one scale for all bars."""
    values = [one for risk in risks for kind in (RAW, CALIBRATED) if (one := _numbers(risk, kind)) is not None]
    whole = [estimate for one in values for estimate in (one.risk_weak, one.risk_strong)]
    return max(0.01, *(end or 0.0 for value in whole for end in (value.estimate, *(value.interval or ()))))


def bars(arm: str, risks: Sequence[Risk], kind: str, most: float) -> Panel:
    """One arm: for every student its own bar above the weak ceiling's."""
    x = Scale(0.0, most, _LEFT, _WIDTH - 10)
    bottom = _ROW * len(risks) + 6
    drawn, words = [], []
    for tick in ticks(0.0, most):
        drawn.append(vertical(x(tick), 4, bottom, "grid"))
        drawn.append(el("text", label(tick), x=x(tick), y=bottom + 14, class_="tick mid"))
    drawn.append(el("text", "risk E(1 − p)²", x=(x.start + x.end) / 2, y=bottom + 30, class_="name mid"))
    for place, risk in enumerate(risks):
        found = _numbers(risk, kind)
        top = _ROW * place + 8
        drawn.append(el("text", one_line(risk.conflict, 13), x=2, y=top + 16))
        if found is None:
            drawn.append(el("text", "undefined", x=x.start + 4, y=top + 16, class_="tick"))
            continue
        for offset, letter, parts, whole in (
            (0.0, "s", found.parts_strong, found.risk_strong),
            (13.0, "w", found.parts_weak, found.risk_weak),
        ):
            drawn.append(el("text", letter, x=_LEFT - 6, y=top + offset + 9, class_="tick end"))
            drawn += _bar(parts, whole, x, top + offset)
        shown = f"student {number(found.risk_strong.estimate)}, weak {number(found.risk_weak.estimate)}"
        words.append(f"{risk.conflict}: {shown}")
    title = f"{arm}, {kind}"
    svg = picture(_WIDTH, bottom + _FOOT, f"Parts of the risk, {title}", "; ".join(words) or "undefined", drawn, "plot")
    return Panel(title, svg)


def _bar(parts: RiskParts, whole: Estimate, x: Scale, y: float) -> list[Markup]:
    """Stacked parts and the interval of their sum; variance that cannot be split stands as its own."""
    drawn, start = [], 0.0
    for field, class_, words in PARTS:
        value = getattr(parts, field)
        if value is None:
            value = parts.variance if field == "own" else 0.0
        tip = el("title", f"{words}: {number(value, 4)}")
        left, right = x(start), x(start + value)
        drawn.append(el("rect", tip, x=left, y=y, width=max(0.0, right - left), height=11, class_=class_))
        start += value
    if whole.interval is not None:
        low, high = x(whole.interval[0]), x(whole.interval[1])
        drawn.append(horizontal(y + 5.5, low, high, "mean"))
    return drawn


def scatters(risks: Sequence[Risk], predictors: Predictors | None) -> list[Panel]:
    """Var of the students against their BSD, raw and calibrated on the same axes, a mark a seed."""
    arms = list(dict.fromkeys(risk.arm for risk in risks))
    conflicts = list(dict.fromkeys(risk.conflict for risk in risks))
    points = {kind: _points(risks, kind) for kind in (RAW, CALIBRATED)}
    every = [(x, y) for found in points.values() for _, x, y in found]
    ranges = extent((x for x, _ in every), include=(0.0,)), extent((y for _, y in every), include=(0.0,))
    return [_scatter(kind, found, ranges, (arms, conflicts), predictors) for kind, found in points.items() if found]


def _points(risks: Sequence[Risk], kind: str) -> list[tuple[Risk, float, float]]:
    found = []
    for risk in risks:
        numbers = _numbers(risk, kind)
        if numbers is not None:
            var, bsd = (value.seeds or [value.estimate] for value in (numbers.var_strong, numbers.bsd))
            found += [(risk, x, y) for x, y in zip(var, bsd, strict=False) if x is not None and y is not None]
    return found


def _scatter(
    kind: str,
    points: Sequence[tuple[Risk, float, float]],
    ranges: tuple[tuple[float, float], tuple[float, float]],
    names: tuple[Sequence[str], Sequence[str]],
    predictors: Predictors | None,
) -> Panel:
    chart = Chart(ranges[0], ranges[1], "Var of the student, chosen-first", "BSD", left=50)
    arms, conflicts = names
    for risk, x, y in points:
        tip = f"{risk.arm}, {risk.conflict}: Var {number(x)}, BSD {number(y)}"
        style = f"fill {colour(conflicts, risk.conflict)}"
        chart.mark(shape(arms, risk.arm), x, y, style, tip)
    title = f"Var and BSD, {kind}"
    desc = "; ".join(f"{r.arm}, {r.conflict}: {number(x)}, {number(y)}" for r, x, y in points)
    return Panel(title, chart.render(title, desc), _rho(kind, predictors))


def _rho(kind: str, predictors: Predictors | None) -> str:
    """The rank correlation in words; empty where the study has too few settings for one."""
    entry = next((e for e in predictors.signals if e.signal == "var_strong"), None) if predictors else None
    if predictors is None or entry is None:
        return "too few settings for a rank correlation"
    found: RankCorrelation = entry.raw if kind == RAW else entry.calibrated
    if found.rho is None:
        return "rank correlation undefined"
    p = f"p {p_value(found.p)}, {p_value(found.p_holm)} after Holm"
    return f"rank correlation {number(found.rho, 2)} over {len(predictors.settings)} settings, {p}"


def heat_map(risk: Risk, field: str, name: str) -> Panel:
    """BSD or BSD_cond in percent over both thresholds."""
    across = sorted({point.t_strong for point in risk.grid})
    up = sorted({point.t_weak for point in risk.grid})
    chart = Chart(
        (0.0, float(len(across))), (0.0, float(len(up))), "t_s: student sure from here up", "t_w: weak unsure up to",
        height=216, left=54, x_ticks=(), y_ticks=(),
    )  # fmt: skip
    for place, t in enumerate(across):
        chart.text(f"{t:.2f}", chart.x(place + 0.5), chart.y.start + 15, "tick mid")
    for place, t in enumerate(up):
        chart.text(f"{t:.2f}", chart.x.start - 6, chart.y(place + 0.5) + 4, "tick end")
    most = max([*(getattr(point, field) or 0.0 for point in risk.grid), 1e-9])
    for point in risk.grid:
        _cell(chart, across.index(point.t_strong), up.index(point.t_weak), getattr(point, field), most)
    title = f"{name}, {risk.arm}, {risk.conflict}"
    words = (f"t_s {p.t_strong:g}, t_w {p.t_weak:g}: {number(getattr(p, field))}" for p in risk.grid)
    return Panel(title, chart.render(f"{title} over both thresholds", "; ".join(words)))


def _cell(chart: Chart, column: int, row: int, value: float | None, most: float) -> None:
    left, right = chart.x(column), chart.x(column + 1)
    bottom, top = chart.y(row), chart.y(row + 1)
    middle, low = (left + right) / 2, (bottom + top) / 2 + 4
    if value is None:
        chart.text("–", middle, low, "tick mid")
        return
    opacity = f"{SHADE * value / most:.3f}"
    box = el("rect", x=left, y=top, width=right - left, height=bottom - top, class_="shade", fill_opacity=opacity)
    chart.marks.append(box)
    chart.text(number(100 * value, 1), middle, low, "mid")
