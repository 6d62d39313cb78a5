"""The ladder: metrics of every weak < strong pair against the gap between their ceilings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from w2s_pref.report.draw.blocks import Block, Cell, Figure, Fold, Guide, Panel, Section, Table, TableGroup
from w2s_pref.report.draw.format import number, plain
from w2s_pref.report.draw.key import colour, mark_swatch, marker, shape
from w2s_pref.report.draw.plot import Frame, estimate_cell
from w2s_pref.report.draw.svg import extent
from w2s_pref.report.rows import BY_KEY
from w2s_pref.results.preferences import Ladder, LadderPoint, Results, Slope

Read = Callable[[LadderPoint], float | None]
METRICS: Final[Sequence[tuple[str, float | None, Read]]] = (
    ("pgr", 0.0, lambda point: point.pgr),
    ("deception_score", None, lambda point: point.deception_score),
    ("lift", 1.0, lambda point: point.lift),
)
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
    panels = [panel(ladder, key, neutral, read, arms, conflicts) for key, neutral, read in METRICS]
    keys = [(mark_swatch(shape(arms, arm), "ink"), plain(arm)) for arm in arms]
    keys += [(mark_swatch("circle", f"fill {colour(conflicts, name)}"), plain(name)) for name in conflicts]
    blocks: list[Block] = [Figure("Metrics against the capability gap.", panels, GUIDE, key=keys)]
    if ladder.slopes:
        blocks.append(slopes(ladder.slopes))
    blocks.append(Fold(f"All {len(ladder.points)} points in numbers", [points(ladder)]))
    return Section("ladder", "Up the ladder of sizes", blocks, "Ladder")


def panel(
    ladder: Ladder, key: str, neutral: float | None, read: Read, arms: Sequence[str], conflicts: Sequence[str]
) -> Panel:
    """One metric."""
    metric = BY_KEY[key]
    known = [(point, value) for point in ladder.points if (value := read(point)) is not None]
    heights = extent((value for _, value in known), include=() if neutral is None or not known else (neutral,))
    frame = Frame(extent(point.gap for point in ladder.points), heights, "accuracy gap", metric.short)
    if neutral is not None and known:
        frame.marks.append(frame.horizontal(neutral, "neutral"))
    for point, value in known:
        name = f"{plain(point.weak)} → {plain(point.strong)}, {plain(point.arm)}, {plain(point.conflict)}"
        style = f"fill {colour(conflicts, point.conflict)}"
        tip = f"{name}: {number(value, metric.digits)}"
        apart = 5.0 * (arms.index(point.arm) - (len(arms) - 1) / 2) + 1.6 * conflicts.index(point.conflict)
        frame.marks.append(marker(shape(arms, point.arm), frame.x(point.gap) + apart, frame.y(value), style, tip))
    missing = len(ladder.points) - len(known)
    note = f"{len(known)} pairs drawn" + (f", {missing} undefined" if missing else "")
    return Panel(metric.title, frame.render(f"{metric.title} against the capability gap", note), note)


def slopes(values: Sequence[Slope]) -> Table:
    """Slopes on the gap, with verdicts."""
    lines: list[list[Cell]] = []
    for value in values:
        metric = BY_KEY.get(value.metric)
        name = metric.title if metric else plain(value.metric)
        student = f"{name}; {plain(value.arm)}, {plain(value.conflict)}"
        lines.append([student, str(value.points), estimate_cell(value.slope, 2), plain(value.verdict)])
    caption = "Least-squares slope of each metric on the capability gap."
    return Table(caption, ("Metric; arm, conflict", "Pairs", "Slope", "Verdict"), [TableGroup("", lines)],
                 text_columns=(0, 3))  # fmt: skip


def points(ladder: Ladder) -> Table:
    """The numbers behind the figure."""
    lines: list[list[Cell]] = [
        [
            f"{plain(point.weak)} → {plain(point.strong)}; {plain(point.arm)}, {plain(point.conflict)}",
            number(point.gap),
            number(point.pgr, 2),
            number(point.deception_score),
            number(point.lift, 2),
        ]
        for point in ladder.points
    ]
    head = ("Pair; arm, conflict", "Gap", "PGR", "DS", "Lift")
    return Table("Every pair of sizes.", head, [TableGroup("", lines)])
