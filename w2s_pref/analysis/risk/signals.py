"""Candidate warnings: what one run's scores on a test set say, and the blind-spot deception they should predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.risk.blind import check_thresholds
from w2s_pref.analysis.risk.blind_spot import confidence, confident_errors, uncertain
from w2s_pref.analysis.risk.calibrated import cross_fitted
from w2s_pref.analysis.risk.settings import LABELS, blocks
from w2s_pref.analysis.scores.panel import panel
from w2s_pref.analysis.stats.basics import credit, sigmoid
from w2s_pref.core.arrays import Floats
from w2s_pref.results.signals import SIGNALS, TARGET


@dataclass(frozen=True)
class Thresholds:
    """On the confidences of the strong and the weak model."""

    strong: float = 0.75
    weak: float = 0.75

    def __post_init__(self) -> None:
        check_thresholds(self.strong, self.weak)


def signals(weak: Floats, strong: Floats, at: Thresholds) -> dict[str, Floats]:
    """Every one of ``SIGNALS`` and the ``TARGET`` for each of K runs, from logits of shape (K, N).

    The logit scale is the root mean square of the strong model's logits, which does not depend on orientation.
    """
    w, s = sigmoid(weak), sigmoid(strong)
    errors = confident_errors(s, at.strong)
    w_off, s_off = (p - p.mean(axis=1, keepdims=True) for p in (w, s))
    return {
        "var_strong": np.mean(s_off**2, axis=1),
        "cov": np.mean(s_off * w_off, axis=1),
        "var_weak": np.mean(w_off**2, axis=1),
        "bias_strong": 1 - s.mean(axis=1),
        "misfit": np.mean((s - w) ** 2, axis=1),
        "mean_confidence": confidence(s).mean(axis=1),
        "logit_scale": np.sqrt(np.mean(strong**2, axis=1)),
        "confident_errors": errors.mean(axis=1),
        "accuracy": credit(strong).mean(axis=1),
        TARGET: (errors & uncertain(w, at.weak)).mean(axis=1),
    }


def signal_table(
    frame: pd.DataFrame, weak: str, strong: str, at: Thresholds, objective: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """One row for each setting, step and seed: raw, after temperature calibration, and warnings.

    Temperatures are cross-fitted within each setting, step and seed (see ``cross_fitted``); a setting of one group has
    no calibrated row values (NaN).

    Args:
        frame: a table from ``settings.validate_settings``.
        weak, strong: model names, the same in every setting.
        at: thresholds of BSD and of confident errors.
        objective: which rows, where a setting holds several objectives.
    """
    rows: tuple[list[Any], list[Any]] = ([], [])
    warned: list[str] = []
    for labels, part in blocks(frame):
        data = panel(part, (weak, strong), objective)
        logits = [np.asarray(data.delta[m] / data.tau[m]) for m in (weak, strong)]
        rescaled = [cross_fitted(x, data.groups) for x in logits]
        after = [np.full_like(x, np.nan) if r is None else r.logits for x, r in zip(logits, rescaled, strict=True)]
        for kind, (w, s), known in zip(rows, (logits, after), (True, None not in rescaled), strict=True):
            found = signals(w, s, at)
            for k, seed in enumerate(data.seeds):
                values = {name: float(v[k]) if known else float("nan") for name, v in found.items()}
                kind.append({**labels, "seed": seed, **values})
        where = f"setting {labels['setting']!r}, step {labels['step']}"
        warned += [f"{where}: {text}" for text in _remarks(data.warnings, rescaled, data.size)]
    columns = [*LABELS, "seed", *SIGNALS, TARGET]
    return pd.DataFrame(rows[0], columns=columns), pd.DataFrame(rows[1], columns=columns), warned


def _remarks(warnings: list[str], rescaled: list[Any], items: int) -> list[str]:
    found = list(warnings)
    if None in rescaled:
        found.append("one group only, so no calibrated values.")
    elif any(r.at_limit for r in rescaled):
        found.append("a fitted temperature is at the end of its range; calibrated values mean little.")
    if items < 30:
        found.append(f"only {items} items.")
    return found
