"""A source of preference pairs, as a recipe writes it, and its table in neutral order."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import PathText
from w2s_pref.core.strict import Section, nearest
from w2s_pref.core.tables import PAIR_COLUMNS, neutral_order, pair_id
from w2s_pref.data.chat import group_key, linked_groups
from w2s_pref.data.mapping import ROLES, PairRow, extras, find_columns, parse
from w2s_pref.data.problems import FIXES, Problems
from w2s_pref.data.readers import Part, Request, read

log = logging.getLogger(__name__)


class Source(Section):
    """Preference pairs of one objective: a registered data set, files, a hub id or a function."""

    source: PathText | list[PathText] = Field(
        description="registered name, file (CSV, JSON, JSONL, Parquet), folder, hub id, module:attr or file.py:attr; "
        "several are pooled"
    )
    objective: str = Field(min_length=1, description="what the preference is about, such as harmless")
    columns: dict[str, str | None] = Field(
        default_factory=dict,
        description="our name (prompt, chosen, rejected, id, group) -> theirs; null leaves a column out",
    )
    config: str | None = Field(default=None, description="hub only: configuration of the data set")
    split: str | None = Field(
        default=None, description="hub and saved dictionaries of data sets: which split (default train)"
    )
    revision: str | None = Field(default=None, description="hub only: commit, tag or branch")
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of a function or registered data set")
    on_bad_row: Literal["error", "drop"] = Field(
        default="error", description="drop leaves invalid rows out and counts them"
    )

    @field_validator("source")
    @classmethod
    def _named(cls, value: str | list[str]) -> str | list[str]:
        if not value or not all(value):
            raise ValueError("name at least one file, folder, hub id or function")
        return value

    @field_validator("columns")
    @classmethod
    def _our_names(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for key, theirs in value.items():
            if key not in ROLES:
                raise ValueError(f"unknown column {key!r}; {nearest(key, list(ROLES))}")
            if theirs is None and key in ("chosen", "rejected"):
                raise ValueError(f"{key!r} cannot be left out")
        return value

    def names(self) -> list[str]:
        """What is pooled, in order."""
        return [self.source] if isinstance(self.source, str) else list(self.source)


@dataclass(frozen=True)
class Loaded:
    """Pairs and what became of the rows.

    Attributes:
        frame: ``tables.PAIR_COLUMNS``, then extra columns; one row a pair, ids unique, in the order of the files.
        counts: ``read`` and ``rows``, and where not zero ``dropped.REASON``, ``duplicates`` (later copies of a pair,
            left out) and ``contradictory`` (rows of a pair preferred both ways, all left out).
    """

    frame: pd.DataFrame
    counts: dict[str, int]


def load(source: Source, base: Path = Path()) -> Loaded:
    """Read, validate and bring to neutral order. Relative paths start at ``base``, then at the working directory.

    Ids are the user's, or hashes of the content that are the same whichever answer is preferred. Deterministic.

    Raises:
        W2SError: every problem found (ten are shown), each with file, row, id and fix.
    """
    problems = Problems(source.on_bad_row)
    where = (base, source.config, source.split, source.revision, source.options, source.objective)
    parts = [part for name in source.names() for part in read(Request(name, *where))]
    for part in parts:
        if not len(part.frame):
            problems.add(f"{part.label}: no rows; write some, or remove it from source")
    columns = [find_columns(part, source.columns, problems) for part in parts]
    problems.check()
    rows = [parse(part, found, problems) for part, found in zip(parts, columns, strict=True)]
    own_ids = all("id" in found for found in columns)
    ids = _ids(parts, rows, own_ids, problems)
    problems.check()
    tables = [_table(*item) for item in zip(parts, rows, columns, strict=True)]
    frame = pd.concat(tables, ignore_index=True)
    frame["id"], frame["objective"] = ids, source.objective
    frame["group"] = _groups([row for part_rows in rows for row in part_rows])
    frame = frame[[*PAIR_COLUMNS, *(column for column in frame.columns if column not in PAIR_COLUMNS)]]
    counts = {"read": sum(len(part.frame) for part in parts)}
    counts |= {f"dropped.{reason}": problems.dropped[reason] for reason in FIXES if problems.dropped[reason]}
    return _counted(source, frame, counts, own_ids)


def _counted(source: Source, frame: pd.DataFrame, counts: dict[str, int], own_ids: bool) -> Loaded:
    if not own_ids:
        frame, copies = without_copies(frame)
        counts = counts | copies
    counts["rows"] = len(frame)
    if not len(frame):
        raise W2SError(f"{', '.join(source.names())}: no valid row is left: {_note(counts)}")
    if len(counts) > 2:
        log.warning("%s: %s", ", ".join(source.names()), _note(counts))
    return Loaded(frame, counts)


def _ids(parts: list[Part], rows: list[list[PairRow]], own_ids: bool, problems: Problems) -> list[str]:
    """One id a valid row; the same id twice is a problem where the ids are the user's."""
    if not own_ids:
        return [pair_id(row.prompt, row.chosen, row.rejected) for part_rows in rows for row in part_rows]
    first: dict[str, str] = {}
    ids = []
    for part, part_rows in zip(parts, rows, strict=True):
        for row in part_rows:
            key, here = row.id or "", f"{part.label}, row {row.number}"
            if key in first:
                problems.add(
                    f"{here}: id {key!r} is taken already by {first[key]}; make ids unique over all pooled files, "
                    "or write columns: {id: null} to use content ids"
                )
            first.setdefault(key, here)
            ids.append(key)
    return ids


