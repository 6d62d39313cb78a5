"""The region map: what each ceiling knows about each test item, and which items the student lost under conflict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Figure, Fold, Guide, Panel, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, number, plain
from w2s_pref.report.draw.key import line_swatch, swatch
from w2s_pref.report.draw.plot import Frame
from w2s_pref.report.draw.svg import crosses, dots, el
from w2s_pref.report.rows import CELL_WORDS, Row, find, rows
from w2s_pref.results.deception import CELLS, Deception, RegionMap
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
    table = cells(results)
    if table.groups:
        blocks.append(Fold("The four cells in numbers, all seeds", [table], open=not panels))
    return Section("regions", "Where the tax falls", blocks, "Regions") if blocks else None


def panel(results: Results, region: RegionMap) -> Panel:
    """One student's map."""
    row = find(results, region.arm, region.conflict)
    entry = row.deception if row else None
    frame = Frame(
        (0.0, 1.0), (0.0, 1.0), "p of the weak ceiling", "p of the strong ceiling",
        height=312, x_ticks=(0, 0.25, 0.5, 0.75, 1), y_ticks=(0, 0.25, 0.5, 0.75, 1),
    )  # fmt: skip
    if entry is not None and entry.known_rule == "gt_prob":
        frame.marks += shades(frame, region.threshold, entry)
    frame.marks += points(frame, region)
    edges = {region.threshold} if entry is None or entry.known_rule == "gt_prob" else _both(region.threshold)
    for edge in sorted(edges):
        frame.marks += [frame.vertical(edge, "cut"), frame.horizontal(edge, "cut")]
    if entry is not None and entry.known_rule == "gt_prob":
        frame.marks += labels(frame, region.threshold, entry)
    title = f"{plain(region.arm)}, {plain(region.conflict)}"
    lost = sum(point.tax for point in region.points)
    desc = f"{len(region.points)} items, {lost} lost under conflict, cells cut at {region.threshold:g}."
    return Panel(title, frame.render(f"Region map, {title}", desc), _note(entry))


def _both(threshold: float) -> set[float]:
    return {threshold, 1 - threshold}


def _note(entry: Deception | None) -> str:
    cell = entry.cells.get("sk_wuk") if entry else None
    if cell is None:
        return ""
    return f"Strong knows, weak does not: {cell.tax} lost of {cell.eligible} (rate {number(cell.rate)})"


def boxes(frame: Frame, threshold: float) -> Iterator[tuple[str, float, float, float, float]]:
    """Pixel boxes of the four cells: name, left, top, width, height."""
    cut_x, cut_y = frame.x(threshold), frame.y(threshold)
    for name in CELLS:
        strong, weak = name.split("_")
        left, right = (cut_x, frame.x.end) if weak == "wk" else (frame.x.start, cut_x)
        top, bottom = (frame.y.end, cut_y) if strong == "sk" else (cut_y, frame.y.start)
        yield name, left, top, right - left, bottom - top


def shades(frame: Frame, threshold: float, entry: Deception) -> list[Markup]:
    """Cells filled by flip rate."""
    filled = []
    for name, left, top, width, height in boxes(frame, threshold):
        cell = entry.cells.get(name)
        if cell is not None and cell.rate is not None:
            opacity = f"{SHADE * min(1.0, cell.rate):.3f}"
            filled.append(el("rect", x=left, y=top, width=width, height=height, class_="shade", fill_opacity=opacity))
    return filled


def labels(frame: Frame, threshold: float, entry: Deception) -> list[Markup]:
    """Lost / eligible and the rate, written into each cell that has room."""
    written: list[Markup] = []
    for name, left, top, width, height in boxes(frame, threshold):
        cell = entry.cells.get(name)
        if cell is None or width < ROOM or height < ROOM:
            continue
        middle, low = left + width / 2, top + height / 2
        written.append(el("text", f"{cell.tax}/{cell.eligible}", x=middle, y=low - 2, class_="cell mid"))
        if cell.rate is not None:
            written.append(el("text", number(cell.rate), x=middle, y=low + 12, class_="cell mid"))
    return written


def points(frame: Frame, region: RegionMap) -> list[Markup]:
    """Items: wrong for the reference (faint), kept (dots), lost (crosses, on top)."""
    placed = [(frame.x(p.weak), frame.y(p.strong), p) for p in region.points]
    lost = [(x, y) for x, y, p in placed if p.tax]
    return [
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


def cells(results: Results) -> Table:
    """Sizes, flip rates and error rates of the four cells."""
    groups = [
        TableGroup(f"{plain(row.arm)}, {plain(row.conflict)}", [_cell_row(row.deception, name) for name in CELLS])
        for row in rows(results)
        if row.deception is not None and _complete(row)
    ]
    head = ("Cell", "Items", "Eligible", "Tax", "Flip rate", "Errors", "Error rate")
    caption = "Cell sizes, with flip rate (tax / eligible) and error rate (errors / items) of the student."
    return Table(caption, head, groups)


def _complete(row: Row) -> bool:
    return row.deception is not None and all(name in row.deception.cells for name in CELLS)


def _cell_row(entry: Deception | None, name: str) -> list[Cell]:
    assert entry is not None
    cell = entry.cells[name]
    mark = el("strong", CELL_WORDS[name]) if name == "sk_wuk" else CELL_WORDS[name]
    numbers = (count(cell.n), count(cell.eligible), count(cell.tax), number(cell.rate))
    return [mark, *numbers, count(cell.errors), number(cell.error_rate)]
