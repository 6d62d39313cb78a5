"""One data file → a raw table, read strictly: what a lenient reader would guess, shift or drop is refused by line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowException

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import readable
from w2s_pref.core.json_io import NotJSON, json_values
from w2s_pref.core.tables import cell_texts, records
from w2s_pref.core.text_tables import NotTable, csv_rows, json_rows, named_twice


def read_file(path: Path) -> pd.DataFrame:
    """The table in a file of data, rows numbered as a person would count them. A damaged file is an error.

    Raises:
        W2SError: an unknown ending, an empty or damaged file, cells that fit no column, a name that stands twice.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise W2SError(f"{path} has the ending {path.suffix!r}; expected one of {', '.join(READERS)}")
    with readable(path):
        return _read(path, reader)


def _read(path: Path, reader: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    if path.stat().st_size == 0:
        raise W2SError(f"{path} is empty (0 bytes); write it again, or remove it from source")
    try:
        return reader(path)
    except NotTable as error:
        raise W2SError(f"{path}, {error}") from error
    except (
        ValueError,
        TypeError,
        LookupError,
        OSError,
        ArrowException,
    ) as error:  # what readers raise for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise W2SError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows from 1, a header not counted. Cells that pandas calls NA are None: NA can be neither compared nor tested.

    What an index of pandas holds under a name is a column.

    Raises:
        NotTable: two columns of one name, or an index with the name of a column that holds something else.
    """
    names = [str(name) for name in frame.columns]  # as recipes name them
    if twice := named_twice(names):
        raise NotTable(twice)
    frame = _with_index(frame.set_axis(names, axis=1))
    gaps = [name for name in frame.columns if _holds_na(frame[name])]
    if gaps:
        frame = frame.assign(**{name: frame[name].astype(object).where(frame[name].notna(), None) for name in gaps})
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1), axis=0)


def _holds_na(cells: pd.Series[Any]) -> bool:
    if isinstance(cells.dtype, pd.api.extensions.ExtensionDtype):
        return bool(cells.isna().any())
    return pd.api.types.is_object_dtype(cells) and any(cell is pd.NA for cell in cells.tolist())


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its index's named levels as its first columns: where they stood before ``set_index``."""
    names = frame.columns.tolist()
    new: dict[str, pd.Series[Any]] = {}
    for level, name in enumerate(frame.index.names):
        if name is None:
            continue
        values = frame.index.get_level_values(level).to_series(index=frame.index)
        if str(name) not in names:
            new[str(name)] = values
        elif cell_texts(values) != cell_texts(frame[str(name)]):
            raise NotTable(f"the index and a column are both called {str(name)!r} and differ; rename or remove one")
    return pd.concat([pd.DataFrame(new), frame], axis=1) if new else frame


def as_table(value: Any, label: str) -> pd.DataFrame:
    """Rows as a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset -> a numbered table.

    Raises:
        W2SError: something else, columns of different lengths, or two columns of one name.
    """
    try:
        return numbered(_held(value, label))
    except NotTable as error:
        raise W2SError(f"{label}: {error}") from error


def _held(value: Any, label: str) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if hasattr(value, "to_pandas") and hasattr(value, "features"):
        return from_arrow(value.with_format("arrow")[:])
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return records(value)
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        lengths = {key: len(column) for key, column in value.items()}
        if len(set(lengths.values())) > 1:
            raise W2SError(f"{label}: the columns differ in length: {lengths}")
        return pd.DataFrame({key: pd.Series(column, dtype=object) for key, column in value.items()})
    held = {type(each).__name__ for each in value} - {"dict"} if isinstance(value, list) else set()
    inside = f" that holds {min(held)}" if held else ""
    raise W2SError(
        f"{label}: expected a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset, "
        f"but this is of type {type(value).__name__}{inside}"
    )


def from_arrow(table: Any) -> pd.DataFrame:
    """An Arrow table for pandas. Whole numbers with gaps stay whole: as floats, 64-bit ids would run together."""
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    return frame


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet

    table = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True).read()
    table.validate(full=True)
    return numbered(from_arrow(table))


def _csv(path: Path) -> pd.DataFrame:
    """Cells as text (``NA``, ``007``), None where a row stops short; a JSON list of messages in a cell is parsed."""
    names, lines = csv_rows(path.read_bytes())
    rows = [[*cells, *[None] * (len(names) - len(cells))] for cells in lines.values()]
    table: dict[str, pd.Series] = {}
    for name, cells in zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True):
        chat = any(cell is not None and cell.startswith("[{") for cell in cells)
        table[name] = pd.Series([_messages_or_text(cell) for cell in cells] if chat else cells, dtype=object)
    return numbered(pd.DataFrame(table))


def _messages_or_text(cell: str | None) -> Any:
    try:
        return json.loads(cell) if cell is not None and cell.startswith("[{") else cell
    except (ValueError, RecursionError):
        return cell


def _json(path: Path) -> pd.DataFrame:
    data = path.read_bytes()
    try:
        return as_table(json_values(data, halves=True), str(path))
    except NotJSON as error:
        if data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and b"\n{" in data:
            raise NotTable("one object a line is JSON Lines: name the file .jsonl") from error
        raise


def _jsonl(path: Path) -> pd.DataFrame:
    rows = json_rows(path.read_bytes(), halves=True)
    return records(list(rows.values())).set_axis(list(rows), axis=0)


#: Ending -> reader.
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
