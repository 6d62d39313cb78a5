"""Methods side by side: the same supervision with a reward model, DPO, PPO and so on, one row a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import number, plain
from w2s_pref.report.draw.plot import Range, estimate_cell
from w2s_pref.report.draw.svg import el
from w2s_pref.report.methods import Lines, SideBySide, head, missing, side_by_side
from w2s_pref.report.rows import SCORE, Metric, Row
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.results.preferences import Results

#: Columns of numbers a table has room for.
ROOM: Final = 6
GUIDE: Final = Guide(
    "One row a method, one column a way of supervising. All columns of a metric share one scale, whose ends are "
    "given; the dashed line is PGR 0, lift 1, a win rate of one half, and for the deception score its null share. "
    "Methods score answers on scales of their own: compare shares such as accuracy, not margins.",
    "Methods agree on which arm is better. A deception score that only one method shows speaks of that method.",
)


def section(results: Results) -> Section | None:
    """Tables of as many metrics as fit; none where all students are of one method."""
    table = side_by_side([("", results)])
    if table is None:
        return None
    blocks: list[Block] = [_table(table, metrics) for metrics in table.parts(ROOM)]
    return Section("methods", "Methods side by side", blocks, "Methods")


def _table(table: SideBySide, metrics: Sequence[Metric]) -> Table:
    scales = {m.key: spread((m.get(r) for line in table.lines for r in line.students if r), m.neutral) for m in metrics}
    columns = [(metric, one) for metric in metrics for one in table.supervisions]
    groups = [
        TableGroup(plain(conflict), [_row(line, metrics, scales) for line in table.under(conflict)])
        for conflict in table.conflicts
    ]
    return Table(
        f"By method and conflict: {'; '.join(table.title(metric) for metric in metrics)}.",
        ("Method", *(head(metric, one) for metric, one in columns)),
        groups,
        GUIDE,
        stack=True,
        subhead=("dots from … to", *(ends(scales[metric.key], metric.digits) for metric, _ in columns)),
    )


def _row(line: Lines, metrics: Sequence[Metric], scales: dict[str, Range | None]) -> list[Cell]:
    return [line.name, *(_cell(line, row, metric, scales[metric.key]) for metric in metrics for row in line.students)]


def _cell(line: Lines, row: Row | None, metric: Metric, scale: Range | None) -> Markup:
    if row is None:
        return el("span", missing(row, metric), class_="undef")
    name = f"{metric.title}, {line.name}, {row.supervision}, {row.conflict}"
    null = row.deception.null_share.estimate if metric is SCORE and row.deception else metric.neutral
    cell = estimate_cell(
        metric.get(row), metric.digits, scale=scale, name=name, neutral=null, absent=missing(row, metric)
    )
    if metric is SCORE and row.deception:
        cell += el("span", f"null share {number(null)}", class_="why")
    return cell
