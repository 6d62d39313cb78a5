"""Terminal tables of ``w2s analyze risk`` and ``w2s analyze predictors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from w2s_pref.results.risk import SIGNALS

_ROWS = {
    "mean_weak": "mean p, weak",
    "mean_strong": "mean p, strong",
    "bias_weak": "bias (1 - mean), weak",
    "bias_strong": "bias (1 - mean), strong",
    "var_weak": "variance, weak",
    "var_strong": "variance, strong",
    "cov": "covariance",
    "correlation": "correlation",
    "misfit": "misfit M",
    "risk_weak": "risk R_w",
    "risk_strong": "risk R_s",
    "residual": "residual E(s-w)(s-1)",
    "bsd": "BSD",
    "bsd_cond": "BSD_cond",
    "bsd_soft": "BSD, soft",
    "confident_errors": "confident strong errors",
    "blind_spot_share": "share of the blind spot",
}
_OWNERS = {
    "inherited": "inherited (weak confidently wrong)",
    "blind_spot": "blind spot (weak uncertain)",
    "strong_only": "strong only (weak confidently right)",
}
_BOUNDS = {"triangle": "2 R_w + 2 M", "minkowski": "(sqrt R_w + sqrt M)^2", "charikar": "R_w - M"}


def risk_table(result: dict[str, Any]) -> RenderableType:
    """Verdicts, measures raw and calibrated, bounds, whose errors, the grid, seeds, reverse KL."""
    seeds = len(result["seeds"])
    size = f"{result['n']:,} rows: {result['items']:,} items x {seeds} seeds, {result['groups']:,} groups"
    parts: list[RenderableType] = [f"[bold]{escape(result['verdict'])}[/]"]
    parts += [escape(text) for text in result["sentences"]]
    parts += [size, _measures(result), _bounds(result), _inheritance(result), *_grids(result)]
    for name, build in (("over_seeds", _seeds), ("reverse_kl", _kl)):
        if result[name] is not None:
            parts.append(build(result[name]))
    return Group(*parts, *(f"[yellow]{escape(text)}[/]" for text in [*result["warnings"], *result["notes"]]))


def predictor_table(result: dict[str, Any]) -> RenderableType:
    """Verdict, one row a signal raw and calibrated, how robust it is, what the number of settings supports."""
    parts: list[RenderableType] = [f"[bold]{escape(result['verdict'])}[/]", _correlations(result), _robustness(result)]
    parts += [escape(text) for text in result["sentences"]]
    return Group(*parts, *(f"[yellow]{escape(text)}[/]" for text in result["warnings"]))


def _correlations(result: dict[str, Any]) -> Table:
    """Over settings, with the p after Holm's correction."""
    table = Table("rho with BSD", "raw", "95 %", "p (Holm)", "calibrated", "95 %", "p (Holm)", "verdict", box=None)
    for entry in result["signals"]:
        row = (*_rho(entry["raw"]), *_rho(entry["calibrated"]), entry["verdict"])
        table.add_row(SIGNALS[entry["signal"]], *row)
    return table


def _robustness(result: dict[str, Any]) -> Table:
    """Over points, with a third signal held constant, and with parts of the study left out."""
    left = list(result["signals"][0]["raw"]["leave_out"])
    heads = ("over points", "given mean conf.", "given logit scale", *(f"one {name} left out" for name in left))
    table = Table("rho, raw | calibrated", *heads, box=None)
    for entry in result["signals"]:
        both = (entry["raw"], entry["calibrated"])
        cells = [" | ".join(_number(kind["rho_points"], 2) for kind in both)]
        for name in ("partial_confidence", "partial_scale"):
            cells.append(" | ".join(_number(kind[name]["rho"], 2) for kind in both))
        cells += [_range(entry["raw"]["leave_out"][name]) for name in left]
        table.add_row(SIGNALS[entry["signal"]], *(cell.replace("undefined", "-") for cell in cells))
    return table


def _measures(result: dict[str, Any]) -> Table:
    table = Table("measure", "value", "95 %", "calibrated", "95 %", box=None)
    for name, label in _ROWS.items():
        table.add_row(label, *_pair(result, (name,)), *_pair(result["calibrated"], (name,)))
    for name in ("var_strong", "cov"):
        path = ("random_orientation", name)
        table.add_row(f"{_ROWS[name]}, random order", *_pair(result, path), *_pair(result["calibrated"], path))
    return table


def _pair(result: Mapping[str, Any] | None, path: Sequence[str]) -> tuple[str, str]:
    """A value and its interval, found along the same path."""
    if result is None:
        return "undefined", ""
    value: Any = result
    span: Any = result["intervals"]
    for key in path:
        value, span = value[key], span[key]
    return _number(value), _span(span)


def _bounds(result: dict[str, Any]) -> Table:
    table = Table("bound on R_s", "value", "slack", "95 % of the slack", "holds", box=None)
    for name, label in _BOUNDS.items():
        bound = result["bounds"][name]
        span = _span(result["intervals"]["bounds"][name])
        row = (_number(bound["value"]), _number(bound["slack"]), span, "yes" if bound["holds"] else "no")
        table.add_row(f"{name}: {label}", *row)
    return table


def _inheritance(result: dict[str, Any]) -> Table:
    table = Table("confident strong errors", "rows", "share", "95 %", box=None)
    for name, label in _OWNERS.items():
        owner = result["inheritance"][name]
        span = _span(result["intervals"]["inheritance"][name])
        table.add_row(label, f"{owner['count']:,}", _number(owner["share"]), span)
    return table


def _grids(result: dict[str, Any]) -> list[RenderableType]:
    """BSD and BSD_cond for every pair of thresholds."""
    strong = list(dict.fromkeys(cell["ts"] for cell in result["grid"]))
    tables: list[RenderableType] = []
    for name, label in (("bsd", "BSD"), ("bsd_cond", "BSD_cond")):
        table = Table(f"{label}, t_s:", *(f"{t:.2f}" for t in strong), box=None)
        cells = {(cell["tw"], cell["ts"]): cell[name] for cell in result["grid"]}
        for t_weak in dict.fromkeys(cell["tw"] for cell in result["grid"]):
            row = (_number(cells[t_weak, t]) for t in strong)
            table.add_row(f"t_w {t_weak:.2f}", *(text.replace("undefined", "-") for text in row))
        tables.append(table)
    return tables


def _seeds(parts: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table("over seeds", "total", "within items", "across items", box=None)
    for name, part in parts.items():
        table.add_row(_ROWS[name], *(_number(part[key], 4) for key in ("total", "within", "across")))
    return table


def _kl(terms: Mapping[str, Any]) -> Table:
    table = Table("reverse KL, nats", "value", "95 %", box=None)
    names = {
        "kl_target_strong": "KL(f*|s)",
        "kl_target_weak": "KL(f*|w)",
        "kl_strong_weak": "KL(s|w)",
        "slack": "slack",
    }
    for name, label in names.items():
        table.add_row(label, *_pair(terms, (name,)))
    return table


def _rho(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    p = entry["p_holm"]
    return _number(entry["rho"], 2), _span(entry["interval"], 2), "-" if p is None else f"{p:.2g}"


def _range(values: Mapping[str, float | None]) -> str:
    """Least and greatest rho over everything that was left out in turn."""
    known = [value for value in values.values() if value is not None]
    return f"{min(known):.2f} to {max(known):.2f}" if known else "undefined"


def _number(value: float | None, digits: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _span(value: Sequence[float] | None, digits: int = 3) -> str:
    return "" if value is None else f"{value[0]:.{digits}f} to {value[1]:.{digits}f}"
