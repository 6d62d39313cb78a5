"""The public score table: read it, check every cell, and say what is wrong in one sentence each.

Long form, one row per (item, model, seed): ``id, group, model, seed, delta`` and optionally ``tau`` (default 1),
``objective``, ``kind``. ``delta`` is the score of the ground-truth answer minus the score of the other, ``tau`` the
temperature that turns it into a probability, p = sigmoid(delta / tau). A column ``p`` may stand in place of ``delta``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pyarrow import ArrowException

from w2s_pref.core.arrays import Bools, Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import readable
from w2s_pref.core.paths import local_path
from w2s_pref.core.tables import SCORE_COLUMNS, SCORE_OPTIONAL, records
from w2s_pref.core.text_tables import NotTable, csv_rows, json_rows, named_twice

#: How far probabilities of exactly 0 and 1 are moved inwards, where ``p`` stands in place of ``delta``.
_LEAST_P = 2.0**-53
_KNOWN = (*SCORE_COLUMNS, "p", *SCORE_OPTIONAL)
_SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read and validate a score table from CSV, JSONL or Parquet.

    Returns:
        A frame with all of ``id, group, model, seed, delta, tau, objective, kind``; ids and groups are text.

    Raises:
        W2SError: missing or unreadable file, missing column, or any bad cell; names file, row, id and the fix.
    """
    return validate_scores(load_frame(path), str(path))


def load_frame(path: str | Path) -> pd.DataFrame:
    """The columns of a CSV, JSONL or Parquet file as they stand, unchecked.

    Raises:
        W2SError: missing, empty or unreadable file.
    """
    if not isinstance(path, str | Path):
        raise W2SError(f"score table: give a table, or the path of one; this is of type {type(path).__name__}.")
    file = local_path(path, "score table")
    if not file.is_file():
        what = "this is a folder" if file.is_dir() else "there is no such file"
        raise W2SError(f"{file}: {what}; give the path of a score table (CSV, JSONL or Parquet).")
    return _load(file)


def validate_scores(frame: pd.DataFrame, source: str | None = None) -> pd.DataFrame:
    """Check a score table held in memory and return a clean copy (see ``read_scores``); rows count from 1.

    Args:
        frame: the table.
        source: what messages call it; by default the file it was read from.

    Raises:
        W2SError: one sentence per kind of mistake, with the first row and id where it happens.
    """
    source = source or source_of(frame)
    frame = frame.reset_index([name for name in frame.index.names if name in {*_KNOWN} - {*frame.columns}])
    _check_columns(frame, source)
    if frame.empty:
        raise W2SError(f"{source}: the table has no rows; it needs one row per item, model and seed.")
    clean = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    problems: list[str] = []
    for name in ("id", "group", "model"):
        clean[name] = _texts(frame[name])
        _report(problems, source, clean, clean[name].to_numpy() == "", f"{name} is empty", f"give every row a {name}")
    clean["seed"] = _seeds(frame, clean, source, problems)
    given = "delta" if "delta" in frame else "p"
    clean["delta"] = _numbers(frame, given, clean, source, problems)
    tau: Any = SCORE_OPTIONAL["tau"]
    clean["tau"] = _numbers(frame, "tau", clean, source, problems) if "tau" in frame else tau
    bad_tau = (clean["tau"] <= 0).to_numpy()
    _report(problems, source, clean, bad_tau, "tau is not above 0", "tau is a temperature; leave the column out for 1")
    if given == "p":
        clean["delta"] = clean["tau"] * _logits(clean, source, problems)
    for name in ("objective", "kind"):
        default: Any = SCORE_OPTIONAL[name]
        clean[name] = _texts(frame[name]) if name in frame else default
    if not problems:
        _check_keys(problems, source, clean)
    if problems:
        raise W2SError(problems)
    clean.attrs["source"] = source
    return clean


def long_table(deltas: Mapping[str, Floats], ids: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    """Score table (``id, group, model, seed, delta``) from score gaps (K, N) by model; seeds count from 0."""
    seeds, items = next(iter(deltas.values())).shape
    shared = {"id": list(ids) * seeds, "group": list(groups) * seeds}
    line = np.repeat(np.arange(seeds), items)
    frames = [pd.DataFrame({**shared, "model": name, "seed": line, "delta": x.ravel()}) for name, x in deltas.items()]
    return pd.concat(frames, ignore_index=True)


def source_of(frame: pd.DataFrame) -> str:
    """The file a table was read from, for messages; "score table" where it was made in memory."""
    return str(frame.attrs.get("source", "score table"))


def near(name: str, known: list[str]) -> str:
    """A "did you mean" clause: the nearest of ``known``, then the list itself (at most 12 names)."""
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    more = ", ..." if len(known) > 12 else ""
    return f"{hint}The table has {', '.join(repr(k) for k in known[:12])}{more}."


def _load(file: Path) -> pd.DataFrame:
    suffix = file.suffix.lower()
    if suffix not in _SUFFIXES:
        raise W2SError(f"{file}: cannot tell its format from {suffix!r}; name it .csv, .jsonl or .parquet.")
    try:
        with readable(file):
            if suffix == ".parquet":
                return _parquet(file)
            return _csv(file) if suffix == ".csv" else _jsonl(file)
    except NotTable as error:
        raise W2SError(f"{file}, {error}.") from None
    except (ValueError, OSError, ArrowException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip()
        raise W2SError(f"{file}: cannot be read as {suffix[1:]} ({reason}); write it again.") from None


def _csv(file: Path) -> pd.DataFrame:
    data = file.read_bytes()
    if b"\0" in data:
        raise NotTable(f"line {data[: data.index(0)].count(10) + 1}: it holds a NUL character")
    names, lines = csv_rows(data)
    rows = {line: cells for line, cells in lines.items() if "".join(cells).strip()}
    for line, cells in rows.items():
        if len(cells) < len(names):
            raise NotTable(f"line {line}: {len(cells)} cells, but the header names {len(names)} ({', '.join(names)})")
    if not names:
        raise W2SError(f"{file}: the file is empty; it needs a header and one row per item, model and seed.")
    columns = zip(*rows.values(), strict=True) if rows else [()] * len(names)
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in zip(names, columns, strict=True)})


