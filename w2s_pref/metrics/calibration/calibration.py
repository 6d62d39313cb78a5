"""Calibration of pairwise scores (ECE, Brier, reliability) as an ``evaluate`` module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from w2s_pref.analysis.scores.calibration import analyze_calibration
from w2s_pref.metrics import tables

_DESCRIPTION = """How well max(p, 1 - p), p = sigmoid(score gap), says how often a model prefers the true answer."""
_INPUTS = """delta: score gaps, true answer minus the other, divided by the temperature. groups: optional, the prompt of
each item. Options as those of w2s_pref.analysis.scores.calibration.analyze_calibration."""


class Calibration(tables.ScoreGaps):
    """``compute(delta=, [groups=,] bins=10, resamples=2000, seed=0)``."""

    gaps = ("delta",)

    def _info(self) -> evaluate.MetricInfo:
        return tables.metric_info(_DESCRIPTION, _INPUTS, self.gaps)

    def _compute(self, delta: Sequence[float], groups: Sequence[str] | None = None, **options: Any) -> dict[str, Any]:
        return analyze_calibration(tables.score_table({"model": delta}, groups), "model", **options)
