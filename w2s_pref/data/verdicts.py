"""Two answers and somebody's verdict, one or many → the probability that the first answer is the better one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from w2s_pref.core.strict import Section
from w2s_pref.core.tables import cell_text
from w2s_pref.data.problems import MissingResponse, Problems, short
from w2s_pref.data.readers import Part

Entry = str | int | float | bool

#: Column of a raw table that holds the probability, once the verdicts are read.
P = "p of chosen"
#: Names of columns that may hold a verdict, for advice.
VERDICTS = (
    "label",
    "preference",
    "preferred",
    "winner",
    "choice",
    "verdict",
    "better",
    "better_response",
    "gold_label",
)
#: What tells the first of two columns from the second.
_TWINS = (("1", "2"), ("0", "1"), ("a", "b"), ("A", "B"), ("left", "right"), ("first", "second"))


class Label(Section):
    """Which column says which answer is better, and by which values. Several columns are several votes."""

    column: str | list[str] = Field(description="the column of the verdict, or several: one for each annotator")
    first: Entry = Field(description="its value where the first answer is better")
    second: Entry = Field(description="its value where the second answer is better")
    tie: Entry | None = Field(default=None, description="its value where neither is; a tie counts half")

    @field_validator("column")
    @classmethod
    def _named(cls, value: str | list[str]) -> str | list[str]:
        if not value or not all(value):
            raise ValueError("name at least one column")
        if not isinstance(value, str) and len(set(value)) < len(value):
            raise ValueError("a column stands twice, and its vote would count twice; name each once")
        return value

    @model_validator(mode="after")
    def _differ(self) -> Label:
        if len(self.values()) < (2 if self.tie is None else 3):
            raise ValueError("first, second and tie: three different values")
        return self

    def columns(self) -> list[str]:
        """The columns of the votes."""
        return [self.column] if isinstance(self.column, str) else list(self.column)

    def values(self) -> dict[str, float]:
        """Value as text -> probability that it gives to the first answer."""
        found = {as_text(self.second): 0.0, as_text(self.first): 1.0}
        return found if self.tie is None else {**found, as_text(self.tie): 0.5}


def as_text(value: Any) -> str:
    """A cell as text: ``1``, ``1.0``, ``"1"`` and ``"1.0"`` are one verdict, and so are ``true`` and ``"True"``."""
    text = cell_text(value.strip() if isinstance(value, str) else value)
    return text.lower() if text.lower() in {"true", "false"} else text


def with_verdicts(part: Part, answers: list[str], label: Label | None, p: str | None, problems: Problems) -> Part:
    """The same table with ``chosen``, ``rejected`` (the answers, in their order) and the probability of the first.

    Args:
        p: column with that probability, where there is no label. What it holds is checked with the rows.
    """
    there = list(part.frame.columns)
    asked = [*answers, *(label.columns() if label is not None else [str(p)])]
    if missing := [name for name in asked if name not in there]:
        columns = ", ".join(map(str, there))
        problems.add(f"{part.label}: no column {missing[0]!r} (columns: {columns}), which answers, label or p name")
        return part
    taken = {"chosen", "rejected"} & (set(there) - set(asked))
    if taken:
        problems.add(f"{part.label}: it has a column {min(taken)!r} already; leave out answers, or rename that column")
        return part
    first, second = (part.frame[name] for name in answers)
    if label is None:
        found = part.frame[str(p)].tolist()
    else:
        votes = part.frame[label.columns()].itertuples(index=False, name=None)
        found = [_vote(cells, label) for cells in votes]
    frame = part.frame.drop(columns=asked).assign(
        chosen=first, rejected=second, **{P: pd.Series(found, index=part.frame.index, dtype=object)}
    )
    return replace(part, frame=frame)


def _vote(cells: Iterable[Any], label: Label) -> float | MissingResponse:
    """Mean of the votes of one row; empty cells are no votes."""
    votes = [as_text(cell) for cell in cells if cell is not None and cell == cell and cell != ""]
    values = label.values()
    if odd := [vote for vote in votes if vote not in values]:
        known = ", ".join(values)
        return MissingResponse(
            "no_verdict", f"{'/'.join(label.columns())} is {short(odd[0])}, which label does not name ({known})"
        )
    if not votes:
        return MissingResponse("no_verdict", f"{'/'.join(label.columns())} is empty")
    return sum(values[vote] for vote in votes) / len(votes)


def probability(cell: Any) -> float | MissingResponse:
    """A cell that says how probable it is that the first answer is better."""
    if isinstance(cell, MissingResponse):
        return cell
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = float("nan")
    spelled = isinstance(cell, str) and "_" in cell  # Python's own: 0_1 is 1
    if isinstance(cell, bool | np.bool_) or spelled or not 0 <= value <= 1:
        return MissingResponse("no_verdict", f"p is {short(cell)}, not a probability from 0 to 1")
    return value


def advice(there: list[str], frame: pd.DataFrame) -> str | None:
    """How to write two answers with a verdict, where a table without chosen and rejected seems to hold them."""
    verdict = next((name for name in there if name.lower() in VERDICTS), None)
    twins = next((pair for pair in _twins(there) if verdict not in pair), None)
    if verdict is None or twins is None:
        return None
    values = sorted({as_text(cell) for cell in frame[verdict].dropna()})[:3]
    first, second = values[-2:] if len(values) > 1 else ["…", "…"]
    tie = f", tie: {values[0]}" if len(values) == 3 else ""
    return (
        f"two answers ({', '.join(twins)}) and what may say which is better ({verdict}: {', '.join(values)}); write "
        f"answers: [{', '.join(map(yaml_name, twins))}] and label: {{column: {yaml_name(verdict)}, first: {first}, "
        f"second: {second}{tie}}}, each value where it is right"
    )


def _twins(names: list[str]) -> list[tuple[str, str]]:
    """Columns that differ in one mark: output_1 and output_2, answer_a and answer_b, response_0 and response_1."""
    found = []
    for one, two in _TWINS:
        for name in names:
            for mark in re.finditer(rf"(?<![A-Za-z0-9]){one}(?![A-Za-z0-9])|(?<=[A-Za-z]){one}$", name):
                other = name[: mark.start()] + two + name[mark.end() :]
                if other in names and len(name) > len(one):
                    found.append((name, other))
    return found


def yaml_name(name: str) -> str:
    """A name as it may stand in a recipe: in quotes where YAML would read it as something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", name) and name.lower() not in {
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
    }
    return name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def mapping(columns: Mapping[str, str | None]) -> str:
    """``columns`` as a recipe writes it."""
    return ", ".join(f"{key}: {'null' if name is None else yaml_name(name)}" for key, name in columns.items())
