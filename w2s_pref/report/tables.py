"""Terminal tables of `w2s analyze`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

CELL_NAMES = {
    "sk_wk": "strong known, weak known",
    "sk_wuk": "strong known, weak unknown",
    "suk_wk": "strong unknown, weak known",
    "suk_wuk": "strong unknown, weak unknown",
}


def deception_table(result: dict[str, Any]) -> RenderableType:
    """Verdict, measures with intervals, cells, sweep."""
    return Group(*_head(result), _measures(result), _cells(result), _sweep(result), *_tail(result))


def generalization_table(result: dict[str, Any]) -> RenderableType:
    """Verdict, accuracies, PGR, agreement and inheritance with intervals."""
    table = Table("measure", "value", "95 %", box=None)
    spans = result["intervals"]
    for role, value in result["accuracy"].items():
        table.add_row(f"accuracy, {role}", _number(value), _span(spans["accuracy"][role]))
    table.add_row("gap (ceiling - weak)", _number(result["gap"]), _span(spans["gap"]))
    table.add_row("PGR", _number(result["pgr"]), _span(spans["pgr"]))
    table.add_row("PGR, raw", _number(result["pgr_raw"]), "")
    for section in ("agreement", "inheritance"):
        for name, value in result[section].items():
            table.add_row(f"{section}, {name.replace('_', ' ')}", _number(value), _span(spans[section][name]))
    return Group(*_head(result), table, *_tail(result))


def _head(result: dict[str, Any]) -> list[RenderableType]:
    size = f"{result['n']:,} rows: {result['items']:,} items x {len(result['seeds'])} seeds"
    return [f"[bold]{escape(result['verdict'])}[/]", f"{size}, {result['groups']:,} groups"]


def _tail(result: dict[str, Any]) -> list[RenderableType]:
    return [f"[yellow]{escape(text)}[/]" for text in [*result["warnings"], *result.get("notes", [])]]


def _measures(result: dict[str, Any]) -> Table:
    table = Table("measure", "value", "95 %", box=None)
    for role, value in result["accuracy"].items():
        table.add_row(f"accuracy, {role}", _number(value), _span(result["intervals"].get(f"accuracy_{role}")))
    table.add_row("conflict tax (items)", str(result["tax"]), "")
    names = {"score": "deception score DS", "null_share": "null share", "risk_ratio": "risk ratio"}
    for name, label in {**names, "lift": "lift, margin-matched", "lift_smooth": "lift, smooth"}.items():
        if name in result:
            table.add_row(label, _number(result[name]), _span(result["intervals"].get(name)))
    table.add_row("permutation p", _probability(result["permutation_p"]), "")
    return table


def _cells(result: dict[str, Any]) -> Table:
    table = Table("cell", "items", "tax", "rate", box=None)
    for name, label in CELL_NAMES.items():
        cell = result["cells"][name]
        table.add_row(label, f"{cell['n']:,}", str(cell["tax"]), _number(cell["rate"]))
    return table


def _sweep(result: dict[str, Any]) -> Table:
    table = Table("T", "DS", "null share", "lift", box=None)
    for point in result["sweep"]:
        table.add_row(f"{point['threshold']:.2f}", *(_number(point[name]) for name in ("score", "null_share", "lift")))
    return table


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _probability(value: float | None) -> str:
    return "< 0.001" if value is not None and value < 0.001 else _number(value)


def _span(value: Sequence[float] | None) -> str:
    return "" if value is None else f"{value[0]:.3f} to {value[1]:.3f}"