def _groups(rows: list[PairRow]) -> list[str]:
    """The user's group, else the prompt, else (no prompt to go by) whatever shares an answer."""
    loose = [row for row in rows if row.group is None and row.links]
    linked = iter(linked_groups([row.links for row in loose]))
    return [
        row.group if row.group is not None else next(linked) if row.links else group_key(row.prompt, row.form)
        for row in rows
    ]


def _table(part: Part, rows: list[PairRow], columns: dict[str, str]) -> pd.DataFrame:
    """The rows of one part in neutral order, extra columns beside them; id, group and objective are still missing."""
    ordered = [(row.chosen, row.rejected, neutral_order(row.chosen, row.rejected)) for row in rows]
    table = {
        "form": pd.Series([row.form for row in rows], dtype=str),
        "prompt": pd.Series([row.prompt for row in rows], dtype=str),
        "a": pd.Series([first if keep else second for first, second, keep in ordered], dtype=str),
        "b": pd.Series([second if keep else first for first, second, keep in ordered], dtype=str),
        "truth": pd.Series([int(keep) for _, _, keep in ordered], dtype="int64"),
    }
    carried = extras(part.frame, set(columns.values()), {*PAIR_COLUMNS, *ROLES})
    return pd.concat([pd.DataFrame(table), carried.loc[[row.number for row in rows]].reset_index(drop=True)], axis=1)


def without_copies(frame: pd.DataFrame, first: pd.Series | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """Of rows that say the same (content ids), one stays; of a pair preferred both ways, none does.

    Args:
        first: what the copy that stays is the smallest of; by default the first row.
    """
    if not frame["id"].duplicated().any():
        return frame, {}
    both_ways = frame.groupby("id")["truth"].transform("nunique") > 1
    order = frame.index if first is None else first.sort_values(kind="stable").index
    copies = frame["id"].loc[order].duplicated().loc[frame.index] & ~both_ways
    counts = {"duplicates": int(copies.sum()), "contradictory": int(both_ways.sum())}
    return frame[~both_ways & ~copies].reset_index(drop=True), {key: n for key, n in counts.items() if n}


def _note(counts: dict[str, int]) -> str:
    return ", ".join(f"{key.removeprefix('dropped.').replace('_', ' ')} {value:,}" for key, value in counts.items())
