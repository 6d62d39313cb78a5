"""One data file → a raw table, read strictly: what a lenient reader would guess, shift or drop is refused by line."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow import ArrowException

from w2s_pref.core.errors import W2SError
from w2s_pref.data.problems import first, short

#: What separates the cells of a CSV file; the comma unless the header holds none.
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def read_file(path: Path) -> pd.DataFrame:
    """The table in a file of data, rows numbered as a person would count them. A damaged file is an error.

    Raises:
        W2SError: an unknown ending, an empty or damaged file, cells that fit no column, a name that stands twice.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise W2SError(f"{path} has the ending {path.suffix!r}; expected one of {', '.join(READERS)}")
    if path.stat().st_size == 0:
        raise W2SError(f"{path} is empty (0 bytes); write it again, or remove it from source")
    try:
        return reader(path)
    except UnicodeDecodeError as error:
        raise W2SError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (
        ValueError,
        LookupError,
        OSError,
        RecursionError,
        ArrowException,
    ) as error:  # what readers raise for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise W2SError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error


def numbered(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows from 1, a header not counted. Cells that pandas calls NA are None: NA can be neither compared nor tested."""
    gaps = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.api.extensions.ExtensionDtype)]
    gaps = [name for name in gaps if frame[name].isna().any()]
    if gaps:
        frame = frame.assign(
            **{str(name): frame[name].astype(object).where(frame[name].notna(), None) for name in gaps}
        )
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1), axis=0)


def records(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Values stay the Python objects they are: pandas would turn ids into numbers and refuse broken characters."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = {column: pd.Series([row.get(column) for row in rows], dtype=object) for column in columns}
    return pd.DataFrame(table, index=pd.RangeIndex(len(rows)))


def as_table(value: Any, label: str) -> pd.DataFrame:
    """Rows as a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset -> a numbered table.

    Raises:
        W2SError: something else, columns of different lengths, or two columns of one name.
    """
    if isinstance(value, pd.DataFrame):
        _refuse_twice([str(column) for column in value.columns], label)
        return numbered(value)
    if hasattr(value, "to_pandas") and hasattr(value, "features"):
        return numbered(from_arrow(value.with_format("arrow")[:]))
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return numbered(records(value))
    if isinstance(value, dict) and all(isinstance(column, list) for column in value.values()):
        lengths = {key: len(column) for key, column in value.items()}
        if len(set(lengths.values())) > 1:
            raise W2SError(f"{label}: the columns differ in length: {lengths}")
        return numbered(pd.DataFrame({key: pd.Series(column, dtype=object) for key, column in value.items()}))
    raise W2SError(
        f"{label}: expected a list of dictionaries, a dictionary of lists, a DataFrame or a datasets.Dataset, "
        f"but this is of type {type(value).__name__}"
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
    """Every cell as text (``NA`` and ``007`` stay as they are); a cell that is a JSON list of messages is parsed."""
    text = path.read_bytes().decode("utf-8-sig")
    lines = _lines(path, text)
    _, names = next(lines, (1, []))
    names = [name or f"Unnamed: {at}" for at, name in enumerate(names)]  # what pandas calls an index that it wrote
    _refuse_twice(names, f"{path}, line 1")
    rows = _fitting(path, names, lines)
    table: dict[str, pd.Series] = {}
    for name, cells in zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True):
        chat = any(cell is not None and cell.startswith("[{") for cell in cells)
        table[name] = pd.Series([_messages_or_text(cell) for cell in cells] if chat else cells, dtype=object)
    return numbered(pd.DataFrame(table))


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV text that are not blank, each with the line it starts in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    with _long_cells():
        start = 1
        try:
            for record in reader:
                if record and (len(record) > 1 or record[0].strip()):
                    yield start, record
                start = reader.line_num + 1
        except csv.Error as error:
            raise W2SError(
                f"{path} cannot be read as csv: line {start}: {error}; a cell that holds a quote, a line break or the "
                'delimiter is written in quotes, and each quote inside it twice ("")'
            ) from error


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module refuses cells of over 131,072 characters: a long conversation."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(text: str) -> str:
    """The comma, unless the header holds none outside quotes and another one stands there."""
    header = re.sub(r'"[^"]*"', "", next(iter(text.lstrip().splitlines()), ""))
    return max(DELIMITERS, key=lambda sign: (sign == "," and sign in header, header.count(sign)))


def _fitting(path: Path, names: list[str], lines: Iterator[tuple[int, list[str]]]) -> list[list[str | None]]:
    """Rows with a cell for every name: None where a row stops short.

    Raises:
        W2SError: rows with more cells than names, or the header once more in the middle.
    """
    rows: list[list[str | None]] = []
    wide: list[tuple[int, int]] = []
    again: list[str] = []
    for line, record in lines:
        if len(record) > len(names):
            wide.append((line, len(record)))
        if len(names) > 1 and [record[0].removeprefix("\ufeff"), *record[1:]] == names:
            again.append(f"{path}, line {line}: the header once more; remove that line (files were put together?)")
        rows.append([*record[: len(names)], *[None] * (len(names) - len(record))])
    if wide:
        line, cells = wide[0]
        raise W2SError(
            f"{path}: {len(wide):,} of {len(rows):,} rows have more cells than the header (line {line} has {cells}, "
            f"the header {len(names)}: {', '.join(names)}); name every column in the header, and put cells that hold "
            "the delimiter in quotes"
        )
    if again:
        raise W2SError(first(again))
    return rows


def _messages_or_text(cell: str | None) -> Any:
    try:
        return json.loads(cell) if cell is not None and cell.startswith("[{") else cell
    except (ValueError, RecursionError):
        return cell


def _refuse_twice(names: list[str], where: str) -> None:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            places = ", ".join(str(at) for at, each in enumerate(names, start=1) if each == name)
            raise W2SError(f"{where}: two columns are called {name!r} (columns {places}); rename or remove one")


def _json(path: Path) -> pd.DataFrame:
    text = path.read_text(encoding="utf-8-sig")
    return as_table(_value(text, str(path), lambda at: f", line {text.count(chr(10), 0, at) + 1}"), str(path))


def _jsonl(path: Path) -> pd.DataFrame:
    rows: dict[int, dict[str, Any]] = {}
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = _value(line, where, lambda _at: "")
            except (ValueError, RecursionError) as error:
                raise W2SError(f"{where}: not JSON ({error}); every line is one JSON object") from error
            if not isinstance(row, dict):
                raise W2SError(f"{where}: a {type(row).__name__}, but every line is one JSON object")
            rows[number] = row
    return records(list(rows.values())).set_axis(list(rows), axis=0)


def _value(text: str, where: str, line: Callable[[int], str]) -> Any:
    """The value of a JSON text. ``line``: what the sentence adds for a place in the text.

    Raises:
        W2SError: a key that stands twice in one object: the last would win in silence.
        ValueError: no JSON.
    """
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.extend(key for key in found if keys.count(key) > 1)
        return found

    value = json.loads(text, object_pairs_hook=once)
    if twice:
        said = line(_second(text))
        raise W2SError(f"{where}{said}: the key {short(twice[0])} stands twice in one object; remove or rename one")
    return value


def _second(text: str) -> int:
    """Where the first key that its object has already begins in a JSON text."""
    keys: list[set[str] | None] = []  # of every open object; None for a list
    expects_key = False
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', text):
        sign = found.group()
        if sign in "{[":
            keys.append(set() if sign == "{" else None)
        elif sign in "}]":
            keys.pop()
        elif sign not in ",:" and expects_key and keys and keys[-1] is not None:
            key = json.loads(sign)
            if key in keys[-1]:
                return found.start()
            keys[-1].add(key)
        expects_key = sign == "{" or (sign == "," and bool(keys) and keys[-1] is not None)
    return 0


#: Ending -> reader.
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": _csv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
