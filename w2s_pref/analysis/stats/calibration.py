"""Calibration of score tables: ECE, Brier score, reliability bins, and the temperature that fits held-out pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.panel import panel
from w2s_pref.analysis.scores.table import validate_scores
from w2s_pref.analysis.stats.basics import Ties, credit, divide, number, sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler, Stat
from w2s_pref.core.arrays import Floats, Ints

#: Range of a fitted temperature; at its ends the data ask for none (all right) or for no confidence at all.
TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence lies in [low, high) (the last bin includes 1). Undefined means are None."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibrated:
    """ECE and Brier score with their bootstraps, and the bins they are read from."""

    ece: Stat
    brier: Stat
    bins: list[ReliabilityBin]


def calibration(p: Floats, delta: Floats, draw: Resampler, bins: int = 10, ties: Ties = "half") -> Calibrated:
    """Calibration of the confidence max(p, 1-p), p the probability of the true answer, both arrays (K, N).

    ECE = sum over equal-width bins of [.5, 1] of (n_bin / n) |accuracy - confidence|; its bootstrap is biased upwards
    where bins are small, because the absolute value cannot cancel noise. Brier = mean (1 - p)^2.
    """
    confidence = np.maximum(p, 1 - p)
    place = confidence_bin(confidence, bins)
    inside = np.eye(bins)[place]
    values = np.concatenate(
        [inside, inside * confidence[..., None], inside * credit(delta, ties)[..., None], (1 - p[..., None]) ** 2],
        axis=-1,
    )
    sums = draw.sums(values)
    ece = sums.stat(lambda c: _ece(c, bins), 0.0, 1.0)
    brier = sums.stat(lambda c: divide(c[..., -1], c[..., :bins].sum(axis=-1)), 0.0, 1.0)
    return Calibrated(ece, brier, _bins(sums.seeds.sum(axis=0), bins))


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
        W2SError: bad table or unknown model.
    """
    data = panel(validate_scores(scores), (model,), objective)
    draw = Resampler(data.groups, len(data.seeds), resamples, seed)
    found = calibration(data.p(model), data.delta[model], draw, bins, ties)
    accuracy = draw.mean(credit(data.delta[model], ties))
    stats = {"accuracy": accuracy, "ece": found.ece, "brier": found.brier}
    return {
        "model": model,
        "n": data.size * len(data.seeds),
        **{name: number(stat.value) for name, stat in stats.items()},
        "reliability": [vars(b) for b in found.bins],
        "temperature": fit_temperature((data.delta[model] / data.tau[model]).ravel()),
        "intervals": {name: stat.pair() for name, stat in stats.items()},
        "warnings": data.warnings,
    }


def confidence_bin(confidence: Floats, bins: int = 10) -> Ints:
    """Equal-width bin of [.5, 1] a confidence falls into, 0..bins-1; an edge belongs to the bin above it."""
    edges = np.linspace(0.5, 1.0, bins + 1)[1:-1]
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def _ece(sums: Floats, bins: int) -> Floats:
    gap = np.abs(sums[..., bins : 2 * bins] - sums[..., 2 * bins : 3 * bins]).sum(axis=-1)
    return divide(gap, sums[..., :bins].sum(axis=-1))


def _bins(sums: Floats, bins: int) -> list[ReliabilityBin]:
    edges = np.linspace(0.5, 1.0, bins + 1)
    n, confidence, accuracy = sums[:bins], sums[bins : 2 * bins], sums[2 * bins : 3 * bins]
    means = [divide(x, n) for x in (confidence, accuracy)]
    return [
        ReliabilityBin(float(edges[i]), float(edges[i + 1]), int(n[i]), number(means[0][i]), number(means[1][i]))
        for i in range(bins)
    ]


def fit_temperature(delta: Floats, truth: Floats | None = None) -> float:
    """Temperature T that minimises -mean log sigmoid(margin / T) on held-out pairs.

    Args:
        delta: (R,) score gaps, first answer minus second; over their own temperature, where they have one.
        truth: (R,) 1 where the first answer is the true one, else 0; None where delta is oriented to the truth.

    Returns:
        T in ``TEMPERATURES``: the lower end where every pair is right (any T above it is less sure than the data
        ask for), the upper end where the scores know nothing.

    Raises:
        ValueError: no pairs, or a value that is not finite.
    """
    margin = np.asarray(delta, dtype=np.float64)
    if truth is not None:
        margin = margin * (2 * np.asarray(truth, dtype=np.float64) - 1)
    if margin.size == 0 or not np.isfinite(margin).all():
        raise ValueError("fit_temperature needs at least one pair and finite scores")
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]

    def slope(beta: float) -> float:
        """Derivative of the loss in beta = 1 / T, rising: the loss is convex in beta."""
        return -float(np.mean(margin * sigmoid(-beta * margin)))

    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    for _ in range(80):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float((low * high) ** -0.5)
