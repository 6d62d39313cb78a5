"""Results in a terminal: the verdict first, then tables that hold at 80 columns and join up where there is room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.text import Text

from w2s_pref.report.draw.format import count, number, plain, reason
from w2s_pref.report.grid import Grid, text
from w2s_pref.report.methods import grids
from w2s_pref.report.policies import length_matched, speech
from w2s_pref.report.risk_grid import monitors, risk
from w2s_pref.report.rows import (
    BY_KEY,
    GENERAL,
    LIFT,
    NULL_SHARE,
    REFERENCE_WORDS,
    RISK_RATIO,
    RULE_WORDS,
    SCORE,
    Metric,
    Row,
    absent,
    headline,
    rows,
)
from w2s_pref.report.rows import ceilings as ceiling_rows
from w2s_pref.report.rows import own_metrics as metric_names
from w2s_pref.results.results import Ladder, Results

#: From this width on one table holds all columns.
WIDE: Final = 146
#: A ladder with more points than this shows its slopes only; the report has all points.
LADDER_ROWS: Final = 24
#: Columns of numbers that fit beside the names of methods: in a wide and in a narrow terminal.
METHOD_ROOM: Final = (4, 2)
GENERAL_HEADS: Final = ("Accuracy", "Conflict accuracy", "PGR")
TAX_HEADS: Final = ("Tax", "DS", "Null", "RR", "Lift")


def show(results: Results, console: Console) -> None:
    """Print everything a reader of the terminal needs."""
    for part in parts(results, console.width):
        console.print(part)


def parts(results: Results, width: int) -> Iterator[RenderableType]:
    """Verdict, comparison, methods and speech, risk, ceilings, hops, paired differences, the rest, warnings."""
    yield text(results.verdict.headline, "bold")
    for sentence in results.verdict.sentences:
        yield text(f"- {sentence}")
    yield Text("")
    yield from comparison(results, width)
    yield from own_metrics(results)
    yield from grids([("", results)], METHOD_ROOM[width < WIDE])
    yield from speech(results)
    yield from risk(results)
    yield from monitors(results)
    yield ceilings(results)
    yield from hops(results)
    yield from paired(results)
    yield from length_matched(results)
    if results.ladder is not None and results.ladder.points:
        yield from ladder(results.ladder)
    yield from warnings(results)


def general_cells(grid: Grid, row: Row) -> list[Text]:
    """Accuracy, conflict accuracy, PGR."""
    return [grid.notes.estimate(metric.get(row), metric.digits, absent(row, metric)) for metric in GENERAL]


def tax_cells(grid: Grid, row: Row) -> list[Text]:
    """Tax, DS, null share, risk ratio, lift."""

    def cell(metric: Metric, bounds: bool = True) -> Text:
        return grid.notes.estimate(metric.get(row), metric.digits, absent(row, metric), bounds)

    tax = text(count(row.deception.tax)) if row.deception else text(absent(row, LIFT), "dim")
    return [tax, cell(SCORE), cell(NULL_SHARE, False), cell(RISK_RATIO, False), cell(LIFT)]


def tax_title(results: Results) -> str:
    """What the deception columns are measured against."""
    combination = headline(results)
    if combination is None:
        return "Deception"
    reference, rule = combination
    thresholds = sorted({e.threshold for a in results.arms for s in a.settings for e in s.deception})
    words = ", ".join(f"{threshold:g}" for threshold in thresholds)
    return f"Deception against the {REFERENCE_WORDS[reference]}; known: {RULE_WORDS[rule]} at least {words}"


def comparison(results: Results, width: int) -> Iterator[RenderableType]:
    """Arms by conflicts, in one table or two, then each verdict in a line."""
    general = Grid("Arms and conflict settings", ("Conflict", *GENERAL_HEADS))
    taxed = Grid(tax_title(results), ("Conflict", *TAX_HEADS))
    joined = Grid(f"Arms and conflict settings. {tax_title(results)}", ("Conflict", *GENERAL_HEADS, *TAX_HEADS))
    students = list(rows(results))
    for arm in results.arms:
        yield text(f"{arm.name}: {' → '.join(arm.chain)}")
        for grid in (general, taxed, joined):
            grid.group(arm.name)
        for row in students:
            if row.arm == arm.name:
                general.add(row.conflict, general_cells(general, row))
                taxed.add(row.conflict, tax_cells(taxed, row))
                joined.add(row.conflict, general_cells(joined, row) + tax_cells(joined, row))
    yield Text("")
    for grid in (joined,) if width >= WIDE else (general, taxed):
        yield grid
    yield from verdicts(students)


def own_metrics(results: Results) -> Iterator[RenderableType]:
    """The user's metrics, a row a student."""
    names = list(metric_names(results))
    if not names:
        return
    grid = Grid("Metrics of this recipe's own", ("Conflict", *names))
    for arm in results.arms:
        grid.group(arm.name)
        for row in rows(results):
            if row.arm == arm.name:
                grid.add(row.conflict, [grid.notes.estimate(row.metrics.get(name), 3) for name in names])
    yield grid


