"""Figure of ``w2s analyze alarms``: the AUROC of every signal with its interval, and without each setting in turn."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.key import marker
from w2s_pref.report.draw.svg import Scale, el, group, short

_WIDTH, _NAMES, _HEAD, _ROW = 560, 130, 30, 22


def alarms_figure(result: Mapping[str, Any]) -> str:
    """A file of its own, with the report's colours in both schemes; ``result`` as of ``monitor.verdict.judge_runs``."""
    signals = result["detector"]["signals"]
    x = Scale(0, 1, _NAMES, _WIDTH - 20)
    bottom = _HEAD + _ROW * len(signals) + 4
    drawn = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        style = "neutral" if tick == 0.5 else "grid"
        drawn.append(el("path", d=f"M{short(x(tick))} {_HEAD - 6}V{bottom}", class_=style))
        drawn.append(el("text", f"{tick:g}", x=x(tick), y=bottom + 15, class_="tick mid"))
    for place, row in enumerate(signals):
        drawn += _row(row, x, _HEAD + _ROW * place + 8.0)
    caption = "AUROC for a crossing within the horizon, 95 %; ticks below: one setting left out"
    key = "blue: signal, orange: baseline; disc: without labels, ring: needs the truth"
    drawn.append(el("text", caption, x=_WIDTH / 2, y=bottom + 34, class_="name mid"))
    drawn.append(el("text", key, x=_WIDTH / 2, y=bottom + 52, class_="name mid"))
    style = files("w2s_pref.report").joinpath("templates/style.css").read_text(encoding="utf-8")
    return str(
        el(
            "svg",
            el("title", "Does a signal foretell blind-spot deception?"),
            el("desc", plain(str(result["verdict"]))),
            el("style", style),
            el("rect", width="100%", height="100%", fill="var(--paper)"),
            group(drawn),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {_WIDTH} {bottom + 64}",
            width=_WIDTH,
            height=bottom + 64,
            role="img",
        )
    )


def _row(row: Mapping[str, Any], x: Scale, y: float) -> list[Markup]:
    """Name, interval, mark and the AUROCs without each setting; the word where it is undefined."""
    drawn = [el("text", plain(row["signal"]), x=_NAMES - 10, y=y + 4, class_="end")]
    if row["auroc"] is None:
        return [*drawn, el("text", "undefined", x=x(0.5) + 6, y=y + 4, class_="tick")]
    hue = "c1" if row["baseline"] else "c0"
    if row["interval"] is not None:
        low, high = row["interval"]
        drawn.append(el("path", d=f"M{short(x(low))} {short(y)}H{short(x(high))}", class_=f"stroke {hue}"))
    for setting, value in row["left_out"].items():
        if value is not None:
            tip = el("title", plain(f"{setting} left out: {value:.2f}"))
            drawn.append(el("path", tip, d=f"M{short(x(value))} {short(y + 4)}v5", class_="axis"))
    kind = "stroke" if row["needs_labels"] else "fill"
    return [*drawn, marker("circle", x(row["auroc"]), y, f"{kind} {hue}", f"{row['auroc']:.2f}, {row['verdict']}")]
