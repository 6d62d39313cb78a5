"""A source of preference pairs, as a recipe writes it, and its table in neutral order."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, field_validator, model_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import PathText
from w2s_pref.core.strict import Section, nearest
from w2s_pref.core.tables import A_FIRST, PAIR_COLUMNS, TRUTH_P, neutral_order, pair_id
from w2s_pref.data.chat import group_key, linked_groups
from w2s_pref.data.columns import REQUIRED, ROLES, SOFT, extras, find_columns, remarks
from w2s_pref.data.mapping import PairRow, parse
from w2s_pref.data.problems import FIXES, Problems
from w2s_pref.data.readers import Part, Request, read
from w2s_pref.data.verdicts import Label, P, with_verdicts

log = logging.getLogger(__name__)


class Source(Section):
    """Preference pairs of one objective: a registered data set, files, a hub id or a function."""

    source: PathText | list[PathText] = Field(
        description="registered name, file (CSV, JSON, JSONL, Parquet), folder, hub id, module:attr or file.py:attr; "
        "several are pooled"
    )
    objective: str = Field(min_length=1, max_length=100, description="what the preference is about, such as harmless")
    columns: dict[str, str | None] = Field(
        default_factory=dict,
        description="our name (prompt, chosen, rejected, id, group, p) -> theirs; null leaves a column out",
    )
    answers: list[str] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="the columns of two answers, where label or columns.p says which is better",
    )
    label: Label | None = Field(default=None, description="which of the two answers is better, by a column's values")
    repeated: Literal["drop", "votes"] = Field(
        default="drop", description="rows of one pair: copies (contradictions are dropped), or one vote each"
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
            if key not in (*ROLES, SOFT):
                raise ValueError(f"unknown column {key!r}; {nearest(key, [*ROLES, SOFT])}")
            if theirs is None and key in ("chosen", "rejected"):
                raise ValueError(f"{key!r} cannot be left out")
        return value

    @model_validator(mode="after")
    def _own_texts(self) -> Source:
        answers = REQUIRED if self.answers is None else ()
        places = {role: self.columns.get(role, role) for role in (*answers, "prompt")}
        places |= {f"answers {number}": name for number, name in enumerate(self.answers or [], start=1)}
        for role, theirs in places.items():
            first = next(each for each, name in places.items() if name == theirs)
            if theirs is not None and first != role:
                raise ValueError(f"the column {theirs!r} is named twice, as {first} and as {role}; each has its own")
        return self

    @model_validator(mode="after")
    def _one_verdict(self) -> Source:
        if self.answers is not None and (self.label is None) == (self.columns.get(SOFT) is None):
            raise ValueError("answers: say which is better by label, or by columns: {p: …}, and not by both")
        if self.label is not None and self.answers is None:
            raise ValueError("label says which of two answers is better: name them, answers: [first, second]")
        if self.answers is not None and {*REQUIRED} & self.columns.keys():
            raise ValueError("answers stand for chosen and rejected; leave these out of columns")
        return self

    def names(self) -> list[str]:
        """What is pooled, in order."""
        return [self.source] if isinstance(self.source, str) else list(self.source)


@dataclass(frozen=True)
class Loaded:
    """Pairs and what became of the rows.

    Attributes:
        frame: ``tables.PAIR_COLUMNS``, then extra columns; one row a pair, ids unique, in the order of the files.
        counts: ``read`` and ``rows``, and where not zero ``dropped.REASON``, ``duplicates`` (later copies of a pair,
            left out), ``contradictory`` (rows of a pair preferred both ways, or of unlike p, all left out), ``votes``
            (rows, where each was a vote), ``soft`` and ``ties`` (pairs whose ground truth is a probability, and those
            of 1/2).
        notes: sentences about columns that are not read and characters that were lost.
    """

    frame: pd.DataFrame
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)


def load(
    source: Source, base: Path = Path(), version: Literal[1, 2] = 2, parts: Sequence[Part] | None = None
) -> Loaded:
    """Read, validate and bring to neutral order. Relative paths start at ``base``, then at the working directory.

    Under ``version`` 2 an implicit prompt ends at a dialogue's last "Assistant:", or at a word, and conversations hold
    their prompt once. Ids are the user's, or hashes of the content that are the same whichever answer is preferred.
    Deterministic.

    Args:
        parts: raw tables that are here already, in the place of what ``source`` names.

    Raises:
        W2SError: every problem found (ten are shown), each with file, row, id and fix.
    """
    problems = Problems(source.on_bad_row)
    where = (base, source.config, source.split, source.revision, source.options, source.objective)
    if parts is None:
        parts = [part for name in source.names() for part in read(Request(name, *where))]
    for part in parts:
        if not len(part.frame):
            problems.add(f"{part.label}: no rows; write some, or remove it from source")
    named = source.columns
    if source.answers is not None:
        parts = [with_verdicts(part, source.answers, source.label, named.get(SOFT), problems) for part in parts]
        problems.check()
        named = {**named, SOFT: P}
    columns = [find_columns(part, named, problems) for part in parts]
    problems.check()
    rows = [parse(part, found, problems, version) for part, found in zip(parts, columns, strict=True)]
    own_ids = all("id" in found for found in columns)
    ids = _ids(parts, rows, own_ids, source.repeated == "votes", problems)
    problems.check()
    tables = [_table(*item) for item in zip(parts, rows, columns, strict=True)]
    frame = pd.concat(tables, ignore_index=True)
    frame["id"], frame["objective"] = ids, source.objective
    frame["group"] = _groups([row for part_rows in rows for row in part_rows])
    frame = frame[[*PAIR_COLUMNS, *(column for column in frame.columns if column not in PAIR_COLUMNS)]]
    counts = {"read": sum(len(part.frame) for part in parts)}
    counts |= {f"dropped.{reason}": problems.dropped[reason] for reason in FIXES if problems.dropped[reason]}
    notes = [note for part, found in zip(parts, columns, strict=True) for note in remarks(part, found, named)]
    notes += _unlike(parts, columns)
    return replace(_counted(source, frame, counts, own_ids), notes=notes)


def _unlike(parts: Sequence[Part], columns: Sequence[dict[str, str]]) -> list[str]:
    """What some of the pooled tables have and others lack: their rows are told apart, or put together, unlike."""
    sentences = []
    for role, done in (
        ("id", "ids are hashes of the content in all, and those of {there} are not read"),
        ("group", "its rows are grouped by prompt, so that a prompt that {there} has, too, may stand in two splits"),
    ):
        there = [part.label for part, found in zip(parts, columns, strict=True) if role in found]
        lacks = [part.label for part, found in zip(parts, columns, strict=True) if role not in found]
        if there and lacks:
            what = done.format(there=there[0])
            sentences.append(f"{lacks[0]}: no column {role!r}, and {there[0]} has one; {what}")
    return sentences


def _counted(source: Source, frame: pd.DataFrame, counts: dict[str, int], own_ids: bool) -> Loaded:
    if source.repeated == "votes":
        if own_ids and len(frame) and frame["id"].is_unique:
            raise W2SError(_no_votes(source))
        frame, copies = one_of_votes(frame)
        counts = counts | copies
    elif not own_ids:
        frame, copies = without_copies(frame)
        counts = counts | copies
    counts["rows"] = len(frame)
    if not len(frame):
        raise W2SError(f"{', '.join(source.names())}: no valid row is left: {_note(counts)}")
    if len(counts) > 2:
        log.warning("%s: %s", ", ".join(source.names()), _note(counts))
    frame, soft = _truths(frame)
    return Loaded(frame, counts | soft)


def _no_votes(source: Source) -> str:
    return (
        f"{', '.join(source.names())}: repeated: votes: no id stands twice, so no pair has two votes; give all votes "
        "on a pair its id, write columns: {id: null} to pool rows that hold the same pair, or leave repeated out"
    )


def _truths(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """``truth_p`` stays where the ground truth of some pair is a probability; ``truth`` is its more probable side.

    Of a tie, ``truth`` says ``a``, which a hash has put first.
    """
    p = frame[TRUTH_P]
    if p.isin((0.0, 1.0)).all():
        said = (frame[A_FIRST] == frame["truth"]).all()
        return frame.drop(columns=[TRUTH_P, A_FIRST] if said else TRUTH_P), {}
    soft = {"soft": int((~p.isin((0.0, 0.5, 1.0))).sum()), "ties": int((p == 0.5).sum())}
    return frame.assign(truth=(p >= 0.5).astype("int64")), {name: count for name, count in soft.items() if count}


def _ids(parts: Sequence[Part], rows: list[list[PairRow]], own_ids: bool, votes: bool, problems: Problems) -> list[str]:
    """One id a valid row; the same id twice is a problem where the ids are the user's."""
    if not own_ids:
        return [pair_id(row.prompt, row.chosen, row.rejected) for part_rows in rows for row in part_rows]
    first: dict[str, str] = {}
    ids = []
    for part, part_rows in zip(parts, rows, strict=True):
        for row in part_rows:
            key, here = row.id or "", f"{part.label}, row {row.number}"
            if key in first and not votes:
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
    p = [row.p if keep else 1 - row.p for row, (_, _, keep) in zip(rows, ordered, strict=True)]
    table = {
        "form": pd.Series([row.form for row in rows], dtype=str),
        "prompt": pd.Series([row.prompt for row in rows], dtype=str),
        "a": pd.Series([first if keep else second for first, second, keep in ordered], dtype=str),
        "b": pd.Series([second if keep else first for first, second, keep in ordered], dtype=str),
        "truth": pd.Series([int(value >= 0.5) for value in p], dtype="int64"),
        TRUTH_P: pd.Series(p, dtype="float64"),
        A_FIRST: pd.Series([int(keep) for _, _, keep in ordered], dtype="int64"),
    }
    carried = extras(part.frame, set(columns.values()), {*PAIR_COLUMNS, *ROLES, TRUTH_P, A_FIRST})
    return pd.concat([pd.DataFrame(table), carried.loc[[row.number for row in rows]].reset_index(drop=True)], axis=1)