def _parquet(file: Path) -> pd.DataFrame:
    """Whole numbers with gaps stay whole: as floats, 64-bit ids would run together. What pandas noted is not read."""
    table = pq.ParquetFile(file, page_checksum_verification=True).read()
    table.validate(full=True)
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True, ignore_metadata=True)
    return frame


def _jsonl(file: Path) -> pd.DataFrame:
    rows = list(json_rows(file.read_bytes()).values())
    if not rows:
        raise W2SError(f"{file}: the file is empty; it needs one JSON object per item, model and seed.")
    return records(rows)


def _check_columns(frame: pd.DataFrame, source: str) -> None:
    columns = [str(c) for c in frame.columns]
    if twice := named_twice(columns):
        raise W2SError(f"{source}: {twice}.")
    problems = []
    for name in SCORE_COLUMNS:
        if name in columns or (name == "delta" and "p" in columns):
            continue
        close = difflib.get_close_matches(name, [c.strip().lower() for c in columns if c not in _KNOWN], n=1)
        like = [c for c in columns if close and c.strip().lower() == close[0]]
        fix = f"rename {like[0]!r}" if like else f"add it; the columns are {', '.join(SCORE_COLUMNS)}"
        problems.append(f"{source}: column {name!r} is missing; {fix}.")
    if problems:
        raise W2SError(problems)


def _texts(column: pd.Series[Any]) -> Any:
    values = column.to_numpy(dtype=object)
    missing = pd.isna(column).to_numpy()
    texts = np.array([v if isinstance(v, str) else _plain(v) for v in values], dtype=object)
    texts[missing] = ""
    return texts


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _seeds(frame: pd.DataFrame, clean: pd.DataFrame, source: str, problems: list[str]) -> Any:
    values, bad = whole_numbers(frame["seed"])
    fix = "write 0 where there was one run"
    _report(problems, source, clean, bad, "seed is not a whole number", fix, frame["seed"])
    return values


_PADDED = re.compile(r"\s*[+-]?0\d").match


def _no_numbers(column: pd.Series[Any]) -> Bools:
    """Where a column holds what only looks like a number: true, false, and text with zeros before it."""
    return np.array(
        [isinstance(each, bool | np.bool_) or (isinstance(each, str) and bool(_PADDED(each))) for each in column],
        dtype=bool,
    )


def whole_numbers(column: pd.Series[Any]) -> tuple[Ints, Bools]:
    """A column as whole numbers, and where it holds something else (0 in the numbers): ``007`` is a name, not seven."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        bad = _no_numbers(column) | ~(np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**53))
    return np.where(bad, 0, values).astype(np.int64), bad


def _numbers(frame: pd.DataFrame, name: str, clean: pd.DataFrame, source: str, problems: list[str]) -> Any:
    column = frame[name]
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan).copy()
    if column.dtype in (object, bool):
        values[_no_numbers(column)] = np.nan
    bad = ~np.isfinite(values)
    fix = f"{name} must be a finite number; score the item again or leave it out for every model"
    _report(problems, source, clean, bad, f"{name} is not a finite number", fix, column)
    return np.where(bad, 1.0, values)


def _logits(clean: pd.DataFrame, source: str, problems: list[str]) -> Any:
    """log(p / (1 - p)) of probabilities that stand in the column ``delta``."""
    p = clean["delta"].to_numpy()
    fix = "p is the probability of the true answer, a number from 0 to 1; name raw score gaps delta"
    _report(problems, source, clean, (p < 0) | (p > 1), "p is outside [0, 1]", fix, clean["delta"].astype(object))
    inside = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    return np.log(inside) - np.log1p(-inside)


def _check_keys(problems: list[str], source: str, clean: pd.DataFrame) -> None:
    doubled = clean.duplicated(["id", "model", "seed", "objective"]).to_numpy()
    what = "a second row for the same id, model and seed"
    _report(problems, source, clean, doubled, what, "keep one row each", clean["model"])
    codes = clean.groupby(["objective", "id"], sort=False)["group"].transform("first")
    moved = (codes != clean["group"]).to_numpy()
    what = "this id was in another group in an earlier row"
    _report(problems, source, clean, moved, what, "an item has one group", clean["group"])


def _report(
    problems: list[str], source: str, clean: pd.DataFrame, bad: Bools, what: str, fix: str, shown: Any = None
) -> None:
    """Append one sentence for the first bad row and the number of further ones."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return
    first = int(rows[0])
    where = f"row {first + 1}" + (f", id {clean['id'].iloc[first]!r}" if "id" in clean else "")
    value = "" if shown is None else f" ({shown.iloc[[first]].tolist()[0]!r})"
    more = f" ({len(rows) - 1} more such rows)" if len(rows) > 1 else ""
    problems.append(f"{source}, {where}: {what}{value}; {fix}.{more}")
