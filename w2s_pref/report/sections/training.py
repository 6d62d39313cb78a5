"""Trainings against steps: learning curves, and the live monitor with its signals, alarms and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from markupsafe import Markup

from w2s_pref.report.draw.blocks import Block, Column, Figure, Fold, Guide, Panel, Section, Table
from w2s_pref.report.draw.format import count, number
from w2s_pref.report.draw.plot import Chart
from w2s_pref.report.draw.svg import extent, line_swatch, mark_swatch
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import Curve, MonitorAlarm, MonitorCurve

P = TypeVar("P")
#: Panels shown at once; more of them go behind a fold.
SHOWN: Final = 12
#: Points drawn of one curve; a longer one is thinned evenly, keeping its last point.
LOSS_POINTS: Final = 120
DASHES: Final = ("", "dash1", "dash2", "dash3")
LOSS_GUIDE: Final = Guide(
    "Training loss against optimizer steps, one line a seed, each panel on its own scale (long curves are thinned). "
    "The dashed level is ln 2, the loss of a coin.",
    "A fall below ln 2 that flattens out, with seeds close together. A line that stays at ln 2 learned nothing.",
)


def curves(results: Results) -> Section | None:
    """All curves, grouped by stage."""
    names = list(dict.fromkeys(curve.name for curve in results.curves if curve.step))
    if not names:
        return None
    seeds = sorted({curve.seed for curve in results.curves})
    panels = [_loss_panel(name, [c for c in results.curves if c.name == name and c.step], seeds) for name in names]
    key = [*_swatches(seeds), (line_swatch("neutral"), "ln 2")]
    blocks: list[Block] = [Figure("Training loss.", panels[:SHOWN], LOSS_GUIDE, key=key, size="small")]
    if len(panels) > SHOWN:
        rest = Figure("Training loss, further stages.", panels[SHOWN:], LOSS_GUIDE, key=key, size="small")
        blocks.append(Fold(f"{len(panels) - SHOWN} further stages", [rest]))
    return Section("curves", "Learning curves", blocks, "Learning curves")


def _loss_panel(name: str, curves: Sequence[Curve], seeds: Sequence[int]) -> Panel:
    coin = 0.6931
    losses = [loss for curve in curves for loss in curve.loss]
    low, high = extent(losses)
    steps = max(max(curve.step) for curve in curves)
    chart = Chart((0.0, float(steps) or 1.0), (low, high), "step", "loss", width=220, height=180)
    if low <= coin <= high:
        chart.horizontal(coin, "neutral")
    for curve in curves:
        points = list(zip(curve.step, curve.loss, strict=False))
        chart.line(thin(points, LOSS_POINTS), _seed_style(seeds, curve.seed), f"seed {curve.seed}")
    ends = ", ".join(f"seed {c.seed}: {number(c.loss[0])} to {number(c.loss[-1])}" for c in curves if c.loss)
    return Panel(name, chart.render(f"Training loss, {name}", ends))


def thin(points: Sequence[P], most: int) -> list[P]:
    """At most ``most`` points, evenly taken, and the last one."""
    if len(points) <= most:
        return list(points)
    stride = len(points) / most
    return [points[int(index * stride)] for index in range(most)] + [points[-1]]


def _seed_style(seeds: Sequence[int], seed: int) -> str:
    place = seeds.index(seed)
    return f"stroke c{place % 6} {DASHES[place % len(DASHES)]}".strip()


def _swatches(seeds: Sequence[int]) -> list[tuple[Markup, str]]:
    return [(line_swatch(_seed_style(seeds, seed)), f"seed {seed}") for seed in seeds]


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


def monitor(results: Results) -> Section | None:
    """Timelines of the first signals, further ones behind a fold, and a table of alarms and cost."""
    watched = [curve for curve in results.monitors if curve.steps]
    if not watched:
        return None
    seeds = sorted({curve.seed for curve in watched})
    key = [*_swatches(seeds), (mark_swatch("triangle", ALARM), "alarm")]
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
    caption = "Looks, alarms and the share of the training time that watching took."
    blocks.append(Table(caption, COLUMNS, [("", watched)], stack=True, title="Live monitor"))
    return Section("monitor", "The live monitor", blocks, "Monitor")


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
    words = WORDS.get(signal, signal)
    last = float(max(curve.steps[-1] for curve in curves)) or 1.0
    heights = extent(value for curve in curves for value in curve.signals[signal])
    chart = Chart((0.0, last), heights, "step", words, width=220, height=180, left=50)
    told = []
    for curve in curves:
        points = list(zip(curve.steps, curve.signals[signal], strict=True))
        chart.line(thin(points, POINTS), _seed_style(seeds, curve.seed), f"seed {curve.seed}")
        ends = [value for value in curve.signals[signal] if value is not None]
        told.append(f"seed {curve.seed}: {number(ends[0])} to {number(ends[-1])}")
    for curve in curves:
        values = dict(zip(curve.steps, curve.signals[signal], strict=True))
        for alarm in (alarm for alarm in curve.alarms if alarm.signal == signal):
            tip = f"seed {curve.seed}, {_alarm(alarm)}"
            chart.mark("triangle", alarm.step, values.get(alarm.step), ALARM, tip, size=6)
            told.append(f"seed {curve.seed}: {_alarm(alarm)}")
    title = f"{name}: {words}"
    return Panel(title, chart.render(title, "; ".join(told)))


def _alarm(alarm: MonitorAlarm) -> str:
    statistic = f", {alarm.statistic}" if alarm.statistic else ""
    return f"step {alarm.step}: {alarm.signal}{statistic} ({alarm.action})"


def _alarms(curve: MonitorCurve) -> str:
    more = [f"{len(curve.alarms) - NAMED} more"] if len(curve.alarms) > NAMED else []
    return "; ".join([*map(_alarm, curve.alarms[:NAMED]), *more]) or "none"


def _first(curve: MonitorCurve) -> str:
    if not curve.alarms:
        return "none"
    alarm = min(curve.alarms, key=lambda one: one.step)
    return f"step {alarm.step}: {alarm.signal}, {alarm.action}"


COLUMNS: Final[tuple[Column[MonitorCurve], ...]] = (
    Column("Training", lambda curve: curve.name, where="page"),
    Column("Training", lambda curve: f"{curve.name}, seed {curve.seed}", where="terminal"),
    Column("Seed", lambda curve: str(curve.seed), where="page"),
    Column("Looks", lambda curve: count(len(curve.steps))),
    Column("Alarms", _alarms, words=True, where="page"),
    Column("Alarms", lambda curve: str(len(curve.alarms)), where="terminal"),
    Column("First alarm", _first, words=True, where="terminal"),
    Column("Cost", lambda curve: "not measured" if curve.cost is None else f"{number(100 * curve.cost, 1)} %"),
)
