"""A trained model counts only if what was saved scores as what was trained."""

from __future__ import annotations

import numpy as np

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError

#: Training pairs that are scored again after saving: enough to meet every tensor, few beside a training.
CHECKED_PAIRS = 16
#: The same for log-probabilities, whose pass holds the whole vocabulary for every token.
CHECKED_ANSWERS = 8

#: Largest relative difference of a score (from 1 on; absolute below). The reloaded model may sit on another device and
#: sum in another order. float32 rounds by 2^-24 = 6e-8, so 1e-4 is over a thousand roundings in one direction, bfloat16
#: by 2^-9 = 2e-3, so 5e-2 is twenty-five; a tensor that was lost or drawn anew moves scores by their own size.
SCORE_TOLERANCE = {"float32": 1e-4}
HALF_SCORE_TOLERANCE = 5e-2
#: A log-probability is a sum over the answer's tokens, which round one by one: ten times as much.
SUMMED = 10.0


def check_reload(trained: Floats | None, saved: Floats, dtype: str, summed: bool = False) -> float | None:
    """The largest difference between trained and reloaded model, from what both say of the same texts.

    Args:
        trained: None where the trained model cannot be asked here (its weights may be divided among processes).
        dtype: the model's, as the recipe writes it.
        summed: the numbers are log-probabilities of whole answers, in nats.

    Returns:
        None where nothing was compared.

    Raises:
        W2SError: they differ by more than rounding, or what was saved gives no numbers.
    """
    if not np.isfinite(saved).all():
        raise W2SError("the saved model gives scores or log-probabilities that are not numbers")
    if trained is None or not trained.size:
        return None
    difference = float(np.abs(trained - saved).max())
    tolerance = SCORE_TOLERANCE.get(dtype, HALF_SCORE_TOLERANCE) * (SUMMED if summed else 1.0)
    if not difference <= tolerance * max(1.0, float(np.abs(trained).max())):
        what = "log-probabilities" if summed else "scores"
        raise W2SError(f"saved and trained model differ ({what} by {difference:.2g})")
    return difference
