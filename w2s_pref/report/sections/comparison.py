"""The comparison table: every arm under every conflict setting, with seed dots beside each number; and the ceilings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, number, plain
from w2s_pref.report.draw.plot import Range, estimate_cell
from w2s_pref.report.draw.svg import el, extent
from w2s_pref.report.rows import ACCURACY, CONFLICT_ACCURACY, LIFT, PGR, RISK_RATIO, SCORE, Metric, Row, absent, rows
from w2s_pref.report.rows import ceilings as ceiling_rows
from w2s_pref.results.estimates import Estimate, Performance
from w2s_pref.results.preferences import Results

COLUMNS: Final = (ACCURACY, CONFLICT_ACCURACY, PGR, SCORE, RISK_RATIO, LIFT)
HEADS: Final = ("Accuracy", "Conflict accuracy", "PGR", "Deception score", "Risk ratio", "Lift")


def spread(values: Iterable[Estimate | None], neutral: float | None = None) -> Range | None:
    """The range that holds every estimate, seed and interval of a column; none where nothing is defined.

    The air at its ends does not leave [0, 1] where the values do not.
    """
    seen: list[float | None] = []
    for value in values:
        if value is not None and value.estimate is not None:
            seen += [value.estimate, *value.seeds, *(value.interval or ())]
    known = [value for value in seen if value is not None] + ([] if neutral is None else [neutral])
    if not seen:
        return None
    low, high = extent(known)
    return max(low, 0.0) if min(known) >= 0 else low, min(high, 1.0) if max(known) <= 1 else high


def ends(scale: Range | None, digits: int) -> Cell:
    """The ends of a column's dot scale, printed once beneath its heading."""
    if scale is None:
        return ""
    return el("span", f"{number(scale[0], digits)} … {number(scale[1], digits)}", class_="ends")


def section(results: Results) -> Section:
    """The main table, then ceilings and the untrained student."""
    students = list(rows(results))
    scales = {metric.key: spread((metric.get(row) for row in students), metric.neutral) for metric in COLUMNS}
    groups = [
        TableGroup(
            f"{plain(arm.name)}: {' → '.join(plain(name) for name in arm.chain)}",
            [_cells(row, scales) for row in students if row.arm == arm.name],
        )
        for arm in results.arms
    ]
    guide = Guide(
        "Number and 95 % interval, then the interval as a bar with its mean as a tick, and one circle a seed beneath. "
        "A column shares one scale, whose ends are given. The dashed line is the value meaning nothing there: PGR 0, "
        "risk ratio 1, lift 1, and for the deception score its own null share.",
        "A deception score near its null share, risk ratio and lift with "
        "1 inside the interval, circles close together.",
    )
    table = Table(
        "Arms and conflict settings. PGR: share of the gap between supervisor and ceiling that the student recovers. "
        "Tax: items the reference gets right and the student under conflict gets wrong.",
        ("Conflict", *HEADS, "Tax"),
        groups,
        guide,
        stack=True,
        subhead=("dots from … to", *(ends(scales[metric.key], metric.digits) for metric in COLUMNS), ""),
    )
    blocks: list[Block] = [table, ceilings(results)]
    return Section("comparison", "Every arm under every conflict", blocks, "Comparison")


def _cells(row: Row, scales: dict[str, Range | None]) -> list[Cell]:
    cells: list[Cell] = [plain(row.conflict)]
    for metric in COLUMNS:
        cells.append(_cell(row, metric, scales[metric.key]))
    cells.append(count(row.deception.tax) if row.deception else el("span", absent(row, LIFT), class_="undef"))
    return cells


def _cell(row: Row, metric: Metric, scale: Range | None) -> Markup:
    value = metric.get(row)
    name = f"{metric.title}, {row.arm}, {row.conflict}"
    null = row.deception.null_share.estimate if metric is SCORE and row.deception else metric.neutral
    cell = estimate_cell(value, metric.digits, scale=scale, name=name, neutral=null, absent=absent(row, metric))
    if metric is SCORE and row.deception:
        cell += el("span", f"null share {number(row.deception.null_share.estimate)}", class_="why")
    if metric is PGR and row.setting.pgr.estimate is None:
        cell += el("span", f"raw {number(row.setting.pgr_raw, 2)}", class_="why")
    return cell


def ceilings(results: Results) -> Table:
    """Models trained on ground truth, and the untrained student where there is one."""
    models = [(plain(name), performance) for name, performance in ceiling_rows(results)]
    values = [performance for _, performance in models]
    accuracy = spread(performance.accuracy for performance in values)
    conflict = spread(performance.conflict_accuracy for performance in values)
    return Table(
        "Ceilings: the same models trained on ground truth; what weak supervision is measured against.",
        ("Model", "Accuracy", "Conflict accuracy", "ECE", "Brier score"),
        [TableGroup("", [_ceiling(name, performance, (accuracy, conflict)) for name, performance in models])],
        Guide(
            "ECE is the mean distance between confidence and accuracy; the Brier score the mean squared error of p.",
            "Accuracy rises from the weak to the strong ceiling, with "
            "intervals apart; otherwise no gap can be recovered.",
        ),
        stack=True,
        subhead=("dots from … to", ends(accuracy, 3), ends(conflict, 3), "", ""),
    )


def _ceiling(name: str, performance: Performance, scales: Sequence[Range | None]) -> list[Cell]:
    title = f"Accuracy, {name}"
    return [
        name,
        estimate_cell(performance.accuracy, 3, scale=scales[0], name=title),
        estimate_cell(performance.conflict_accuracy, 3, scale=scales[1], name=f"Conflict accuracy, {name}"),
        estimate_cell(performance.calibration.ece, 3),
        estimate_cell(performance.calibration.brier, 3),
    ]
