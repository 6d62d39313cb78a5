"""``analyze_calibration``: from a score table to how well a model's confidence says how often it is right."""

from __future__ import annotations

from typing import Any

import pandas as pd

from w2s_pref.analysis.scores.panel import resampled
from w2s_pref.analysis.stats.basics import Ties, credit, number
from w2s_pref.analysis.stats.calibration import calibration, fit_temperature


def analyze_calibration(
    scores: pd.DataFrame,
    model: str,
    bins: int = 10,
    resamples: int = 2000,
    seed: int = 0,
    *,
    ties: Ties = "half",
    objective: str | None = None,
) -> dict[str, Any]:
    """ECE, Brier score, reliability bins and the temperature that would fit these very items, of one model.

    Returns:
        A JSON-ready dictionary: ``n, accuracy, ece, brier, reliability, temperature, intervals``. ``temperature`` is
        over the table's ``tau`` and in-sample: fit it on other items before using it.

    Raises:
        W2SError: bad table, unknown model, or fewer than two resamples.
    """
    data, draw = resampled(scores, (model,), objective, resamples, seed)
    found = calibration(data.p(model), data.delta[model], draw, bins, ties)
    accuracy = draw.mean(credit(data.delta[model], ties))
    stats = {"accuracy": accuracy, "ece": found.ece, "brier": found.brier}
    return {
        "model": model,
        "n": data.size * len(data.seeds),
        **{name: number(stat.value) for name, stat in stats.items()},
        "reliability": [each.model_dump() for each in found.bins],
        "temperature": fit_temperature((data.delta[model] / data.tau[model]).ravel()),
        "intervals": {name: stat.pair() for name, stat in stats.items()},
        "warnings": data.warnings,
    }
