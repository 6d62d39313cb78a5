"""How often variance "predicts" deception where nobody deceives: the temperature-only null, drawn many times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table

from w2s_pref.analysis.risk.calibrated import cross_fitted
from w2s_pref.analysis.risk.predictors import correlations
from w2s_pref.analysis.risk.signals import Thresholds, signals
from w2s_pref.organisms.power import binomial_interval
from w2s_pref.organisms.scales import rescaled_worlds
from w2s_pref.results.signals import SIGNALS

SETTINGS = (4, 8, 20)
LEVEL = 0.05
#: Contains blind-spot deception by construction, so it does not count as a find.
_NO_FIND = "confident_errors"


def scale_study(draws: int = 100, items: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Rank correlation of Var with BSD over settings that differ in logit scale alone, for several numbers of them.

    Args:
        draws: studies drawn for each number of settings.
        items: of each setting's test set.
        seed: of everything.

    Returns:
        JSON-ready: ``settings`` and ``rows``, one for each number of settings, raw and calibrated: median ``rho`` and
        the middle 95 % of the draws, share of draws in which Var has p <= .05, and in which any of the other signals
        has, as it stands and after Holm's correction; shares with exact binomial limits. The confident-error rate,
        which contains BSD, does not count as a find.
    """
    rows = []
    for count in SETTINGS:
        rng = np.random.default_rng([seed, count])
        found: dict[str, list[dict[str, Any]]] = {"raw": [], "calibrated": []}
        for draw in range(draws):
            for kind, points in _points(count, items, rng).items():
                found[kind].append(correlations(points, 2, draw))
        rows += [{"n": count, "scores": kind, **_row(studies)} for kind, studies in found.items()]
    return {"settings": {"draws": draws, "items": items, "seed": seed}, "rows": rows}


def _points(count: int, items: int, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Signals of every setting, raw and calibrated, as ``correlations`` takes them."""
    rows: dict[str, list[dict[str, Any]]] = {"raw": [], "calibrated": []}
    for number, (base, student) in enumerate(rescaled_worlds(count, items, 1, rng)):
        labels = {"setting": f"{number:02d}", "pipeline": "", "dataset": "", "step": 0, "seed": 0}
        after = [cross_fitted(scores, base.groups) for scores in (base.weak, student)]
        calibrated = [done.logits for done in after if done is not None]
        for kind, (weak, strong) in (("raw", (base.weak, student)), ("calibrated", calibrated)):
            values = {name: float(value[0]) for name, value in signals(weak, strong, Thresholds()).items()}
            rows[kind].append({**labels, **values})
    return {kind: pd.DataFrame(own) for kind, own in rows.items()}


def _row(studies: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table from the correlations of all draws."""
    rho = [study["var_strong"]["rho"] for study in studies if study["var_strong"]["rho"] is not None]
    others = [name for name in SIGNALS if name not in ("var_strong", _NO_FIND)]
    return {
        "rho": float(np.median(rho)),
        "rho_range": [float(q) for q in np.quantile(rho, [0.025, 0.975])],
        **_share("var", [_hit(study, ["var_strong"], "p") for study in studies]),
        **_share("any", [_hit(study, others, "p") for study in studies]),
        **_share("any_holm", [_hit(study, others, "p_holm") for study in studies]),
    }


def _hit(study: dict[str, Any], names: list[str], p: str) -> bool:
    return any(study[name][p] is not None and study[name][p] <= LEVEL for name in names)


def _share(name: str, hits: list[bool]) -> dict[str, Any]:
    return {name: sum(hits) / len(hits), f"{name}_interval": list(binomial_interval(sum(hits), len(hits)))}


def main_table(draws: int = 100, items: int = 1000, seed: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """``scale_study`` as rich tables to print and as the dictionary to write."""
    found = scale_study(draws, items, seed)
    title = f"Settings that differ in logit scale alone ({draws} draws a row, {items} items a setting)"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    heads = ("n", "scores", "rho(Var, BSD)", "% p<=.05: Var", "any other", "any other, Holm")
    for head in heads:
        table.add_column(head, no_wrap=True)
    for row in found["rows"]:
        low, high = row["rho_range"]
        shares = (_percent(row, name) for name in ("var", "any", "any_holm"))
        table.add_row(str(row["n"]), row["scores"], f"{row['rho']:.2f} ({low:.2f} to {high:.2f})", *shares)
    return [table], found


def _percent(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval"]
    return f"{100 * row[name]:.0f} ({100 * low:.0f}-{100 * high:.0f})"
