"""Temperature calibration of every model before it is compared: from a calibration split, or cross-fitted by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s_pref.analysis.scores.panel import Panel
from w2s_pref.analysis.stats.calibration import TEMPERATURES, fit_temperature
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.core.errors import W2SError


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
        inside = (self.temperatures > 1.01 * TEMPERATURES[0]) & (self.temperatures < 0.99 * TEMPERATURES[1])
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
    fitted = np.array([[fit_temperature(row)] for row in held_out.delta[model] / held_out.tau[model]])
    return Rescaled(np.asarray(data.delta[model] / data.tau[model] / fitted), fitted)
