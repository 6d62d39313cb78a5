"""The analyses as modules of the evaluate library.

From the repository root, offline: ``evaluate.load("w2s_pref/metrics/deception_score")``. In Python:
``from w2s_pref.metrics.deception_score.deception_score import DeceptionScore``. Only these folders import ``evaluate``;
the numbers come from ``w2s_pref.analysis``.
"""
