"""Tables of ``w2s analyze alarms`` and ``w2s organisms --monitor``, and the figure of the former."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group

from w2s_pref.report.analyses.scores import judged
from w2s_pref.report.draw.blocks import Block, Prose, Table, plain_table
from w2s_pref.report.draw.format import number, span
from w2s_pref.report.draw.plot import Forest, Mark, moved, standalone
from w2s_pref.report.draw.svg import el

_FINAL = {"bsd": "BSD", "bsd_max": "max BSD", "accuracy": "accuracy", "var": "var", "confidence": "confidence"}
_LEGEND = (
    "(b) baseline, (t) needs the truth of the probe, * the interval does not hold 0. lead: share of the training from "
    "alarm to crossing; false a run: alarms in runs that never cross, for each such run."
)


def alarms_table(result: Mapping[str, Any]) -> Group:
    """What ``monitor.verdict.judge_runs`` found: verdict, settings, detector, what was left out."""
    blocks = [_settings(result["settings"]), *detector_tables(result["detector"], result["alarms"])]
    return judged(result["verdict"], result["sentences"], blocks, result["notes"])


def study_table(result: Mapping[str, Any], verdict: str, sentences: Sequence[str]) -> Group:
    """What ``organisms.monitored.monitor_study`` found: verdict, what the organisms turned into, detector."""
    size = f"{result['rows']} pairs, {len(result['seeds'])} seeds, level {result['level']:.3f}"
    rows = [(name, *(number(row[key]) for key in _FINAL)) for name, row in result["final"].items()]
    blocks = [
        Prose([f"Organisms at the end of their training ({size})"]),
        plain_table("", ("organism", *_FINAL.values()), rows),
        *detector_tables(result["detector"], result["alarms"]),
    ]
    return judged(verdict, sentences, blocks, [])


def detector_tables(detector: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Every signal's AUROC and alarms, its difference to the baselines, and the live alarms."""
    size = f"{detector['crossing_runs']} of {detector['runs']} runs cross, {detector['settings']} settings, "
    size += f"{detector['positive_looks']} of {detector['looks']} looks at most {detector['horizon']:g} before it"
    blocks: list[Block] = [Prose(["", f"Detector: {size}"]), _aurocs(detector["signals"])]
    if detector["positive_looks"]:
        blocks += [Prose([""]), _against(detector)]
    if alarms:
        blocks += [Prose([""]), _live(alarms)]
    return [*blocks, Prose([_LEGEND])]


def _settings(found: Sequence[Mapping[str, Any]]) -> Table[Any]:
    heads = ("setting", "runs", "cross", "first at", "level", "ceilings", "max BSD", "end BSD")
    rows = []
    for row in found:
        counts = (str(row["runs"]), str(row["crossing"]), _number(row["first"], "never"))
        seen = (str(row["references"]), number(row["bsd_max"]), number(row["bsd_end"]))
        rows.append((row["setting"], *counts, f"{row['level']:.3f}", *seen))
    return plain_table("", heads, rows)


def _aurocs(signals: Sequence[Mapping[str, Any]]) -> Table[Any]:
    """AUROC, without each setting in turn, and alarms at thresholds from the quiet runs of other settings."""
    heads = ("signal", "AUROC", "95 %", "verdict", "one left out", "detected", "lead, 95 %", "false a run")
    rows = []
    for row in signals:
        left = [value for value in row["left_out"].values() if value is not None]
        least = span((min(left), max(left)), 2) if left else "undefined"
        found = (number(row["auroc"], 2), span(row["interval"], 2), row["verdict"], least)
        detected, lead, false = _worth(row["alarms"])
        over_runs = row["alarms"]["lead_interval"]
        lead = lead if over_runs is None else f"{lead}, {span(over_runs, 2)}"
        rows.append((_name(row), *found, detected, lead, false))
    return plain_table("", heads, rows)


def _against(detector: Mapping[str, Any]) -> Table[Any]:
    """AUROC less that of each baseline."""
    rivals = list(dict.fromkeys(name for row in detector["signals"] for name in row["against"]))
    rows = [(_name(row), *(_difference(row["against"].get(name)) for name in rivals)) for row in detector["signals"]]
    return plain_table("", ("AUROC less that of", *rivals), rows)


def _difference(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "-"
    if entry["difference"] is None:
        return "undefined"
    return f"{entry['difference']:+.2f}" + ("*" if entry["verdict"] in {"better", "worse"} else "")


def _live(alarms: Sequence[Mapping[str, Any]]) -> Table[Any]:
    """A row a signal: what the alarms of the live monitor are worth, robust z beside CUSUM."""
    heads = ("live alarm: robust z | CUSUM", "detected", "lead", "false a run")
    rows = []
    for name in dict.fromkeys(row["signal"] for row in alarms):
        both = [_worth(row) for row in alarms if row["signal"] == name]
        rows.append((name, *(" | ".join(cells) for cells in zip(*both, strict=True))))
    return plain_table("", heads, rows)


def _worth(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Alarms no later than the crossing, their median lead, and false alarms; dashes where no run had a threshold."""
    if not row["crossing"] and not row["quiet"]:
        return "-", "-", "-"
    detected = f"{row['detected']} of {row['crossing']}" if row["crossing"] else "-"
    return detected, _number(row["lead"], "-"), _number(row["false_alarms_per_run"], "no quiet run")


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['signal']}{' (b)' * row['baseline']}{' (t)' * row['needs_labels']}"


def _number(value: float | None, absent: str) -> str:
    return absent if value is None else number(value, 2)


_WIDTH, _HEAD = 560, 24


def alarms_figure(result: Mapping[str, Any]) -> str:
    """A file of its own, with the report's colours in both schemes; ``result`` as of ``monitor.verdict.judge_runs``."""
    rows = [(row["signal"], [_mark(row)]) for row in result["detector"]["signals"]]
    caption = "AUROC for a crossing within the horizon, 95 %; ticks below: one setting left out"
    forest = Forest(rows, (0.0, 1.0), caption, 0.5, _WIDTH, names=130, marks_at=(0.0, 0.25, 0.5, 0.75, 1.0))
    words = "blue: signal, orange: baseline; disc: without labels, ring: needs the truth"
    key = el("text", words, x=_WIDTH / 2, y=forest.bottom + 48, class_="name mid")
    drawn = [moved(0, _HEAD, [*forest.draw(), key])]
    title = "Does a signal foretell blind-spot deception?"
    return standalone(title, str(result["verdict"]), _WIDTH, _HEAD + forest.bottom + 60, drawn)


def _mark(row: Mapping[str, Any]) -> Mark:
    """Blue for a signal, orange for a baseline; a ring where the signal needs the truth."""
    left = [(value, f"{name} left out: {value:.2f}") for name, value in row["left_out"].items() if value is not None]
    tip = "" if row["auroc"] is None else f"{row['auroc']:.2f}, {row['verdict']}"
    look = "stroke" if row["needs_labels"] else "fill"
    return Mark(row["auroc"], row["interval"], tip, "c1" if row["baseline"] else "c0", look, others=left)
