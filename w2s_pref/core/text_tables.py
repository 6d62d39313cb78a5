"""Tables as text, read strictly: what a lenient reader would guess, shift or drop is refused by line."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from w2s_pref.core.errors import shown
from w2s_pref.core.json_io import NotJSON, json_values

#: What separates the cells of a CSV text; the comma unless the header holds none.
DELIMITERS = (",", ";", "\t", "|")


class NotTable(ValueError):
    """A text that is no table; the reason says where in it, and how to mend it."""


def csv_rows(data: bytes) -> tuple[list[str], dict[int, list[str]]]:
    """Names of the columns, and the cells of each record that is not blank by the line it starts in; short ones stay.

    Spaces after a delimiter belong to the cell, unless each delimiter of the header has some behind it.

    Raises:
        NotTable: not UTF-8, an open quote, names that stand twice, rows with more cells than names, a second header.
    """
    lines = _records(_text(data))
    first, header = next(lines, (1, []))
    names = [name or f"Unnamed: {at}" for at, name in enumerate(header)]  # what pandas calls an index that it wrote
    if twice := named_twice(names):
        raise NotTable(f"line {first}: {twice}")
    rows = dict(lines)
    wide = [line for line, cells in rows.items() if len(cells) > len(names)]
    if wide:
        raise NotTable(
            f"line {wide[0]}: {len(rows[wide[0]])} cells, but the header names {len(names)} ({', '.join(names)}), as "
            f"in {len(wide):,} of {len(rows):,} rows; name every column in the header, and put cells that hold the "
            "delimiter in quotes"
        )
    for line, cells in rows.items():
        if len(names) > 1 and cells[-1] == header[-1] and [cells[0].removeprefix("\ufeff"), *cells[1:]] == header:
            raise NotTable(f"line {line}: the header once more; remove that line (files were put together?)")
    return names, rows


def json_rows(data: bytes, *, halves: bool = False) -> dict[int, dict[str, Any]]:
    """The objects of JSON Lines by line, blank lines left out; ``halves`` as in ``json_values``.

    Raises:
        NotTable: not UTF-8, or a line that is no JSON object.
    """
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(io.StringIO(_text(data), newline=None), start=1):
        if not line.strip():
            continue
        try:
            row = json_values(line.rstrip("\n"), halves=halves)
        except NotJSON as error:
            raise NotTable(f"line {number}: {error}; every line is one JSON object") from error
        if not isinstance(row, dict):
            raise NotTable(f"line {number}: a {type(row).__name__}, but every line is one JSON object")
        rows[number] = row
    return rows


def named_twice(names: Sequence[str]) -> str:
    """A sentence on the first name that two columns have; empty where there is none."""
    for name in names if len(set(names)) < len(names) else ():
        if names.count(name) > 1:
            places = ", ".join(str(at) for at, each in enumerate(names, start=1) if each == name)
            return f"two columns are called {shown(name)} (columns {places}); rename or remove one"
    return ""


def _text(data: bytes) -> str:
    if data.startswith(b"\x1f\x8b"):
        raise NotTable("it is packed by gzip; unpack it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotTable(f"byte {error.start} is not UTF-8 text; save the file as UTF-8") from error


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The records that are not blank, each with the line it starts in."""
    before = csv.field_size_limit(sys.maxsize)  # the csv module refuses cells of over 131,072 characters
    header = re.sub(r'"[^"]*"', "", re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0])
    sign = max(DELIMITERS, key=lambda one: (one == "," and one in header, header.count(one)))
    spaced = sign in header and header.count(sign) == header.count(f"{sign} ")  # written by a person: id, group, …
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign, strict=True, skipinitialspace=spaced)
    start = 1
    try:
        for record in reader:
            if len(record) > 1 or "".join(record).strip():
                yield start, record
            start = reader.line_num + 1
    except csv.Error as error:
        raise NotTable(
            f"line {start}: {error}; a cell that holds a quote, a line break or the delimiter is written in quotes, "
            'and each quote inside it twice ("")'
        ) from error
    finally:
        csv.field_size_limit(before)
