"""CSV read strictly: a cell for every name of the header in every row, each name once, the delimiter guessed."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator

from w2s_pref.core.errors import shown

#: What separates the cells of a CSV file; the comma unless the header holds none.
DELIMITERS = (",", ";", "\t", "|")


class NotCSV(ValueError):
    """A text that is no table; the reason is a sentence that starts with the line."""


def csv_columns(data: bytes) -> dict[str, list[str]]:
    """Column → cells as text, as they stand; spaces after a delimiter do not count.

    Raises:
        NotCSV: not UTF-8, an open quote, names that stand twice, rows of another number of cells, a second header.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotCSV(f"byte {error.start} is not UTF-8 text; save the file as UTF-8") from error
    if "\0" in text:
        raise NotCSV(f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}: it holds a NUL character")
    lines = _records(text)
    first, names = next(lines, (1, []))
    for name in names:
        if names.count(name) > 1:
            places = ", ".join(str(at) for at, each in enumerate(names, start=1) if each == name)
            raise NotCSV(f"line {first}: column {shown(name)} appears twice (columns {places}); keep one")
    rows = []
    for line, cells in lines:
        if len(cells) != len(names):
            raise NotCSV(
                f"line {line}: {len(cells)} cells, but the header names {len(names)} ({', '.join(names)}); a cell that "
                "holds the delimiter is written in quotes"
            )
        if cells == names and len(names) > 1:
            raise NotCSV(f"line {line}: the header once more; remove that line (files were put together?)")
        rows.append(cells)
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line it starts in."""
    before = csv.field_size_limit(sys.maxsize)
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    sign = max(DELIMITERS, key=lambda one: (one == "," and one in header, header.count(one)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True, skipinitialspace=True)
    start = 1
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        raise NotCSV(f"line {start}: {error}; a quote inside a cell is written twice, in a cell in quotes") from error
    finally:
        csv.field_size_limit(before)
