"""How often margins and labels agree: what picks a checkpoint, and what a curve of the training shows."""

from __future__ import annotations

import numpy as np


def agreement(margins: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of items on which the sign of the margin is the label, over the last dimension; a margin of 0 is half.

    Args:
        margins: (…, n), log-odds of class 1.
        labels: (…, n), probabilities or 0 and 1, hardened at ½ (½ itself is 1).
    """
    right = (margins > 0) == (labels >= 0.5)
    share: np.ndarray = np.where(margins == 0, 0.5, right).mean(axis=-1)
    return share
