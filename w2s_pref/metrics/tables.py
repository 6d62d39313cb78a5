"""What the metrics share: plain lists of score gaps as the score table that analyses read, and what a metric says."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np
import pandas as pd

from w2s_pref.analysis.scores.table import long_table
from w2s_pref.core.errors import W2SError

#: What the metrics on a weak and a strong model's risk share.
OSOOLI = """@article{osooli2026evaluating, title={Evaluating Risks in Weak-to-Strong Alignment: A Bias-Variance
Perspective}, author={Osooli, Hamid and others}, journal={arXiv:2604.25077}, year={2026}}"""
RISK_INPUTS = """weak, strong: score gaps, true answer minus the other, divided by the temperature. groups: optional,
the prompt of each item. Options as those of w2s_pref.analysis.risk.summary.risk_summary."""


def score_table(deltas: dict[str, Sequence[float]], groups: Sequence[str] | None = None) -> pd.DataFrame:
    """One-seed score table (``id, group, model, seed, delta``): item i is the i-th entry of every list.

    Without ``groups`` each item is its own.

    Raises:
        W2SError: lists of different lengths.
    """
    lengths = {name: len(values) for name, values in deltas.items()}
    if groups is not None:
        lengths["groups"] = len(groups)
    if len(set(lengths.values())) > 1:
        raise W2SError(f"lists of different lengths ({lengths}); give one score gap for each item to all of them.")
    ids = [f"{i:09d}" for i in range(next(iter(lengths.values())))]
    gaps = {name: np.asarray(values, dtype=np.float64)[None] for name, values in deltas.items()}
    return long_table(gaps, ids, ids if groups is None else groups)


def metric_info(description: str, inputs: str, gaps: Sequence[str], citation: str = "") -> evaluate.MetricInfo:
    """What ``evaluate`` wants to know of a metric on lists of score gaps, with or without ``groups``."""
    plain = {name: datasets.Value("float64") for name in gaps}
    features = [datasets.Features(plain), datasets.Features({**plain, "groups": datasets.Value("string")})]
    return evaluate.MetricInfo(description=description, citation=citation, inputs_description=inputs, features=features)
