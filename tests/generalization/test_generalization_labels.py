"""What several supervisors say together, by hand: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from w2s_pref.labels.supervisors import COMBINATIONS
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.labels import ChosenStage

#: P(y = 1) of three supervisors for four items.
SAID = np.array([[0.9, 0.6, 0.3, 0.2], [0.8, 0.4, 0.3, 0.6], [0.7, 0.9, 0.6, 0.1]])
ITEMS = pd.DataFrame(
    {
        "id": [*"abcd"],
        "group": [*"abcd"],
        "form": "item",
        "prompt": [*"abcd"],
        "a": "yes",
        "b": "no",
        "truth": [1, 1, 0, 0],
    }
)


def built(folder: Path, combine: str, held: Rows | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of three supervisors; the second one answered in another order."""
    tables = [pd.DataFrame({"id": ITEMS["id"], "final": np.log(p / (1 - p))}) for p in SAID]
    tables[1] = tables[1].iloc[::-1].reset_index(drop=True)
    builder: Any = SimpleNamespace(table=lambda number: tables[number], base=Path())
    models: Any = (0, 1, 2)
    meta = ChosenStage("three", Rows("all", ITEMS), models, "final", combine, held=held).build(builder, folder)
    return pd.read_parquet(folder / "table.parquet").set_index("id"), meta


@pytest.mark.parametrize(
    ("combine", "expected"),
    [
        ("mean", SAID.mean(axis=0)),
        ("vote", [1, 2 / 3, 1 / 3, 1 / 3]),
        ("median", [0.8, 0.6, 0.3, 0.2]),
        ("max_confidence", [0.9, 0.9, 0.3, 0.1]),
    ],
)
def test_every_combination_of_preference_studies_serves_here(
    tmp_path: Path, combine: str, expected: list[float]
) -> None:
    found, meta = built(tmp_path, combine)
    p = 1 / (1 + np.exp(found["score_b"] - found["score_a"]))
    np.testing.assert_allclose(p, expected, atol=1e-9)
    np.testing.assert_allclose(found["spread"], SAID.std(axis=0))
    assert meta == {"items": 4, "models": 3}


def test_accuracy_is_that_on_the_held_out_items(tmp_path: Path) -> None:
    """Right on two of two, on one and on one: weights 1, 1/2, 1/2."""
    found, meta = built(tmp_path, "accuracy", Rows("calibration", ITEMS.iloc[1:3]))
    assert meta["accuracies"] == [1.0, 0.5, 0.5]
    p = 1 / (1 + np.exp(found["score_b"] - found["score_a"]))
    np.testing.assert_allclose(p, (SAID[0] + SAID[1] / 2 + SAID[2] / 2) / 2)


def test_all_of_them_give_a_probability(tmp_path: Path) -> None:
    for combine in COMBINATIONS.builtin:
        found, _ = built(tmp_path, combine, Rows("calibration", ITEMS) if combine == "accuracy" else None)
        assert np.isfinite(found[["score_a", "score_b"]]).all(axis=None)
