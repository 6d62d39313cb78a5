"""Figure of ``w2s analyze alarms``: the AUROC of every signal with its interval, and without each setting in turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from w2s_pref.report.draw.forest import Forest, Mark, standalone
from w2s_pref.report.draw.plot import moved
from w2s_pref.report.draw.svg import el

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
