"""Scores of a supervisor → labels for a student. No ground truth here, except in the filter named ``oracle_…``."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from w2s_pref.core.strict import Section
from w2s_pref.core.tables import digest


class LabelConfig(Section):
    """How a supervisor's scores become labels."""

    form: Literal["soft", "hard"] = Field("soft", description="probabilities, or 0/1")
    calibrate: bool = Field(False, description="temperature-scale the supervisor on a held-out slice of gt")
    filter: Literal["none", "high_confidence", "oracle_high_confidence"] = Field(
        "none", description="which pairs to train on; oracle_… also asks that the label is right (uses ground truth)"
    )
    threshold: float = Field(0.75, ge=0.5, le=1.0, description="confidence max(p, 1-p) that high_confidence keeps")


def make_labels(
    raw: pd.DataFrame, config: LabelConfig, temperature: float = 1.0, truth: pd.Series | None = None
) -> pd.DataFrame:
    """Labels ``id, p, keep`` from raw scores ``id, score_a, score_b``.

    p = sigmoid((score_a - score_b) / temperature); hard labels are 0 or 1, and ½ at a tie. The filter looks at the
    soft, calibrated p. ``truth`` (indexed by id, 1 where a is preferred) is read by ``oracle_high_confidence`` only.
    """
    margin = (raw["score_a"].to_numpy() - raw["score_b"].to_numpy()) / temperature
    soft = np.exp(-np.logaddexp(0.0, -margin))
    keep = np.ones(len(raw), dtype=bool)
    if config.filter != "none":
        keep &= np.maximum(soft, 1 - soft) >= config.threshold
    if config.filter == "oracle_high_confidence":
        if truth is None:
            raise ValueError("oracle_high_confidence needs the ground truth")
        keep &= (soft > 0.5) == (truth.loc[raw["id"]].to_numpy() == 1)
    p = soft if config.form == "soft" else np.where(margin > 0, 1.0, np.where(margin < 0, 0.0, 0.5))
    return pd.DataFrame({"id": raw["id"].to_numpy(), "p": p, "keep": keep})


def random_labels(ids: pd.Series, seed: int) -> pd.DataFrame:
    """Labels of the placebo: a fair coin for each pair, from its id and the seed."""
    coin = [int(digest("placebo", str(seed), identity)[:8], 16) % 2 for identity in ids]
    return pd.DataFrame({"id": ids.to_numpy(), "p": np.asarray(coin, dtype=float), "keep": True})
