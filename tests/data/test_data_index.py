"""Columns that pandas keeps as the index of a table are columns still."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from data_helpers import complaint, loaded, rows

from w2s_pref.core.errors import W2SError
from w2s_pref.data.files import as_table, read_file


def pairs() -> pd.DataFrame:
    return pd.DataFrame(rows(4)).assign(group=["d1", "d1", "d2", "d2"], id=[7, 8, 9, 10])


@pytest.mark.parametrize("index", ["group", "id", "prompt", ["group", "id"]])
def test_an_index_of_parquet_is_a_column(tmp_path: Path, index: str | list[str]) -> None:
    """A file that lost its groups would put one dialogue into training and test."""
    pairs().set_index(index).to_parquet(tmp_path / "x.parquet")
    pairs().to_parquet(tmp_path / "y.parquet")
    pd.testing.assert_frame_equal(loaded(tmp_path / "x.parquet").frame, loaded(tmp_path / "y.parquet").frame)


def test_a_named_range_of_parquet_is_a_column(tmp_path: Path) -> None:
    pairs().drop(columns="id").rename_axis("id").to_parquet(tmp_path / "x.parquet")
    assert loaded(tmp_path / "x.parquet").frame["id"].tolist() == ["0", "1", "2", "3"]


def test_a_named_index_of_a_table_in_memory_is_a_column() -> None:
    table = as_table(pairs().set_index(["group", "id"]), "pairs")
    assert table.columns.tolist() == ["group", "id", "prompt", "chosen", "rejected"]
    assert table.index.tolist() == [1, 2, 3, 4]
    kept = as_table(pairs().set_index("id", drop=False), "pairs")
    pd.testing.assert_frame_equal(kept, as_table(pairs(), "pairs"))


def test_an_index_without_a_name_stays_out(tmp_path: Path) -> None:
    odd = pairs().iloc[[3, 0]]
    odd.to_parquet(tmp_path / "x.parquet")
    for table in (read_file(tmp_path / "x.parquet"), as_table(odd, "pairs")):
        assert table.columns.tolist() == pairs().columns.tolist()


def test_an_index_that_differs_from_the_column_of_its_name(tmp_path: Path) -> None:
    table = pairs().set_index(pd.Index([1, 2, 3, 4], name="id"))
    said = "the index and a column are both called 'id' and differ; rename or remove one"
    with pytest.raises(W2SError, match=said):
        as_table(table, "pairs")
    table.to_parquet(tmp_path / "x.parquet")
    assert said in complaint(tmp_path / "x.parquet")


@pytest.mark.parametrize("kind", ["int32", "float64", "Int64", "string", "category", object])
def test_an_index_that_says_the_same_as_the_column_of_its_name(tmp_path: Path, kind: str) -> None:
    """Another dtype is no difference: the column stays."""
    table = pairs().set_index(pd.Index(pairs()["id"].astype(kind), name="id"))
    table.to_parquet(tmp_path / "x.parquet")
    pairs().to_parquet(tmp_path / "y.parquet")
    pd.testing.assert_frame_equal(loaded(tmp_path / "x.parquet").frame, loaded(tmp_path / "y.parquet").frame)
    pd.testing.assert_frame_equal(as_table(table, "pairs"), as_table(pairs(), "pairs"))


def test_an_index_with_gaps_that_says_the_same(tmp_path: Path) -> None:
    table = pairs().assign(group=["d1", None, "d2", "d2"])
    table = table.set_index(pd.Index(["d1", None, "d2", "d2"], name="group", dtype=object))
    table.to_parquet(tmp_path / "x.parquet")
    assert read_file(tmp_path / "x.parquet").columns.tolist() == table.columns.tolist()
