"""Reading one cell of a record: text, label, options. Everything a recipe reads goes through here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from w2s_pref.core.references import did_you_mean
from w2s_pref.data.problems import short
from w2s_pref.data.tasks.task import BadRecord, MissingColumn, Record

#: A place in a template: {column}.
PLACE = re.compile(r"\{([^{}]+)\}")

_WORDS = {"true": 1, "false": 0, "yes": 1, "no": 0}


def cell(record: Record, *names: str) -> Any:
    """The value of the first of these columns that the record has: a data set's column may have several names."""
    for name in names:
        if name in record:
            return record[name]
    known = [str(key) for key in record]
    raise MissingColumn(
        f"there is no column {names[0]!r}{did_you_mean(names[0], known)} (columns: {', '.join(known)}); rename it, or "
        "give the file this task is made of"
    )


def text(record: Record, *names: str) -> str:
    """A cell of text, outer blanks removed. Raises BadRecord where it is missing, empty or no text."""
    value = cell(record, *names)
    if not isinstance(value, str) or not value.strip():
        raise BadRecord(f"column {names[0]!r} is {short(value)}, but it must be text; write it, or remove the row")
    return value.strip()


def fill(template: str, record: Record, read: Callable[[Record, str], str] = text) -> str:
    """The template with cells in their places. Braces inside a cell stay what they are."""
    return PLACE.sub(lambda match: read(record, match[1].strip()), template)


def label(record: Record, *names: str, values: tuple[int, ...] = (0, 1)) -> int:
    """A cell that is one of ``values``: a number, true/false, yes/no, or the same in letters."""
    value = cell(record, *names)
    word = value.strip().lower() if isinstance(value, str) else None
    number = _WORDS[word] if word in _WORDS else _number(value)
    if number not in values:
        raise BadRecord(
            f"label {names[0]} is {short(value)}, but it must be {' or '.join(map(str, values))}; mend the row (a "
            "split without labels, often written -1, cannot be used)"
        )
    return int(number)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    if isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating):
        return float(value)
    return None


def texts(record: Record, *names: str) -> list[str]:
    """A cell that holds a list of texts (CSV: as JSON)."""
    return as_texts(cell(record, *names), names[0])


def as_texts(value: Any, name: str) -> list[str]:
    """A list, array or JSON list of texts, none of them empty."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise BadRecord(f"column {name!r} is {short(value)}, which is no JSON list; write one") from None
    items = list(value) if isinstance(value, list | tuple | np.ndarray) else None
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise BadRecord(f"column {name!r} is {short(value)}, but it must be a list of texts, none of them empty")
    return [item.strip() for item in items]


def lettered(record: Record, choices: str, key: str) -> tuple[list[str], int]:
    """Options as ``{"text": […], "label": ["A", …]}`` and the letter of the right one: texts and its position."""
    value = cell(record, choices)
    if not isinstance(value, dict) or {"text", "label"} - value.keys():
        raise BadRecord(f"column {choices!r} is {short(value)}, but it must hold 'text' and 'label'")
    letters = as_texts(value["label"], f"{choices}.label")
    return as_texts(value["text"], f"{choices}.text"), position(letters, text(record, key))


def position(options: Sequence[str], answer: Any) -> int:
    """Where the right answer is among the options: by its text, else by number (from 0) or letter (A, B, …)."""
    if isinstance(answer, str) and answer.strip() in options:
        return list(options).index(answer.strip())
    number = _number(answer)
    if number is None and isinstance(answer, str) and len(answer.strip()) == 1:
        number = ord(answer.strip().upper()) - ord("A")
    if number is None or number not in range(len(options)):
        raise BadRecord(
            f"the right answer {short(answer)} is not among the options {short(list(options), 120)}; write its text, "
            "its number (from 0) or its letter"
        )
    return int(number)


def stem(record: Record, context: str | None = None, question: str = "question") -> str:
    """Everything before an answer: the context, if there is one, and the question in column ``question``."""
    asked = f"Question: {text(record, question)}\nAnswer: "
    return asked if context is None else f"{context}\n{asked}"


def same(*parts: str) -> str:
    """A group key for a set of texts, in whatever order they come: without case and spacing."""
    return "\n".join(sorted(" ".join(part.lower().split()) for part in parts))
