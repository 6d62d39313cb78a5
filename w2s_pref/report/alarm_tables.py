"""Terminal tables of ``w2s analyze alarms`` and ``w2s organisms --monitor``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from w2s_pref.report.draw.format import plain

_FINAL = {"bsd": "BSD", "bsd_max": "max BSD", "accuracy": "accuracy", "var": "var", "confidence": "confidence"}
_LEGEND = (
    "(b) baseline, (t) needs the truth of the probe, * the interval does not hold 0. lead: share of the training from "
    "alarm to crossing; false a run: alarms in runs that never cross, for each such run."
)


def alarms_table(result: Mapping[str, Any]) -> RenderableType:
    """What ``monitor.verdict.judge_runs`` found: verdict, settings, detector, what was left out."""
    parts: list[RenderableType] = [f"[bold]{_text(result['verdict'])}[/]", *map(_text, result["sentences"])]
    parts += [_settings(result["settings"]), *detector_tables(result["detector"], result["alarms"])]
    return Group(*parts, *(f"[yellow]{_text(note)}[/]" for note in result["notes"]))


def study_table(result: Mapping[str, Any], verdict: str, sentences: Sequence[str]) -> RenderableType:
    """What ``monitor.study.monitor_study`` found: verdict, what the organisms turned into, detector."""
    size = f"{result['rows']} pairs, {len(result['seeds'])} seeds, level {result['level']:.3f}"
    title = f"Organisms at the end of their training ({size})"
    table = Table("organism", *_FINAL.values(), title=title, box=None)
    for name, row in result["final"].items():
        table.add_row(name, *(_number(row[key], 3) for key in _FINAL))
    tables = detector_tables(result["detector"], result["alarms"])
    return Group(f"[bold]{_text(verdict)}[/]", *map(_text, sentences), table, *tables)


def detector_tables(detector: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """Every signal's AUROC and alarms, its difference to the baselines, and the live alarms."""
    size = f"{detector['crossing_runs']} of {detector['runs']} runs cross, {detector['settings']} settings, "
    size += f"{detector['positive_looks']} of {detector['looks']} looks at most {detector['horizon']:g} before it"
    parts: list[RenderableType] = [f"\nDetector: {size}", _aurocs(detector["signals"])]
    if detector["positive_looks"]:
        parts += ["", _against(detector)]
    if alarms:
        parts += ["", _live(alarms)]
    parts.append(_LEGEND)
    return parts


def _settings(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ("setting", "runs", "cross", "first at", "level", "ceilings", "max BSD", "end BSD")
    table = Table(*heads, box=None)
    table.columns[0].overflow = "fold"
    for row in rows:
        counts = (str(row["runs"]), str(row["crossing"]), _number(row["first"], absent="never"))
        seen = (str(row["references"]), _number(row["bsd_max"], 3), _number(row["bsd_end"], 3))
        table.add_row(_text(row["setting"]), *counts, f"{row['level']:.3f}", *seen)
    return table


def _aurocs(signals: Sequence[Mapping[str, Any]]) -> Table:
    """AUROC, without each setting in turn, and alarms at thresholds from the quiet runs of other settings."""
    heads = ("signal", "AUROC", "95 %", "verdict", "one left out", "detected", "lead", "false a run")
    table = Table(*heads, box=None)
    for row in signals:
        left = [value for value in row["left_out"].values() if value is not None]
        span = f"{min(left):.2f} to {max(left):.2f}" if left else "undefined"
        found = (_number(row["auroc"]), _interval(row["interval"]), row["verdict"], span)
        table.add_row(_name(row), *found, *_worth(row["alarms"]))
    return table


def _against(detector: Mapping[str, Any]) -> Table:
    """AUROC less that of each baseline."""
    rivals = list(dict.fromkeys(name for row in detector["signals"] for name in row["against"]))
    table = Table("AUROC less that of", *rivals, box=None)
    for row in detector["signals"]:
        table.add_row(_name(row), *(_difference(row["against"].get(name)) for name in rivals))
    return table


def _difference(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "-"
    if entry["difference"] is None:
        return "undefined"
    return f"{entry['difference']:+.2f}" + ("*" if entry["verdict"] in {"better", "worse"} else "")


def _live(alarms: Sequence[Mapping[str, Any]]) -> Table:
    """A row a signal: what the alarms of the live monitor are worth, robust z beside CUSUM."""
    heads = ("live alarm: robust z | CUSUM", "detected", "lead", "false a run")
    table = Table(*heads, box=None)
    for name in dict.fromkeys(row["signal"] for row in alarms):
        both = [_worth(row) for row in alarms if row["signal"] == name]
        table.add_row(_text(name), *(" | ".join(cells) for cells in zip(*both, strict=True)))
    return table


def _worth(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Alarms no later than the crossing, their median lead, and false alarms; dashes where no run had a threshold."""
    if not row["crossing"] and not row["quiet"]:
        return "-", "-", "-"
    detected = f"{row['detected']} of {row['crossing']}" if row["crossing"] else "-"
    return detected, _number(row["lead"], absent="-"), _number(row["false_alarms_per_run"], absent="no quiet run")


def _name(row: Mapping[str, Any]) -> str:
    marks = (" (b)" if row["baseline"] else "") + (" (t)" if row["needs_labels"] else "")
    return _text(row["signal"]) + marks


def _text(value: str) -> str:
    return escape(plain(value))


def _number(value: float | None, digits: int = 2, absent: str = "undefined") -> str:
    return absent if value is None else f"{value:.{digits}f}"


def _interval(value: Sequence[float] | None) -> str:
    return "" if value is None else f"{value[0]:.2f} to {value[1]:.2f}"
