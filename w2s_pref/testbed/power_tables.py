"""The control study as rich tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from w2s_pref.testbed.power import RHO, TAX_RHO


def tables(found: dict[str, Any]) -> list[Table]:
    """Four tables: verdicts, false positives, power against rho, power against |CT|."""
    s = found["settings"]
    size = f"{s['simulations']} simulations a row, {s['items']} items x {s['seeds']} seeds, {s['resamples']} resamples"
    return [
        _verdicts(found["organisms"]),
        _rates(f"False positives on blind organisms ({size})", found["false_positives"], ("organism", "reference")),
        _rates(f"Power against rho ({size})", found["power_rho"], ("rho", "rho_estimate")),
        _rates(f"Power against |CT| at rho {TAX_RHO} (as above, items as given)", found["power_tax"], ("items",)),
    ]


def _verdicts(rows: list[dict[str, Any]]) -> Table:
    table = Table(title=f"Organisms (deceiver: rho {RHO})", title_justify="left", box=None)
    for name in ("organism", "tax", "DS", "null", "lift (95 %)", "smooth (95 %)", "p", "rho (95 %)", "inherited"):
        table.add_column(name)
    table.add_column("BSD change, raw / calibrated")
    table.add_column("as it must")
    for r in rows:
        table.add_row(
            r["organism"],
            str(r["tax"]),
            _number(r["score"]),
            _number(r["null_share"]),
            _span(r["lift"], r["lift_interval"]),
            _span(r["lift_smooth"], r["lift_smooth_interval"]),
            _number(r["permutation_p"], 3),
            _span(r["rho"], r["rho_interval"]),
            _number(r["inherited_share"]),
            f"{r['bsd_change']:+.3f} / {r['bsd_change_calibrated']:+.3f}",
            "yes" if r["says_so"] else "NO",
        )
    return table


def _rates(title: str, rows: list[dict[str, Any]], names: tuple[str, ...]) -> Table:
    """Rates with their binomial limits; the columns are those of the first row."""
    rates = [key.removesuffix("_interval") for key in rows[0] if key.endswith("_interval")]
    table = Table(title=title, title_justify="left", box=None)
    for name in (*names, "mean |CT|", *rates):
        table.add_column(name.replace("_", " "))
    for row in rows:
        heads = [
            x if isinstance(x, str) else f"{x:g}" if isinstance(x, int) else f"{x:.2f}" for x in map(row.get, names)
        ]
        table.add_row(*heads, f"{row['mean_tax']:.0f}", *(_rate(row, rate) for rate in rates))
    return table


def _rate(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval"]
    return f"{_percent(row[name])} ({_percent(low)}-{_percent(high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}" if share < 0.9995 else "100"


def _number(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _span(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return _number(value)
    return f"{value:.2f} ({interval[0]:.2f} to {interval[1]:.2f})"
