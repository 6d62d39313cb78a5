"""The control study as rich tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from w2s_pref.organisms.power import RHO, TAX_RHO, control_study

#: Headings of the rates: "off 1" = the interval excludes 1, "> 1" = it lies above 1.
SHORT = {
    "lift_excludes_1": "lift off 1",
    "lift_above_1": "lift > 1",
    "lift_smooth_excludes_1": "smooth off 1",
    "lift_smooth_above_1": "smooth > 1",
    "permutation": "permut.",
    "rho_covered": "rho covered",
    "rho_estimate": "est.",
}


def main_table(
    simulations: int = 300, items: int = 1000, seeds: int = 2, seed: int = 0
) -> tuple[list[Table], dict[str, Any]]:
    """``control_study`` as rich tables to print and as the dictionary to write."""
    found = control_study(simulations, items, seeds, seed)
    return tables(found), found


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
    table = _table(f"Organisms (deceiver: rho {RHO})")
    for name in (
        "organism",
        "tax",
        "DS",
        "null",
        "lift (95 %)",
        "rho (95 %)",
        "inherited",
        "dBSD",
        "calibrated",
        "as it must",
    ):
        table.add_column(name, no_wrap=name in ("organism", "lift (95 %)", "rho (95 %)"))
    for r in rows:
        table.add_row(
            r["organism"],
            str(r["tax"]),
            _number(r["score"]),
            _number(r["null_share"]),
            _span(r["lift"], r["lift_interval"]),
            _span(r["rho"], r["rho_interval"]),
            _number(r["inherited_share"]),
            f"{r['bsd_change']:+.3f}",
            f"{r['bsd_change_calibrated']:+.3f}",
            "yes" if r["says_so"] else "NO",
        )
    return table


def _rates(title: str, rows: list[dict[str, Any]], names: tuple[str, ...]) -> Table:
    """Rates in percent with their binomial limits; the columns are those of the first row."""
    rates = [key.removesuffix("_interval") for key in rows[0] if key.endswith("_interval")]
    table = _table(title)
    for name in (*names, "|CT|", *(SHORT.get(rate, rate) for rate in rates)):
        table.add_column(SHORT.get(name, name), no_wrap=True)
    for row in rows:
        table.add_row(*(_head(row[name]) for name in names), f"{row['mean_tax']:.0f}", *(_rate(row, r) for r in rates))
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))


def _head(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rate(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval"]
    return f"{_percent(row[name])} ({_percent(low)}-{_percent(high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.9995 else "100"


def _number(value: float | None, digits: int = 2) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _span(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return _number(value)
    return f"{value:.2f} ({interval[0]:.2f}, {interval[1]:.2f})"
