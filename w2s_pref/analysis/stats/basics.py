"""Small shared pieces: stable sigmoid, safe division, and numbers that JSON can hold."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from w2s_pref.core.arrays import Bools, Floats

Ties = Literal["half", "right"]
#: 97.5 % point of the standard normal distribution: half the width of a 95 % interval in standard errors.
Z95 = 1.959963984540054


def sigmoid(x: Floats) -> Floats:
    """Logistic function, any shape, exact in both tails: no overflow for any finite ``x``; range [0, 1]."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small), dtype=np.float64)


def divide(top: Floats, bottom: Floats) -> Floats:
    """``top / bottom`` element by element, NaN (undefined) where ``bottom`` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(bottom == 0, np.nan, top / bottom), dtype=np.float64)


def right(delta: Floats, ties: Ties = "half") -> Bools:
    """Correct iff delta > 0 (``ties="right"``: delta >= 0, the published code's reading). Wrong is "not correct"."""
    return np.asarray(delta >= 0 if ties == "right" else delta > 0, dtype=np.bool_)


def credit(delta: Floats, ties: Ties = "half") -> Floats:
    """What an item adds to accuracy: 1 right, 0 wrong, a tie (delta = 0) one half, or 1 with ``ties="right"``."""
    tie = 1.0 if ties == "right" else 0.5
    return np.asarray(np.where(delta > 0, 1.0, np.where(delta == 0, tie, 0.0)), dtype=np.float64)


def expected(value: Floats, sure: Floats | None, otherwise: Floats | None = None) -> Floats:
    """What is to be expected of ``value`` (K, N) where the answer called true is so with probability ``sure`` (N,).

    Args:
        sure: None where it is known for sure.
        otherwise: the value where the other answer is the true one; default 1 - ``value``, as for credits.
    """
    if sure is None:
        return value
    return np.asarray(sure * value + (1 - sure) * (1 - value if otherwise is None else otherwise), dtype=np.float64)


def number(x: float | np.floating | None) -> float | None:  # type: ignore[type-arg]
    """A plain float, or None where the value is missing, NaN or infinite: JSON has no other way to say undefined."""
    if x is None or not math.isfinite(float(x)):
        return None
    return float(x)
