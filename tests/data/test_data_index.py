"""Columns that pandas keeps as the index of a table are columns still."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from data_helpers import complaint, loaded, rows

from w2s_pref.core.errors import W2SError
from w2s_pref.data.files import as_table, read_file
from w2s_pref.data.readers import Part
from w2s_pref.data.sources import Source, load


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


def test_columns_that_are_called_by_numbers_are_named_as_text() -> None:
    """A recipe names columns by text; one called 0 was found by that name, and then looked up in vain."""
    table = pairs()[["prompt", "chosen", "rejected"]].set_axis([0, 1, 2], axis=1)
    source = Source(source="x", objective="o", columns={"prompt": "0", "chosen": "1", "rejected": "2"})
    found = load(source, parts=[Part("pairs", as_table(table, "pairs"))]).frame
    plain = load(Source(source="x", objective="o"), parts=[Part("pairs", as_table(pairs().drop(columns="id"), ""))])
    assert found["id"].tolist() == plain.frame["id"].tolist()
    with pytest.raises(W2SError, match="pairs: two columns are called '0'"):
        as_table(table.set_axis([0, "0", 2], axis=1), "pairs")
    with pytest.raises(W2SError, match="pairs: two columns are called '0'"):
        as_table([{0: "a", "0": "b"}], "pairs")


def test_pandas_na_in_a_column_of_objects_is_an_empty_cell() -> None:
    gap = pd.Series([pd.NA, 8, 9, 10], dtype=object)
    for role, said in (("id", "row 1: id is empty"), ("prompt", r"row 1 \(id 7\): the prompt is missing")):
        table = as_table(pairs().assign(**{role: gap if role == "id" else gap.map(str).where(gap.notna(), pd.NA)}), "p")
        with pytest.raises(W2SError, match=said):
            load(Source(source="x", objective="o"), parts=[Part("pairs", table)])


def test_two_columns_of_one_name_in_parquet(tmp_path: Path) -> None:
    cells = [pyarrow.array(pairs()[name]) for name in ("prompt", "chosen", "rejected", "chosen")]
    table = pyarrow.Table.from_arrays(cells, names=["prompt", "chosen", "rejected", "chosen"])
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert "x.parquet, two columns are called 'chosen' (columns 2, 4)" in complaint(tmp_path / "x.parquet")
