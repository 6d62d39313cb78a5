"""Scores of several supervisors as one: temperatures, accuracies, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.pooled import PooledScores
from w2s_pref.stages.rows import Rows

PAIRS = pd.DataFrame(
    {"id": ["1", "2"], "group": "g", "form": "text", "prompt": "p", "a": ["x", "z"], "b": "y", "truth": [1, 0]}
)


@dataclass(frozen=True, eq=False)
class Made(Scored):
    """Scores whose margins are given."""

    margins: dict[str, float]
    kind_of_score: str = "reward_model"

    @property
    def form(self) -> str:
        return self.kind_of_score

    @property
    def payload(self) -> dict[str, Any]:
        return {"margins": self.margins, "form": self.form}


def builder() -> SimpleNamespace:
    def table(stage: Made) -> pd.DataFrame:
        return pd.DataFrame({"id": list(stage.margins), "score_a": list(stage.margins.values()), "score_b": 0.0})

    return SimpleNamespace(table=table, base=Path())


def made(name: str, margins: dict[str, float], form: str = "reward_model") -> Made:
    return Made(name, Rows("w2s", PAIRS), margins, form)


def test_each_at_its_own_temperature(tmp_path: Path) -> None:
    """Log-odds 2 and 50 / 50 (the paper's form of DPO is divided by 50), joined by id."""
    pool = (made("one", {"1": 2.0, "2": -1.0}), made("two", {"2": 50.0, "1": -100.0}, "paper_dpo"))
    PooledScores("both", Rows("w2s", PAIRS), pool, "log_odds").build(builder(), tmp_path)
    table = pd.read_parquet(tmp_path / "table.parquet").set_index("id")
    np.testing.assert_allclose(table["score_a"] - table["score_b"], [0.0, 0.0], atol=1e-9)
    p = 1 / (1 + np.exp(-2.0))
    assert table["spread"]["1"] == pytest.approx((p - (1 - p)) / 2)


def test_accuracies_are_those_on_the_calibration_pairs(tmp_path: Path) -> None:
    pool = (made("one", {"1": 3.0, "2": -3.0}), made("two", {"1": -3.0, "2": -3.0}))
    held = (made("one", {"1": 1.0, "2": -1.0}), made("two", {"1": -1.0, "2": -1.0}))  # right on both; on the second
    stage = PooledScores("both", Rows("w2s", PAIRS), pool, "accuracy", calibration=held)
    assert stage.build(builder(), tmp_path)["accuracies"] == [1.0, 0.5]
    table = pd.read_parquet(tmp_path / "table.parquet").set_index("id")
    high = 1 / (1 + np.exp(-3.0))
    assert np.exp(table["score_a"]["1"]) == pytest.approx((high + 0.5 * (1 - high)) / 1.5)
    assert stage.key != PooledScores("both", Rows("w2s", PAIRS), pool, "mean").key


def test_different_pairs_are_refused(tmp_path: Path) -> None:
    pool = (made("one", {"1": 3.0, "2": -3.0}), made("two", {"1": -3.0}))
    with pytest.raises(W2SError, match=r"must score the same pairs, but they scored 2 by one, 1 by two"):
        PooledScores("both", Rows("w2s", PAIRS), pool, "mean").build(builder(), tmp_path)
