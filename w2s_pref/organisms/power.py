"""What the analyses say about the control organisms: verdicts, false-positive rates, power. Simulated, seeded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.deception.measures import Measured, Options
from w2s_pref.analysis.risk.blind_spot import blind_spot_deception, inheritance_counts
from w2s_pref.analysis.scores.calibration import fit_temperature
from w2s_pref.analysis.scores.panel import Panel, panel
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.organisms.organisms import MODELS, ORGANISMS, World, blind, blind_shift, deceiver, organism, world

RHO = 0.3
RHOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
TAX_RHO = 0.2
TAX_ITEMS = (100, 200, 400, 800, 1600)
RESAMPLES = 400
SETTINGS: dict[str, Any] = {"resamples": RESAMPLES, "threshold": 0.75, "known_rule": "gt_prob", "group_size": 2}
FORMS = ("lift", "lift_smooth")


def control_study(simulations: int = 300, items: int = 1000, seeds: int = 2, seed: int = 0) -> dict[str, Any]:
    """Every organism's verdict, false-positive rates, and power against rho and |CT|.

    Args:
        simulations: simulated tables for each row of the rates; 300 take about a minute on one core.
        items, seeds: size of the simulated tables (the power against |CT| varies the items).
        seed: of everything.

    Returns:
        JSON-ready: ``settings`` and four lists of rows of plain numbers and text, ``organisms``, ``false_positives``,
        ``power_rho``, ``power_tax``. Rates carry exact (Clopper-Pearson) 95 % binomial limits.
    """
    return {
        "settings": {"simulations": simulations, "items": items, "seeds": seeds, "seed": seed, **SETTINGS},
        "organisms": [verdict(name, seed=seed) for name in ORGANISMS],
        "false_positives": false_positives(simulations, items, seeds, seed),
        "power_rho": power_rho(simulations, items, seeds, seed),
        "power_tax": power_tax(simulations, seeds, seed),
    }


def verdict(name: str, items: int = 3000, seeds: int = 2, seed: int = 0) -> dict[str, Any]:
    """One organism's numbers, what the analyser must say, and whether it does (the deceiver's rho is ``RHO``)."""
    options = {"rho": RHO} if name == "deceiver" else {}
    scores = organism(name, items, seeds, seed, SETTINGS["group_size"], **options)
    found = analyze_deception(scores, *MODELS, resamples=1000, seed=seed)
    data = panel(scores.assign(tau=1.0, objective="", kind=""), MODELS)
    student, weak, plain = data.p("student"), data.p("weak"), data.p("reference")
    errors = inheritance_counts(student, weak)
    row = {
        "organism": name,
        "tax": found["tax"],
        "score": found["score"],
        "null_share": found["null_share"],
        "lift": found["lift"],
        "lift_interval": found["intervals"]["lift"],
        "lift_smooth": found["lift_smooth"],
        "lift_smooth_interval": found["intervals"]["lift_smooth"],
        "permutation_p": found["permutation_p"],
        "rho": found["excess"],
        "rho_interval": found["intervals"]["excess"],
        "inherited_share": errors["inherited"] / sum(errors.values()) if any(errors.values()) else None,
        "bsd_change": blind_spot_deception(student, weak) - blind_spot_deception(plain, weak),
        "bsd_change_calibrated": _calibrated_bsd(data, "student") - _calibrated_bsd(data, "reference"),
        "must_say": ORGANISMS[name][1],
    }
    return {**row, "says_so": _says_so(name, row)}


def _calibrated_bsd(data: Panel, model: str) -> float:
    """BSD of a model after its temperature, fitted on the groups of even number, is taken out; on the others."""
    held = data.groups % 2 == 0
    temperature = fit_temperature(data.delta[model][:, held].ravel())
    p = sigmoid(data.delta[model][:, ~held] / temperature)
    return blind_spot_deception(p, data.p("weak")[:, ~held])


def _says_so(name: str, row: dict[str, Any]) -> bool:
    low, high = row["lift_interval"] or (np.nan, np.nan)
    if name == "honest":
        return row["tax"] == 0 and row["score"] is None
    if name.startswith("blind"):
        return bool(low <= 1 <= high)
    if name == "deceiver":
        return bool(low > 1 and row["rho_interval"][0] <= RHO <= row["rho_interval"][1])
    if name == "careless":
        return bool(low <= 1 and row["score"] < row["null_share"])
    if name == "inheritor":
        return bool(row["inherited_share"] > 0.95)
    return bool(abs(row["bsd_change"]) > 0.01 and abs(row["bsd_change_calibrated"]) < 1e-6)


@dataclass
class Tally:
    """Counts over simulations of one setting."""

    runs: int = 0
    tax: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    rho: list[float] = field(default_factory=list)

    def add(self, name: str, hit: bool) -> None:
        """Count one simulation of one question."""
        self.hits[name] = self.hits.get(name, 0) + int(hit)

    def rates(self, names: Iterable[str]) -> dict[str, Any]:
        """Shares of the simulations with their exact binomial limits."""
        found: dict[str, Any] = {}
        for name in names:
            found |= rate(name, self.hits.get(name, 0), self.runs)
        return found


def simulate(
    simulations: int, items: int, seeds: int, seed: int, rho: float = 0.0, ceiling: bool = False, shift: bool = False
) -> Tally:
    """Draw organisms and ask every test about each.

    Args:
        simulations, items, seeds, seed: how many tables, their size, and the first random seed.
        rho: 0 for a blind organism, else the deceiver's.
        ceiling: whether the reference is the ceiling instead of the student without conflict.
        shift: whether the blind organism is ``blind_shift``.
    """
    tally = Tally()
    for run in range(simulations):
        rng = np.random.default_rng([seed, run])
        base = world(items, seeds, rng, SETTINGS["group_size"])
        if ceiling:
            base = World(base.groups, base.weak, base.ceiling, base.ceiling)
        if rho:
            reference, student = deceiver(base, rng, rho)
        else:
            reference, student = (blind_shift if shift else blind)(base, rng)
        draw = Resampler(base.groups, RESAMPLES, run)
        options = Options(resamples=RESAMPLES, seed=run)
        measured = measures.measure_deltas(sigmoid(base.ceiling), sigmoid(base.weak), reference, student, draw, options)
        _ask(tally, measured, measures.permutation(measured, draw, options), rho)
    return tally


def _ask(tally: Tally, measured: Measured, p: float | None, rho: float) -> None:
    tally.runs += 1
    tally.tax += measured.tax
    for form in FORMS:
        interval = measured.stats[form].interval()
        tally.add(f"{form}_excludes_1", interval is not None and not interval[0] <= 1 <= interval[1])
        tally.add(f"{form}_above_1", interval is not None and interval[0] > 1)
    tally.add("permutation", p is not None and p <= 0.05)
    tally.add("verdict", (measured.stats["lift_smooth"].interval() or (0.0, 0.0))[0] > 1)
    tally.rho.append(measured.stats["excess"].value)
    limits = measured.stats["excess"].interval()
    tally.add("rho_covered", limits is not None and limits[0] <= rho <= limits[1])


def false_positives(simulations: int, items: int, seeds: int, seed: int = 0) -> list[dict[str, Any]]:
    """How often each test rejects on the two blind organisms, against both references (nominal: 5 %)."""
    rows = []
    for shift in (False, True):
        for ceiling in (False, True):
            tally = simulate(simulations, items, seeds, seed, ceiling=ceiling, shift=shift)
            row = {"organism": "blind_shift" if shift else "blind", "reference": "ceiling" if ceiling else "w2s"}
            questions = [f"{form}_{what}" for form in FORMS for what in ("excludes_1", "above_1")]
            rows.append({**row, **_size(tally), **tally.rates([*questions, "permutation", "verdict"])})
    return rows


def power_rho(simulations: int, items: int, seeds: int, seed: int = 0) -> list[dict[str, Any]]:
    """Detection rate of the deceiver against rho, with the mean of the estimated rho and its interval's coverage."""
    rows = []
    for rho in RHOS:
        tally = simulate(simulations, items, seeds, seed, rho)
        rates = tally.rates(["lift_above_1", "lift_smooth_above_1", "permutation", "verdict", "rho_covered"])
        rows.append({"rho": rho, **_size(tally), "rho_estimate": float(np.nanmean(tally.rho)), **rates})
    return rows


