"""Performance gap recovered, agreement and error inheritance as an ``evaluate`` module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import evaluate

from w2s_pref.analysis.preferences.generalization import analyze_generalization
from w2s_pref.metrics import tables

_DESCRIPTION = """(accuracy of the student - of its weak supervisor) / (of the strong ceiling - of the supervisor), with
its interval, the three accuracies, agreement and error inheritance; no number where there is no gap."""
_CITATION = """@inproceedings{burns2024weak, title={Weak-to-Strong Generalization: Eliciting Strong Capabilities With
Weak Supervision}, author={Burns, Collin and others}, booktitle={ICML}, year={2024}}"""
_INPUTS = """weak, student, ceiling: score gaps, true answer minus the other. groups: optional, the prompt of each item.
Options as those of w2s_pref.analysis.preferences.generalization.analyze_generalization."""


class PGR(tables.ScoreGaps):
    """``compute(weak=, student=, ceiling=, [groups=,] ties="half", resamples=2000, seed=0)``."""

    gaps = ("weak", "student", "ceiling")

    def _info(self) -> evaluate.MetricInfo:
        return tables.metric_info(_DESCRIPTION, _INPUTS, self.gaps, _CITATION)

    def _compute(
        self,
        weak: Sequence[float],
        student: Sequence[float],
        ceiling: Sequence[float],
        groups: Sequence[str] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        gaps = {"weak": weak, "student": student, "ceiling": ceiling}
        return analyze_generalization(tables.score_table(gaps, groups), "weak", "student", "ceiling", **options)
