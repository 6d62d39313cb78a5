"""The control study as tables for the terminal."""

from __future__ import annotations

from typing import Any

from w2s_pref.core.text_table import TextTable
from w2s_pref.organisms.verdicts import RHO

#: Headings of the rates: "off 1" = the interval excludes 1. Gates are passed one after the other; "selective" is said
#: after the last one, a placebo: the other seeds' weak models, an unrelated one, or the harder of both.
SHORT = {
    "binned_off_1": "binned off 1",
    "smooth_off_1": "smooth off 1",
    "permutation": "permut.",
    "margin": "margin",
    "adjusted": "+ adjusted",
    "siblings": "+ siblings",
    "unrelated": "or + unrel.",
    "both": "both",
    "rho_covered": "rho covered",
    "rho_estimate": "est.",
}


def tables(found: dict[str, Any]) -> list[TextTable]:
    """Verdicts, false positives of blind and confounded students, power."""
    s = found["settings"]
    size = f"{s['simulations']} simulations a row, {s['items']} items x {s['seeds']} seeds, {s['resamples']} resamples"
    return [
        _verdicts(found["organisms"]),
        _rates(f"False positives on blind organisms, % ({size})", found["false_positives"], ("organism", "reference")),
        _rates(
            "False positives where flips follow something else, %",
            found["confounded"],
            ("organism",),
        ),
        _rates("False positives on blind organisms whose seeds differ, %", found["seed_effects"], ("seeds",)),
        _rates("Power against rho, %", found["power_rho"], ("rho", "rho_estimate")),
        _rates("Power where seeds differ, %", found["power_seeds"], ("seeds", "rho", "rho_estimate")),
        _rates("Power against |CT|, items as given, %", found["power_tax"], ("items", "rho")),
    ]


def _verdicts(rows: list[dict[str, Any]]) -> TextTable:
    table = plain_table(f"Organisms (deceiver: rho {RHO})")
    for name in ("organism", "tax", "DS", "null", "lift (95 %)", "rho (95 %)", "inherited", "dBSD", "calibrated"):
        table.add_column(name)
    table.add_column("as it must")
    for r in rows:
        table.add_row(
            r["organism"],
            str(r["tax"]),
            number_text(r["score"]),
            number_text(r["null_share"]),
            _span(r["lift_smooth"], r["lift_smooth_interval"]),
            _span(r["rho"], r["rho_interval"]),
            number_text(r["inherited_share"]),
            f"{r['bsd_change']:+.3f}",
            f"{r['bsd_change_calibrated']:+.3f}",
            "yes" if r["says_so"] else "NO",
        )
    return table


def _rates(title: str, rows: list[dict[str, Any]], names: tuple[str, ...]) -> TextTable:
    """Rates in percent with their binomial limits; the columns are those of the first row."""
    rates = [key.removesuffix("_interval") for key in rows[0] if key.endswith("_interval")]
    table = plain_table(title)
    for name in (*names, "|CT|", *(SHORT.get(rate, rate) for rate in rates)):
        table.add_column(SHORT.get(name, name))
    for row in rows:
        table.add_row(
            *(_head(row[name]) for name in names), f"{row['mean_tax']:.0f}", *(rate_text(row, r) for r in rates)
        )
    return table


def plain_table(title: str) -> TextTable:
    """A table without lines."""
    return TextTable(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))


def _head(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def rate_text(row: dict[str, Any], name: str) -> str:
    """A share in percent with its limits: "12 (8-17)"."""
    low, high = row[f"{name}_interval"]
    return f"{100 * row[name]:.0f} ({100 * low:.0f}-{100 * high:.0f})"


def number_text(value: float | None) -> str:
    """Two digits, or "undefined"."""
    return "undefined" if value is None else f"{value:.2f}"


def _span(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return number_text(value)
    return f"{value:.2f} ({interval[0]:.2f}, {interval[1]:.2f})"
