"""The ladder: metrics of every weak < strong pair against the gap between their ceilings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from w2s_pref.report.draw.blocks import Block, Column, Figure, Fold, Guide, Panel, Prose, Section, Table
from w2s_pref.report.draw.format import number, reason
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import colour, extent, series_key, shape
from w2s_pref.report.students import BY_KEY
from w2s_pref.report.verdicts import p_cell
from w2s_pref.results.preferences import Ladder, LadderPoint, Results, Slope

Read = Callable[[LadderPoint], float | None]
METRICS: Final[Sequence[tuple[str, float | None, Read]]] = (
    ("pgr", 0.0, lambda point: point.pgr),
    ("deception_score", None, lambda point: point.deception_score),
    ("lift_smooth", 1.0, lambda point: point.lift_smooth),
)
#: Of points whose lift was kept in its binned form alone, as older results have it.
BINNED: Final[tuple[str, float | None, Read]] = ("lift", 1.0, lambda point: point.lift)
#: A ladder with more points than this shows its slopes only in a terminal; the page has all points.
FEW: Final = 24
GUIDE: Final = Guide(
    "Each mark is one pair of sizes; across, the accuracy gap between their ceilings. Shape tells the arm, colour the "
    "conflict. Arms stand slightly apart so that equal "
    "values can be seen; undefined pairs are counted under the panel.",
    "PGR level or rising, deception score and lift without a trend. The slopes and their intervals stand beneath.",
)


def section(results: Results) -> Section | None:
    """Scatter panels, slopes, and all points as a table."""
    ladder = results.ladder
    if ladder is None or not ladder.points:
        return None
    arms = list(dict.fromkeys(point.arm for point in ladder.points))
    conflicts = list(dict.fromkeys(point.conflict for point in ladder.points))
    shown = METRICS if _smooth(ladder) or not any(p.lift is not None for p in ladder.points) else (*METRICS[:2], BINNED)
    panels = [_panel(ladder, key, neutral, read, arms, conflicts) for key, neutral, read in shown]
    few = len(ladder.points) <= FEW
    blocks: list[Block] = [
        Figure("Metrics against the capability gap.", panels, GUIDE, key=series_key(arms, conflicts)),
        *(_slopes(ladder.slopes) if ladder.slopes else []),
        Fold(f"All {len(ladder.points)} points in numbers", [_points(ladder)], where="both" if few else "page"),
    ]
    return Section("ladder", "Up the ladder of sizes", blocks, "Ladder")


def _smooth(ladder: Ladder) -> bool:
    return any(point.lift_smooth is not None for point in ladder.points)


def _panel(
    ladder: Ladder, key: str, neutral: float | None, read: Read, arms: Sequence[str], conflicts: Sequence[str]
) -> Panel:
    metric = BY_KEY[key]
    known = [(point, value) for point in ladder.points if (value := read(point)) is not None]
    heights = extent((value for _, value in known), include=() if neutral is None or not known else (neutral,))
    chart = Chart(extent(point.gap for point in ladder.points), heights, "accuracy gap", metric.short)
    if neutral is not None and known:
        chart.horizontal(neutral, "neutral")
    for point, value in known:
        name = f"{point.weak} → {point.strong}, {point.arm}, {point.conflict}"
        style = f"fill {colour(conflicts, point.conflict)}"
        tip = f"{name}: {number(value, metric.digits)}"
        apart = 5.0 * (arms.index(point.arm) - (len(arms) - 1) / 2) + 1.6 * conflicts.index(point.conflict)
        chart.mark(shape(arms, point.arm), point.gap, value, style, tip, apart=apart)
    missing = len(ladder.points) - len(known)
    note = f"{len(known)} pairs drawn" + (f", {missing} undefined" if missing else "")
    return Panel(metric.title, chart.render(f"{metric.title} against the capability gap", note), note)


def _metric(value: Slope, short: bool) -> str:
    metric = BY_KEY.get(value.metric)
    name = value.metric if metric is None else metric.short if short else metric.title
    return f"{name}; {value.arm}, {value.conflict}"


SLOPES: Final[tuple[Column[Slope], ...]] = (
    Column("Metric; arm, conflict", lambda value: _metric(value, False), where="page"),
    Column("Metric", lambda value: _metric(value, True), where="terminal"),
    Column("Pairs", lambda value: str(value.points)),
    Column("Slope", lambda value: value.slope, 2),
    Column("p", lambda value: p_cell(value.p), where="page"),
    Column("p, adjusted", lambda value: p_cell(value.p_adjusted), short="p adj."),
    Column("Verdict", lambda value: value.verdict, words=True),
)
POINTS: Final[tuple[Column[LadderPoint], ...]] = (
    Column("Pair", lambda point: f"{point.weak} → {point.strong}"),
    Column("Gap", lambda point: number(point.gap)),
    Column("PGR", lambda point: number(point.pgr, 2)),
    Column("DS", lambda point: number(point.deception_score)),
    Column("Null", lambda point: number(point.null_share)),
)


def _slopes(values: Sequence[Slope]) -> list[Block]:
    """Slopes on the gap, with verdicts. The terminal counts those that are undefined instead of listing them."""
    caption = "Least-squares slope of each metric on the capability gap; verdicts after correction for their number."
    known = [value for value in values if value.slope.estimate is not None]
    missing = [value for value in values if value.slope.estimate is None]
    title = "Slope on the capability gap"
    blocks: list[Block] = []
    if known:
        blocks.append(Table(caption, SLOPES, [("", known)], title=title, where="terminal"))
    if missing:
        why = "; ".join(dict.fromkeys(reason(value.slope.note) for value in missing))
        said = f"{len(missing)} of {len(values)} slopes are undefined{f': {why}' if why else ''}."
        blocks.append(Prose([said], where="terminal"))
    return [Table(caption, SLOPES, [("", values)], where="page"), *blocks]


def _points(ladder: Ladder) -> Table[LadderPoint]:
    places = dict.fromkeys((point.arm, point.conflict) for point in ladder.points)
    groups = [
        (f"{arm}, {conflict}", [point for point in ladder.points if (point.arm, point.conflict) == (arm, conflict)])
        for arm, conflict in places
    ]
    lift: Column[LadderPoint] = Column("Lift", lambda point: number(point.lift_smooth, 2))
    binned: Column[LadderPoint] = Column("Binned lift", lambda point: number(point.lift, 2))
    columns = [*POINTS, lift if _smooth(ladder) else binned]
    return Table("Every pair of sizes.", columns, groups, title=f"Ladder, {len(ladder.points)} points")
