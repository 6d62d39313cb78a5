"""The live monitor: signals on the probe set against steps, with their alarms, and what watching cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Cell, Figure, Fold, Guide, Panel, Section, Table, TableGroup
from w2s_pref.report.draw.format import count, number, plain
from w2s_pref.report.draw.key import mark_swatch, marker
from w2s_pref.report.draw.plot import Frame
from w2s_pref.report.draw.svg import el, extent, line
from w2s_pref.report.sections.curves import SHOWN, seed_style, swatches
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import MonitorAlarm, MonitorCurve

#: Signals with a panel of their own; those that raised an alarm have one as well, the rest is in results.json.
FIRST: Final = ("var", "bsd")
THEN: Final = ("confidence", "misfit", "spot_share", "accuracy")
WORDS: Final = {
    "var": "Var, weak answer first",
    "bsd": "BSD",
    "confidence": "mean confidence",
    "misfit": "misfit M",
    "spot_share": "sure in the blind spot",
    "accuracy": "accuracy",
}
#: Points drawn of one line, and alarms named in one cell.
POINTS: Final = 80
NAMED: Final = 6
ALARM: Final = "ink"
GUIDE: Final = Guide(
    "A signal on the fixed probe set against optimizer steps, one line a seed, each panel on its own scale. A triangle "
    "is an alarm: there the signal left what ground-truth training shows at that share of the training.",
    "Lines of the seeds close together, BSD low to the end, no triangle. An alarm proves nothing: look at BSD after "
    "it.",
)


def section(results: Results) -> Section | None:
    """Timelines of the first signals, further ones behind a fold, and a table of alarms and cost."""
    watched = [curve for curve in results.monitors if curve.steps]
    if not watched:
        return None
    seeds = sorted({curve.seed for curve in watched})
    key = [*swatches(seeds), (mark_swatch("triangle", ALARM), "alarm")]
    alarmed = {alarm.signal for curve in watched for alarm in curve.alarms}
    first = [*FIRST, *sorted(alarmed - {*FIRST})]
    panels, rest = (_panels(watched, names, seeds) for names in (first, [n for n in THEN if n not in first]))
    panels, rest = panels[:SHOWN], panels[SHOWN:] + rest
    blocks: list[Block] = []
    if panels:
        blocks.append(Figure("Signals during training.", panels, GUIDE, key=key, size="small"))
    if rest:
        more = Figure("Further signals and trainings.", rest, GUIDE, key=key, size="small")
        blocks.append(Fold(f"{len(rest)} further timelines", [more]))
    return Section("monitor", "The live monitor", [*blocks, _table(watched)], "Monitor")


def _panels(watched: Sequence[MonitorCurve], signals: Sequence[str], seeds: Sequence[int]) -> list[Panel]:
    """A panel for each training and each signal that was seen in it."""
    found = []
    for name in dict.fromkeys(curve.name for curve in watched):
        own = [curve for curve in watched if curve.name == name]
        for signal in signals:
            there = [curve for curve in own if any(v is not None for v in curve.signals.get(signal, []))]
            if there:
                found.append(_panel(name, signal, there, seeds))
    return found


def _panel(name: str, signal: str, curves: Sequence[MonitorCurve], seeds: Sequence[int]) -> Panel:
    words = WORDS.get(signal, plain(signal))
    last = float(max(curve.steps[-1] for curve in curves)) or 1.0
    heights = extent(value for curve in curves for value in curve.signals[signal])
    frame = Frame((0.0, last), heights, "step", words, width=220, height=180, left=50)
    told = []
    for curve in curves:
        points = [
            None if value is None else (frame.x(step), frame.y(value))
            for step, value in zip(curve.steps, curve.signals[signal], strict=True)
        ]
        drawn = line(_thin(points), seed_style(seeds, curve.seed))
        frame.marks.append(el("g", el("title", f"seed {curve.seed}"), drawn))
        ends = [value for value in curve.signals[signal] if value is not None]
        told.append(f"seed {curve.seed}: {number(ends[0])} to {number(ends[-1])}")
    for curve in curves:
        frame.marks += [_mark(frame, curve, alarm) for alarm in curve.alarms if alarm.signal == signal]
        told += [f"seed {curve.seed}: {_alarm(alarm)}" for alarm in curve.alarms if alarm.signal == signal]
    title = f"{plain(name)}: {words}"
    return Panel(title, frame.render(title, "; ".join(told)))


def _mark(frame: Frame, curve: MonitorCurve, alarm: MonitorAlarm) -> Markup:
    """A triangle on the line, or on the axis where the step has no value."""
    values = dict(zip(curve.steps, curve.signals[alarm.signal], strict=True))
    value = values.get(alarm.step)
    height = frame.y.start if value is None else frame.y(value)
    return marker("triangle", frame.x(alarm.step), height, ALARM, f"seed {curve.seed}, {_alarm(alarm)}", size=6)


def _thin(points: list[tuple[float, float] | None]) -> list[tuple[float, float] | None]:
    """At most ``POINTS`` points, evenly taken, with the last one."""
    if len(points) <= POINTS:
        return points
    stride = len(points) / POINTS
    return [points[int(index * stride)] for index in range(POINTS)] + [points[-1]]


def _alarm(alarm: MonitorAlarm) -> str:
    statistic = f", {plain(alarm.statistic)}" if alarm.statistic else ""
    return f"step {alarm.step}: {plain(alarm.signal)}{statistic} ({plain(alarm.action)})"


def _table(watched: Sequence[MonitorCurve]) -> Table:
    """A row for each training and seed."""
    rows: list[list[Cell]] = []
    for curve in watched:
        alarms = [_alarm(alarm) for alarm in curve.alarms[:NAMED]]
        if len(curve.alarms) > NAMED:
            alarms.append(f"{len(curve.alarms) - NAMED} more")
        cost = "not measured" if curve.cost is None else f"{number(100 * curve.cost, 1)} %"
        rows.append([plain(curve.name), str(curve.seed), count(len(curve.steps)), "; ".join(alarms) or "none", cost])
    caption = "Looks, alarms and the share of the training time that watching took."
    return Table(caption, ("Training", "Seed", "Looks", "Alarms", "Cost"), [TableGroup("", rows)], stack=True,
                 text_columns=(0, 3))  # fmt: skip
