"""Quantiles of the normal and of Student's distribution: scipy's, imported when the first interval is made.

A plan, and a run that finds everything done, make none, and scipy is a fifth of what they would import.
"""

from __future__ import annotations


def normal(p: float) -> float:
    """Quantile of the standard normal distribution at ``p`` in (0, 1)."""
    from scipy.special import ndtri

    return float(ndtri(p))


def student(freedom: float, p: float) -> float:
    """Quantile of Student's t with ``freedom`` > 0 degrees of freedom at ``p`` in (0, 1)."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, p))