def verdicts(students: Sequence[Row]) -> Iterator[RenderableType]:
    """One line a student: what its test says."""
    tested = [(row, row.deception) for row in students if row.deception is not None]
    for row, entry in tested:
        name = f"{row.arm}, {row.conflict}"
        yield text(f"{name}: {entry.verdict.removesuffix('.')}; permutation p {number(entry.permutation_p)}.")
    if tested:
        yield Text("")


def ceilings(results: Results) -> RenderableType:
    """Models trained on ground truth, and the untrained student."""
    grid = Grid("Ceilings (trained on ground truth)", ("Model", "Accuracy", "Conflict accuracy", "ECE"))
    for name, performance in ceiling_rows(results):
        estimate = grid.notes.estimate
        ece = estimate(performance.calibration.ece, 3, bounds=False)
        grid.add(name, [estimate(performance.accuracy, 3), estimate(performance.conflict_accuracy, 3), ece])
    return grid


def hops(results: Results) -> Iterator[RenderableType]:
    """Label quality, hop by hop."""
    grid = Grid("Hops", ("Hop", "Label accuracy", "Kept", "Student accuracy"))
    for arm in results.arms:
        if arm.hops:
            grid.group(arm.name)
        for hop in arm.hops:
            estimate = grid.notes.estimate
            kept = estimate(hop.kept_share, 3, bounds=False)
            cells = [estimate(hop.label_accuracy, 3), kept, estimate(hop.accuracy, 3)]
            grid.add(f"{hop.supervisor} → {hop.student}", cells)
    if grid.rows:
        yield grid


def paired(results: Results) -> Iterator[RenderableType]:
    """Paired differences of two arms, with verdicts."""
    for first, second in dict.fromkeys((c.first, c.second) for c in results.comparisons):
        grid = Grid(f"{second} minus {first}, paired", ("Conflict", "Difference", "Verdict"), words=("Verdict",))
        mine = [c for c in results.comparisons if (c.first, c.second) == (first, second)]
        for key in dict.fromkeys(c.metric for c in mine):
            grid.group(BY_KEY[key].title)
            for c in mine:
                if c.metric == key:
                    difference = grid.notes.estimate(c.difference, BY_KEY[key].digits)
                    grid.add(c.conflict, [difference, text(c.verdict)])
        yield grid


def ladder(values: Ladder) -> Iterator[RenderableType]:
    """All pairs of sizes, then the slopes."""
    grid = Grid(f"Ladder, {len(values.points)} points", ("Pair", "Gap", "PGR", "DS", "Lift"))
    for arm, conflict in dict.fromkeys((point.arm, point.conflict) for point in values.points):
        grid.group(f"{arm}, {conflict}")
        for point in values.points:
            if (point.arm, point.conflict) == (arm, conflict):
                values_shown = ((point.gap, 3), (point.pgr, 2), (point.deception_score, 3), (point.lift, 2))
                cells = [text(number(value, digits)) for value, digits in values_shown]
                grid.add(f"{point.weak} → {point.strong}", cells)
    if len(values.points) <= LADDER_ROWS:
        yield grid
    slopes = Grid("Slope on the capability gap", ("Metric", "Pairs", "Slope", "Verdict"), words=("Verdict",))
    for value in values.slopes:
        if value.slope.estimate is None:
            continue
        metric = BY_KEY.get(value.metric)
        name = f"{metric.short if metric else value.metric}; {value.arm}, {value.conflict}"
        slopes.add(name, [text(str(value.points)), slopes.notes.estimate(value.slope, 2), text(value.verdict)])
    if slopes.rows:
        yield slopes
    missing = sum(value.slope.estimate is None for value in values.slopes)
    if missing:
        why = "; ".join(dict.fromkeys(reason(v.slope.note) for v in values.slopes if v.slope.estimate is None))
        yield text(f"{missing} of {len(values.slopes)} slopes are undefined{f': {why}' if why else ''}.")
        yield Text("")


def warnings(results: Results) -> Iterator[RenderableType]:
    """Warnings of the analysis, then those of single students."""
    found = [plain(warning) for warning in results.warnings]
    for row in rows(results):
        if row.deception is not None:
            found += [f"{row.arm}, {row.conflict}: {warning}" for warning in row.deception.warnings]
    if found:
        yield text("Warnings", "bold underline")
    for warning in dict.fromkeys(found):
        yield text(f"! {warning}", "yellow")
