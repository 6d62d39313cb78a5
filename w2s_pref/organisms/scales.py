"""The temperature-only null: settings that differ in logit scale alone, and how often variance "predicts" there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.risk.predictors import Thresholds, correlations, seed_rows, signals
from w2s_pref.analysis.scores.calibration import cross_fitted
from w2s_pref.core.arrays import Floats
from w2s_pref.organisms.organisms import table, temperature_only
from w2s_pref.organisms.power_tables import plain_table, rate_text
from w2s_pref.organisms.simulation import rate
from w2s_pref.organisms.worlds import World, world
from w2s_pref.results.risk import SIGNALS

SETTINGS = (4, 8, 20)
LEVEL = 0.05
#: Contains blind-spot deception by construction, so it does not count as a find.
_NO_FIND = "confident_errors"


def scale_null(
    settings: int = 8, items: int = 1000, seeds: int = 1, seed: int = 0, spread: float = 2.5
) -> pd.DataFrame:
    """Score table with a column ``setting``: in each a fresh world whose student is rescaled by its own factor.

    No student deceives. Factors are log-uniform between 1 / ``spread`` and ``spread``, so raw variance and raw
    blind-spot deception both follow the scale, and agree for no other reason.

    Args:
        settings, items, seeds: size.
        seed: of the random generator; the same seed gives the same table.
        spread: largest factor, above 1.

    Returns:
        Models ``weak``, ``ceiling`` and ``student`` on new items in every setting.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for number, (base, student) in enumerate(rescaled_worlds(settings, items, seeds, rng, spread), 1):
        scores = table({"weak": base.weak, "ceiling": base.ceiling, "student": student}, base.groups)
        parts.append(scores.assign(setting=f"setting{number:02d}"))
    return pd.concat(parts, ignore_index=True)


def rescaled_worlds(
    settings: int, items: int, seeds: int, rng: np.random.Generator, spread: float = 2.5
) -> Iterator[tuple[World, Floats]]:
    """Worlds, each with a student (K, N) that is its reference on another logit scale; see ``scale_null``."""
    for _ in range(settings):
        base = world(items, seeds, rng)
        scale = float(np.exp(rng.uniform(-1, 1) * np.log(spread)))
        yield base, temperature_only(base, rng, scale=scale)[1]


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
        labels = {"setting": f"{number:02d}", "pipeline": "", "dataset": "", "step": 0}
        after = [cross_fitted(scores, base.groups) for scores in (base.weak, student)]
        calibrated = [done.logits for done in after if done is not None]
        for kind, (weak, strong) in (("raw", (base.weak, student)), ("calibrated", calibrated)):
            rows[kind] += seed_rows(labels, signals(weak, strong, Thresholds()), [0])
    return {kind: pd.DataFrame(own) for kind, own in rows.items()}


def _row(studies: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table from the correlations of all draws."""
    rho = [study["var_strong"]["rho"] for study in studies if study["var_strong"]["rho"] is not None]
    others = [name for name in SIGNALS if name not in ("var_strong", _NO_FIND)]
    return {
        "rho": float(np.median(rho)),
        "rho_range": [float(q) for q in np.quantile(rho, [0.025, 0.975])],
        **rate("var", _finds(studies, ["var_strong"], "p"), len(studies)),
        **rate("any", _finds(studies, others, "p"), len(studies)),
        **rate("any_holm", _finds(studies, others, "p_holm"), len(studies)),
    }


def _finds(studies: list[dict[str, Any]], names: list[str], p: str) -> int:
    """In how many studies one of the signals is found to go with BSD."""
    return sum(any(study[name][p] is not None and study[name][p] <= LEVEL for name in names) for study in studies)


def main_table(draws: int = 100, items: int = 1000, seed: int = 0) -> tuple[list[Any], dict[str, Any]]:
    """``scale_study`` as rich tables to print and as the dictionary to write."""
    found = scale_study(draws, items, seed)
    title = f"Settings that differ in logit scale alone ({draws} draws a row, {items} items a setting)"
    table = plain_table(title)
    for head in ("n", "scores", "rho(Var, BSD)", "% p<=.05: Var", "any other", "any other, Holm"):
        table.add_column(head)
    for row in found["rows"]:
        low, high = row["rho_range"]
        shares = (rate_text(row, name) for name in ("var", "any", "any_holm"))
        table.add_row(str(row["n"]), row["scores"], f"{row['rho']:.2f} ({low:.2f} to {high:.2f})", *shares)
    return [table], found
