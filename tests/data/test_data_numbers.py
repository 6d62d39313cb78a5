"""Whole numbers are the same key and verdict however a file writes them: pandas makes 7 into 7.0 beside a gap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import complaint, loaded, rows, write

from w2s_pref.core.tables import cell_text
from w2s_pref.data.config import DataConfig, prepare


@pytest.mark.parametrize("value", [7, 7.0, "7", "7.0", np.int64(7), np.float32(7)])
def test_a_whole_number_is_one_key(value: object) -> None:
    assert cell_text(value) == "7"


@pytest.mark.parametrize("text", ["007.0", "7.10", "7.00", "v7.0", "7.5", "1e3", "7.0.0", ".0"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert cell_text(text) == text


def test_groups_of_a_file_that_pandas_wrote_are_those_of_another(tmp_path: Path) -> None:
    """Two names for one group put it into a test set and a training set, and nobody saw it."""
    for name, other in (("target", float), ("conflict", int)):
        frame = pd.DataFrame(rows(60)).assign(prompt=[f"{name} {n}?" for n in range(60)])
        frame.assign(group=[other(n // 3) for n in range(60)]).to_csv(tmp_path / f"{name}.csv", index=False)
    sides = {name: {"source": f"{name}.csv", "objective": name} for name in ("target", "conflict")}
    sizes = dict.fromkeys(("gt", "w2s", "test", "conflict", "conflict_test"), 9)
    splits = prepare(DataConfig.model_validate(sides | {"splits": sizes}), tmp_path).splits
    groups = [group for frame in splits.values() for group in frame["group"].unique()]
    assert len(groups) == len(set(groups))
    assert set(groups) <= {str(n) for n in range(20)}


def test_ids_that_have_lost_digits_are_refused_as_text_too(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [rows(1)[0] | {"id": "9007199254740992.0"}])
    assert "the id 9007199254740992.0 is a float that lost digits" in complaint(path)
    path = write(tmp_path / "y.jsonl", [rows(1)[0] | {"id": "9007199254740993"}])
    assert loaded(path).frame["id"].tolist() == ["9007199254740993"]


def test_numbers_of_sections_are_no_whole_numbers(tmp_path: Path) -> None:
    """Only a column that holds nothing else is what pandas made of whole numbers."""
    path = write(
        tmp_path / "x.jsonl", [row | {"id": own} for row, own in zip(rows(3), ["1", "1.0", "1.1"], strict=True)]
    )
    assert loaded(path).frame["id"].tolist() == ["1", "1.0", "1.1"]
    path = write(tmp_path / "y.jsonl", [row | {"id": own} for row, own in zip(rows(2), ["1.0", "2.0"], strict=True)])
    assert loaded(path).frame["id"].tolist() == ["1", "2"]


@pytest.mark.parametrize("first", [1, 1.0, "1", "1.0"])
def test_votes_of_a_file_that_pandas_wrote(tmp_path: Path, first: object) -> None:
    votes = pd.DataFrame({"prompt": ["q1", "q2"], "x": ["a", "c"], "y": ["b", "d"], "ann": [1, None], "bo": [1, 2]})
    votes.to_csv(tmp_path / "x.csv", index=False)
    label = {"column": ["ann", "bo"], "first": first, "second": 2}
    assert loaded(tmp_path / "x.csv", answers=["x", "y"], label=label).counts == {"read": 2, "rows": 2}


def test_columns_with_gaps_are_carried_as_what_they_are(tmp_path: Path) -> None:
    """64-bit numbers ran together as floats, and truth values with a gap were no column at all."""
    big = [2**60, 2**60 + 1, None]
    own = {"user": big, "tier": [1, 2, None], "liked": [True, None, False], "mixed": ["a", True, None]}
    frame = pd.DataFrame(rows(3)).assign(**{name: pd.Series(cells, dtype=object) for name, cells in own.items()})
    write(tmp_path / "x.jsonl", frame.to_dict("records"))
    frame.astype({"user": "Int64", "tier": "Int64", "liked": "boolean"}).drop(columns="mixed").to_parquet(
        tmp_path / "x.parquet"
    )
    for name in ("x.jsonl", "x.parquet"):
        found = loaded(tmp_path / name).frame
        assert "mixed" not in found
        assert found["user"].dropna().tolist() == [str(2**60), str(2**60 + 1)]
        assert found["tier"].tolist()[:2] == [1.0, 2.0]
        assert found["liked"].tolist() == [True, None, False]
        found.to_parquet(tmp_path / "out.parquet")
        assert pd.read_parquet(tmp_path / "out.parquet")["liked"].tolist() == [True, None, False]
