"""Bias, variance, covariance, misfit, risk and its bounds as an ``evaluate`` module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from w2s_pref.analysis.risk.summary import risk_summary
from w2s_pref.metrics import tables

_DESCRIPTION = """Bias, variance and covariance of a weak and a strong model over pairs oriented chosen-first, misfit,
risks, three bounds on the strong risk with their slack, and blind-spot deception, raw and after calibration."""


class Risk(tables.ScoreGaps):
    """``compute(weak=, strong=, [groups=,] t_strong=.75, t_weak=.75, resamples=2000, seed=0)``."""

    gaps = ("weak", "strong")

    def _info(self) -> evaluate.MetricInfo:
        return tables.metric_info(_DESCRIPTION, tables.RISK_INPUTS, self.gaps, tables.OSOOLI)

    def _compute(
        self, weak: Sequence[float], strong: Sequence[float], groups: Sequence[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        return risk_summary(tables.score_table({"weak": weak, "strong": strong}, groups), "weak", "strong", **options)
