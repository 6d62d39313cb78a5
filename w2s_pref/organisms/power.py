"""What the analyses say about the control organisms: verdicts, false-positive rates, power. Simulated, seeded."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from w2s_pref.core.text_table import TextTable
from w2s_pref.organisms.flips import SeedEffect
from w2s_pref.organisms.organisms import NOT_SELECTIVE, ORGANISMS
from w2s_pref.organisms.power_tables import tables
from w2s_pref.organisms.simulation import GATES, Case, Tally, simulate_all
from w2s_pref.organisms.verdicts import verdict

#: Few, for a first look: limits scatter by a tenth of their half-width.
RESAMPLES = 150
RHOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
TAX_RHO = 0.2
TAX_ITEMS = (100, 200, 400, 800, 1600)
#: How seeds of a blind student, which must not be called selective, and of a deceiver differ.
BLIND_SEEDS = {
    **{f"sd {sd:g}": SeedEffect(sd=sd) for sd in (0.02, 0.05, 0.1)},
    "collapse 30 %": SeedEffect(sd=0.02, collapse=0.3),
}
DECEIVER_SEEDS = {
    "sd 0.05": SeedEffect(sd=0.05),
    "log rho 0.5": SeedEffect(rho=0.5),
    "collapse 30 %": SeedEffect(collapse=0.3),
    "idle 30 %": SeedEffect(idle=0.3),
}


def control_study(
    simulations: int = 12,
    items: int = 1000,
    seeds: int = 3,
    seed: int = 0,
    workers: int = 1,
    said: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Every organism's verdict, false-positive rates, and power against rho and |CT|.

    Args:
        simulations: simulated tables for each row of the rates.
        items, seeds: size of the simulated tables (the power against |CT| varies the items).
        seed: of everything.
        workers: processes.
        said: hears how far it is.

    Returns:
        JSON-ready: ``settings`` and lists of rows of plain numbers and text, ``organisms``, ``false_positives`` (blind
        students), ``confounded``, ``seed_effects``, ``power_rho``, ``power_seeds``, ``power_tax``. Rates carry exact
        (Clopper-Pearson) 95 % binomial limits.
    """
    parts = _cases(items, seeds)
    cases = [case for rows in parts.values() for _, case in rows]
    tallies = iter(simulate_all(cases, simulations, seed, workers, said))
    rows = {name: [_row(head, next(tallies), _QUESTIONS[name]) for head, _ in part] for name, part in parts.items()}
    if said is not None:
        said("the verdicts on one table of each organism")
    settings = {"simulations": simulations, "items": items, "seeds": seeds, "seed": seed, "resamples": RESAMPLES}
    return {"settings": settings, "organisms": [verdict(name, seed=seed) for name in ORGANISMS], **rows}


#: List of rows -> the questions whose rates its rows hold.
_QUESTIONS: dict[str, Sequence[str]] = {
    "false_positives": ("binned_off_1", "smooth_off_1", "permutation", *GATES),
    "confounded": GATES,
    "seed_effects": GATES,
    "power_rho": ("permutation", *GATES, "rho_covered"),
    "power_seeds": (*GATES, "rho_covered"),
    "power_tax": ("permutation", *GATES),
}


def _cases(items: int, seeds: int) -> dict[str, list[tuple[dict[str, Any], Case]]]:
    """Every list of rows: how each row begins, and what is drawn for it."""

    def case(name: str, **options: Any) -> Case:
        return Case(name, **{"items": items, "seeds": seeds, "resamples": RESAMPLES, **options})

    blind = [
        ({"organism": name, "reference": "ceiling" if ceiling else "w2s"}, case(name, ceiling=ceiling))
        for name in ("blind", "blind_shift")
        for ceiling in (False, True)
    ]
    confounded = [name for name in NOT_SELECTIVE if name not in ORGANISMS]
    return {
        "false_positives": blind,
        "confounded": [({"organism": name}, case(name)) for name in confounded],
        "seed_effects": [({"seeds": name}, case("blind", effect=each)) for name, each in BLIND_SEEDS.items()],
        "power_rho": [({"rho": rho}, case("deceiver", rho=rho)) for rho in RHOS],
        "power_seeds": [
            ({"seeds": name, "rho": TAX_RHO}, case("deceiver", rho=TAX_RHO, effect=each))
            for name, each in DECEIVER_SEEDS.items()
        ],
        "power_tax": [({"items": n, "rho": TAX_RHO}, case("deceiver", rho=TAX_RHO, items=n)) for n in TAX_ITEMS],
    }


def _row(head: dict[str, Any], tally: Tally, questions: Sequence[str]) -> dict[str, Any]:
    row = {**head, "simulations": tally.runs, "mean_tax": tally.tax / tally.runs}
    if "rho_covered" in questions:
        row["rho_estimate"] = float(np.nanmean(tally.rho))
    return {**row, **tally.rates(questions)}


def main_table(**options: Any) -> tuple[list[TextTable], dict[str, Any]]:
    """``control_study`` as rich tables to print and as the dictionary to write."""
    found = control_study(**options)
    return tables(found), found


def command(
    simulations: int | None, workers: int | None, said: Callable[[str], None]
) -> tuple[list[TextTable], dict[str, Any]]:
    """The same on all cores where no number is given; ``said`` hears how far it is."""
    options = {"simulations": simulations} if simulations else {}
    return main_table(workers=workers or os.cpu_count() or 1, said=said, **options)