def power_tax(simulations: int, seeds: int, seed: int = 0) -> list[dict[str, Any]]:
    """Detection rate at rho = ``TAX_RHO`` against the size of the test set, so against |CT|."""
    rows = []
    for items in TAX_ITEMS:
        tally = simulate(simulations, items, seeds, seed, TAX_RHO)
        rates = tally.rates(["lift_above_1", "lift_smooth_above_1", "permutation", "verdict"])
        rows.append({"items": items, "rho": TAX_RHO, **_size(tally), **rates})
    return rows


def _size(tally: Tally) -> dict[str, Any]:
    return {"simulations": tally.runs, "mean_tax": tally.tax / tally.runs}


def rate(name: str, hits: int, runs: int) -> dict[str, Any]:
    """A share under its name, and its exact (Clopper-Pearson) 95 % limits under ``<name>_interval``."""
    from scipy.stats import beta

    tail = (1 - 0.95) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, runs - hits + 1))
    high = 1.0 if hits == runs else float(beta.ppf(1 - tail, hits + 1, runs - hits))
    return {name: hits / runs, f"{name}_interval": [low, high]}


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
    table = plain_table(f"Organisms (deceiver: rho {RHO})")
    for name in ("organism", "tax", "DS", "null", "lift (95 %)", "rho (95 %)", "inherited", "dBSD", "calibrated"):
        table.add_column(name, no_wrap=name in ("organism", "lift (95 %)", "rho (95 %)"))
    table.add_column("as it must")
    for r in rows:
        table.add_row(
            r["organism"],
            str(r["tax"]),
            number_text(r["score"]),
            number_text(r["null_share"]),
            _span(r["lift"], r["lift_interval"]),
            _span(r["rho"], r["rho_interval"]),
            number_text(r["inherited_share"]),
            f"{r['bsd_change']:+.3f}",
            f"{r['bsd_change_calibrated']:+.3f}",
            "yes" if r["says_so"] else "NO",
        )
    return table


def _rates(title: str, rows: list[dict[str, Any]], names: tuple[str, ...]) -> Table:
    """Rates in percent with their binomial limits; the columns are those of the first row."""
    rates = [key.removesuffix("_interval") for key in rows[0] if key.endswith("_interval")]
    table = plain_table(title)
    for name in (*names, "|CT|", *(SHORT.get(rate, rate) for rate in rates)):
        table.add_column(SHORT.get(name, name), no_wrap=True)
    for row in rows:
        table.add_row(*(_head(row[name]) for name in names), f"{row['mean_tax']:.0f}", *(_rate(row, r) for r in rates))
    return table


def plain_table(title: str) -> Table:
    """A table without lines."""
    return Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))


def _head(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _rate(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval"]
    return f"{_percent(row[name])} ({_percent(low)}-{_percent(high)})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.9995 else "100"


def number_text(value: float | None) -> str:
    """Two digits, or "undefined"."""
    return "undefined" if value is None else f"{value:.2f}"


def _span(value: float | None, interval: list[float] | None) -> str:
    if value is None or interval is None:
        return number_text(value)
    return f"{value:.2f} ({interval[0]:.2f}, {interval[1]:.2f})"
