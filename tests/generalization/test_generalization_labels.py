"""What several supervisors say together, by hand: nothing is trained."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lab_helpers import laboratory, write_lab

from w2s_pref.labels.supervisors import COMBINATIONS
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import sigmoid
from w2s_pref.studies.generalization.labels import RULES, AlteredLabels, ChosenStage
from w2s_pref.studies.generalization.run import _labels

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


def test_a_labeler_of_the_users_makes_the_labels_of_both_stages(tmp_path: Path) -> None:
    """Sure weak labels stay as it made them, the first student's are made by it; soft and hard ones are as ever."""
    (tmp_path / "mine.py").write_text("def shrunk(p): return 0.5 + 0.4 * (p - 0.5)\n", encoding="utf-8")
    rows = Rows("half B", pd.DataFrame({"id": [*"abc"]}))
    margins = np.array([9.0, -3.0, 0.5])
    scores = pd.DataFrame({"id": [*"abc"], "score_a": margins / 2, "score_b": -margins / 2})
    builder = SimpleNamespace(base=tmp_path, table=lambda stage: scores)
    labels = pd.DataFrame({"id": [*"cabd"], "p": [0.6, 0.7, 0.52, 0.4], "keep": [False, True, False, True]})
    own = [0.5 + 0.4 * (float(sigmoid(margin)) - 0.5) for margin in (0.5, -3.0)]
    soft = [float(sigmoid(margin)) for margin in (0.5, 9.0, -3.0)]
    for form, expected in (("mine.py:shrunk", [own[0], 0.7, own[1], 0.4]), ("soft", [*soft, 0.4])):
        settings = {"threshold": 0.75, "form": form}
        stage = AlteredLabels("second", "two_stage", rows, None, scores="first", settings=settings)  # type: ignore[arg-type]
        found = RULES["two_stage"](builder, stage, labels)  # type: ignore[arg-type]
        np.testing.assert_allclose(found["p"], expected)
        assert found["keep"].tolist() == [False, True, True, True]


def test_labels_of_a_pool_are_those_of_the_slice_that_its_student_learns(tmp_path: Path) -> None:
    pooled = ["chains=[[weak, [middle, strong], last]]", "models.last={path: large}", "ladder=[]", "students=[naive]"]
    lab = laboratory(write_lab(tmp_path), *pooled, "inputs=split", "seeds=[0]")
    ids = lab.tasks["words"].answered.frame["id"]
    builder = SimpleNamespace(table=lambda stage: pd.DataFrame({"id": ids, "p": 0.7, "keep": True, "spread": 0.1}))
    written = _labels(lab, builder)  # type: ignore[arg-type]
    assert written is not None
    (student,) = lab.pooled
    learned = set(lab.named[student].split.train.frame["id"])
    assert set(written.loc[written["split"] == "w2s", "id"]) == learned < set(lab.tasks["words"]["w2s"].frame["id"])
    assert set(written.loc[written["split"] == "test", "id"]) == set(lab.tasks["words"]["test"].frame["id"])
