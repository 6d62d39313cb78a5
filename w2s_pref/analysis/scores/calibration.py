"""Calibration: ECE, Brier score, reliability bins, and temperatures from held-out pairs or cross-fitted by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.panel import Panel, resampled
from w2s_pref.analysis.stats.basics import Ties, credit, divide, expected, number, sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.seeds import READINGS
from w2s_pref.analysis.stats.stat import SHARE, Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.results.estimates import Bin

#: Range of a fitted temperature; at its ends the data ask for none (all right) or for no confidence at all.
TEMPERATURES = (0.01, 100.0)


@dataclass(frozen=True)
class Calibrated:
    """ECE and Brier score with their bootstraps, and the bins they are read from: [low, high), the last includes 1."""

    ece: Stat
    brier: Stat
    bins: list[Bin]


def calibration(
    p: Floats, delta: Floats, draw: Resampler, bins: int = 10, ties: Ties = "half", sure: Floats | None = None
) -> Calibrated:
    """Calibration of the confidence max(p, 1-p), p the probability of the true answer, both arrays (K, N).

    ``sure`` (N,) is how probable it is that this answer is the true one, where that is not known for sure: accuracy and
    Brier score are then those to be expected.

    ECE = sum over equal-width bins of [.5, 1] of (n_bin / n) |accuracy - confidence|; its bootstrap is biased upwards
    where bins are small, because the absolute value cannot cancel noise. Brier = mean (1 - p)^2.
    """
    confidence = np.maximum(p, 1 - p)
    place = confidence_bin(confidence, bins)
    inside = np.eye(bins)[place]
    values = np.concatenate(
        [
            *(inside, inside * confidence[..., None], inside * expected(credit(delta, ties), sure)[..., None]),
            expected((1 - p) ** 2, sure, p**2)[..., None],
        ],
        axis=-1,
    )
    sums = draw.sums(values)
    ece = sums.stat(lambda c: _ece(c, bins), SHARE)
    brier = sums.stat(lambda c: divide(c[..., -1], c[..., :bins].sum(axis=-1)), SHARE)
    return Calibrated(ece, brier, _bins(sums.seeds.sum(axis=0), bins))


def confidence_bin(confidence: Floats, bins: int = 10) -> Ints:
    """Equal-width bin of [.5, 1] a confidence falls into, 0..bins-1; an edge belongs to the bin above it."""
    edges = np.linspace(0.5, 1.0, bins + 1)[1:-1]
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def _ece(sums: Floats, bins: int) -> Floats:
    gap = np.abs(sums[..., bins : 2 * bins] - sums[..., 2 * bins : 3 * bins]).sum(axis=-1)
    return divide(gap, sums[..., :bins].sum(axis=-1))


def _bins(sums: Floats, bins: int) -> list[Bin]:
    edges = np.linspace(0.5, 1.0, bins + 1)
    n, confidence, accuracy = sums[:bins], sums[bins : 2 * bins], sums[2 * bins : 3 * bins]
    sure, hit = divide(confidence, n), divide(accuracy, n)
    return [
        Bin(low=edges[i], high=edges[i + 1], n=int(n[i]), confidence=number(sure[i]), accuracy=number(hit[i]))
        for i in range(bins)
    ]


def fit_temperature(delta: Floats, truth: Floats | None = None) -> float:
    """Temperature T that minimises -mean log sigmoid(margin / T) on held-out pairs.

    Args:
        delta: (R,) score gaps, first answer minus second; over their own temperature, where they have one.
        truth: (R,) probability that the first answer is the true one, 1 or 0 where that is sure; None where delta is
            oriented to the truth.

    Returns:
        T in ``TEMPERATURES``: the lower end where every pair is right (any T above it is less sure than the data
        ask for), the upper end where the scores know nothing.

    Raises:
        ValueError: no pairs, or a value that is not finite.
    """
    margin = np.asarray(delta, dtype=np.float64)
    side = np.ones_like(margin) if truth is None else np.asarray(truth, dtype=np.float64)
    known = bool(np.isin(side, (0.0, 1.0)).all())
    if known:
        margin = margin * (2 * side - 1)
    if margin.size == 0 or not np.isfinite(margin).all():
        raise ValueError("fit_temperature needs at least one pair and finite scores")
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]

    def slope(beta: float) -> float:
        """Derivative of the loss in beta = 1 / T, rising: the loss is convex in beta."""
        if not known:
            return float(np.mean(margin * (sigmoid(beta * margin) - side)))
        return -float(np.mean(margin * sigmoid(-beta * margin)))

    if slope(low) >= 0:
        return TEMPERATURES[1]
    if slope(high) <= 0:
        return TEMPERATURES[0]
    for _ in range(80):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float((low * high) ** -0.5)


#: A temperature this close to an end of its range, as a share of it, is at that end.
NEAR = 0.01


@dataclass(frozen=True)
class Rescaled:
    """Logits after their temperature is divided out.

    Attributes:
        logits: (K, N).
        temperatures: (K, folds), one fit for each seed and fold; each seed is a model of its own.
    """

    logits: Floats
    temperatures: Floats

    @property
    def temperature(self) -> float:
        """Geometric mean over seeds and folds."""
        return float(np.exp(np.log(self.temperatures).mean()))

    @property
    def at_limit(self) -> bool:
        """Whether a fit ran into the end of its range: all right, or no knowledge at all."""
        low, high = TEMPERATURES[0] * (1 + NEAR), TEMPERATURES[1] * (1 - NEAR)
        inside = (self.temperatures > low) & (self.temperatures < high)
        return not bool(inside.all())


def cross_fitted(logits: Floats, groups: Ints) -> Rescaled | None:
    """Divide each half of the groups by the temperature that fits the other half.

    No item helps to fit the temperature it is divided by, and all items are used. The halves are the even and the odd
    group codes (codes follow the sorted names).

    Args:
        logits: (K, N) score gaps over their own temperature.
        groups: (N,) group codes.

    Returns:
        None where there is a single group and so no other half.
    """
    fold = groups % 2
    if fold.min() == fold.max():
        return None
    fitted = np.array([[fit_temperature(row[fold != k]) for k in (0, 1)] for row in logits])
    return Rescaled(np.asarray(logits / fitted[:, fold]), fitted)


def fitted_elsewhere(data: Panel, held_out: Panel, model: str) -> Rescaled:
    """Divide a model's logits by the temperature fitted, seed by seed, on a calibration split.

    Raises:
        W2SError: the split has other seeds than the table.
    """
    if data.seeds != held_out.seeds:
        raise W2SError(
            f"calibration table: seeds {list(held_out.seeds)}, but the score table has {list(data.seeds)}; score the "
            "calibration items with the same models."
        )
    fitted = np.array([[fit_temperature(row)] for row in held_out.logits(model)])
    return Rescaled(np.asarray(data.logits(model) / fitted), fitted)


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
        A JSON-ready dictionary: ``n, accuracy, ece, brier, reliability, temperature, intervals, intervals_in_seeds``.
        ``temperature`` is over the table's ``tau`` and in-sample: fit it on other items before using it.

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
        "temperature": fit_temperature(data.logits(model).ravel()),
        **{key: {name: read(stat) for name, stat in stats.items()} for key, read in READINGS.items()},
        "warnings": data.warnings,
    }
