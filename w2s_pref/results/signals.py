"""The candidate warnings of a predictor study: what results call them, and how a reader is told."""

from __future__ import annotations

from typing import Final

#: Mean confidence, logit scale, confident errors and accuracy are the strong model's.
SIGNALS: Final = {
    "var_strong": "Var strong",
    "cov": "Cov(strong, weak)",
    "var_weak": "Var weak",
    "bias_strong": "bias strong",
    "misfit": "misfit M",
    "mean_confidence": "mean confidence",
    "logit_scale": "logit scale",
    "confident_errors": "confident-error rate",
    "accuracy": "accuracy",
}
#: What the signals are correlated with.
TARGET: Final = "bsd"
