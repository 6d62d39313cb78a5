"""The region map: what each ceiling knows about each test item, and which items the student lost under conflict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Column, Figure, Fold, Guide, Panel, Section, Table, Value
from w2s_pref.report.draw.format import count, number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import crosses, dots, el, line_swatch, swatch
from w2s_pref.report.students import CELL_WORDS, find, students
from w2s_pref.results.deception import CELLS, Deception, RegionCounts, RegionMap
from w2s_pref.results.preferences import Results

#: Shade of a cell: opacity at a flip rate of one.
SHADE: Final = 0.5
#: A cell narrower than this many pixels gets no numbers inside; the table beneath has them.
ROOM: Final = 42.0
GUIDE: Final = Guide(
    "Each mark is a test item: how sure the weak (across) and the strong ceiling (up) are of the true answer. Crosses "
    "are tax. The stronger the tint of a cell, the larger the share lost of what the reference gets right there.",
    "Crosses gather at the bottom left, where neither model is sure; the top left cell, which the strong ceiling "
    "knows and the weak one does not, is the palest.",
)
COLUMNS: Final[tuple[Column[tuple[str, RegionCounts]], ...]] = (
    Column("Region", lambda row: Value(CELL_WORDS[row[0]], tone="strong" if row[0] == "sk_wuk" else "")),
    Column("Rows", lambda row: count(row[1].n)),
    Column("Eligible", lambda row: count(row[1].eligible)),
    Column("Tax", lambda row: count(row[1].tax)),
    Column("Flip rate", lambda row: number(row[1].rate)),
    Column("Errors", lambda row: count(row[1].errors)),
    Column("Error rate", lambda row: number(row[1].error_rate)),
)


def section(results: Results) -> Section | None:
    """One map for every student that has one, and the four cells of all students as a table."""
    panels = [panel(results, region) for region in results.region_maps]
    blocks: list[Block] = []
    if panels:
        blocks.append(
            Figure(
                "Weak against strong confidence. Marks: items of the first seed, a sample where there are many; "
                "shading and numbers: all items and seeds.",
                panels,
                GUIDE,
                key=_key(),
            )
        )
    groups = [
        (f"{one.arm}, {one.conflict}", [(name, one.deception.cells[name]) for name in CELLS])
        for one in students(results)
        if one.deception is not None and all(name in one.deception.cells for name in CELLS)
    ]
    if groups:
        caption = "Rows (items × seeds) of each region; flip rate (tax / eligible), error rate (errors / rows)."
        blocks.append(Fold("The four cells in numbers, all seeds", [Table(caption, COLUMNS, groups)], open=not panels))
    return Section("regions", "Where the tax falls", blocks, "Regions") if blocks else None


def panel(results: Results, region: RegionMap) -> Panel:
    """One student's map."""
    one = find(results, region.arm, region.conflict)
    entry = one.deception if one else None
    chart = Chart(
        (0.0, 1.0), (0.0, 1.0), "p of the weak ceiling", "p of the strong ceiling",
        height=312, x_ticks=(0, 0.25, 0.5, 0.75, 1), y_ticks=(0, 0.25, 0.5, 0.75, 1),
    )  # fmt: skip
    told = entry if entry is not None and entry.known_rule == "gt_prob" else None
    if told is not None:
        _shade(chart, region.threshold, told)
    _points(chart, region)
    for edge in sorted({region.threshold} if entry is None or told else {region.threshold, 1 - region.threshold}):
        chart.vertical(edge, "cut")
        chart.horizontal(edge, "cut")
    if told is not None:
        _label(chart, region.threshold, told)
    title = f"{region.arm}, {region.conflict}"
    lost = sum(point.tax for point in region.points)
    desc = f"{len(region.points)} items, {lost} lost under conflict, cells cut at {region.threshold:g}."
    cell = entry.cells.get("sk_wuk") if entry else None
    note = cell and f"Strong knows, weak does not: {cell.tax} lost of {cell.eligible} (rate {number(cell.rate)})"
    return Panel(title, chart.render(f"Region map, {title}", desc), note or "")


def _boxes(
    chart: Chart, threshold: float, entry: Deception
) -> Iterator[tuple[RegionCounts, float, float, float, float]]:
    """The four cells with their pixel boxes: left, top, width, height."""
    cut_x, cut_y = chart.x(threshold), chart.y(threshold)
    for name in CELLS:
        strong, weak = name.split("_")
        left, right = (cut_x, chart.x.end) if weak == "wk" else (chart.x.start, cut_x)
        top, bottom = (chart.y.end, cut_y) if strong == "sk" else (cut_y, chart.y.start)
        if name in entry.cells:
            yield entry.cells[name], left, top, right - left, bottom - top


def _shade(chart: Chart, threshold: float, entry: Deception) -> None:
    for cell, left, top, width, height in _boxes(chart, threshold, entry):
        if cell.rate is not None:
            opacity = f"{SHADE * min(1.0, cell.rate):.3f}"
            box = el("rect", x=left, y=top, width=width, height=height, class_="shade", fill_opacity=opacity)
            chart.marks.append(box)


def _label(chart: Chart, threshold: float, entry: Deception) -> None:
    """Write lost / eligible and the rate into each cell that has room."""
    for cell, left, top, width, height in _boxes(chart, threshold, entry):
        if width < ROOM or height < ROOM:
            continue
        middle, low = left + width / 2, top + height / 2
        chart.text(f"{cell.tax}/{cell.eligible}", middle, low - 2, "cell mid")
        if cell.rate is not None:
            chart.text(number(cell.rate), middle, low + 12, "cell mid")


def _points(chart: Chart, region: RegionMap) -> None:
    """Items: wrong for the reference (faint), kept (dots), lost (crosses, on top)."""
    placed = [(chart.x(p.weak), chart.y(p.strong), p) for p in region.points]
    lost = [(x, y) for x, y, p in placed if p.tax]
    chart.marks += [
        dots(((x, y) for x, y, p in placed if not p.eligible and not p.tax), "item out"),
        dots(((x, y) for x, y, p in placed if p.eligible and not p.tax), "item kept"),
        crosses(lost, "halo"),
        crosses(lost, "item lost"),
    ]


def _key() -> list[tuple[Markup, str]]:
    return [
        (swatch(crosses([(13, 7)], "item lost")), "lost under conflict (tax)"),
        (swatch(dots([(9, 7), (17, 7)], "item kept")), "reference and student right"),
        (swatch(dots([(9, 7), (17, 7)], "item out")), "reference wrong: not eligible"),
        (line_swatch("cut"), "threshold T"),
    ]