def without_copies(frame: pd.DataFrame, first: pd.Series | None = None) -> tuple[pd.DataFrame, dict[str, int]]:
    """Of rows that say the same (content ids), one stays; of a pair preferred both ways, or of unlike p, none does.

    Args:
        first: what the copy that stays is the smallest of; by default the first row.
    """
    if not frame["id"].duplicated().any():
        return frame, {}
    said = frame[TRUTH_P].round(9) if TRUTH_P in frame else frame["truth"]  # 1 - 0.7 is 0.30000000000000004
    both_ways = said.groupby(frame["id"]).transform("nunique") > 1
    order = frame.index if first is None else first.sort_values(kind="stable").index
    copies = frame["id"].loc[order].duplicated().loc[frame.index] & ~both_ways
    counts = {"duplicates": int(copies.sum()), "contradictory": int(both_ways.sum())}
    return frame[~both_ways & ~copies].reset_index(drop=True), {key: n for key, n in counts.items() if n}


def one_of_votes(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows of one id are votes on one pair: one row each, its ``truth_p`` the mean of theirs.

    Raises:
        W2SError: rows of one id that are not the same pair.
    """
    texts = frame.groupby("id")[["form", "prompt", "a", "b"]].transform("nunique").max(axis=1) > 1
    if texts.any():
        odd = frame["id"][texts].iloc[0]
        raise W2SError(f"repeated: votes: rows of id {odd!r} hold different texts; give each pair an id of its own")
    mean = frame.groupby("id")[TRUTH_P].transform("mean")
    pooled = frame.assign(**{TRUTH_P: mean, A_FIRST: _first_of_votes(frame, mean)})
    once = pooled[~frame["id"].duplicated()].reset_index(drop=True)
    return once, {"votes": len(frame)} if len(once) < len(frame) else {}


def _first_of_votes(frame: pd.DataFrame, mean: pd.Series[float]) -> pd.Series[int]:
    """``a_first`` of every vote's pair: where votes call different answers chosen, the order of the file is nothing."""
    differ = frame.groupby("id")[A_FIRST].transform("nunique") > 1
    preferred = (mean > 0.5).astype("int64").mask(mean == 0.5, -1)
    return frame[A_FIRST].mask(differ, preferred)


def _note(counts: dict[str, int]) -> str:
    return ", ".join(f"{key.removeprefix('dropped.').replace('_', ' ')} {value:,}" for key, value in counts.items())
