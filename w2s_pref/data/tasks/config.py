"""A task as a recipe writes it: one of the registry, from the hub or from files, or a mapping of one's own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.paths import PathText
from w2s_pref.core.strict import Section, Seed
from w2s_pref.core.tables import cell_text
from w2s_pref.data.tasks.fields import PLACE, cell, fill, label, position, text, texts
from w2s_pref.data.tasks.task import BadRecord, Item, Kind, Pool, Question, Recipe, Record

Paths = PathText | list[PathText]


class TaskConfig(Section):
    """One classification task. A task of one's own has ``kind``, ``text``, ``label`` and ``group``."""

    task: str = Field(min_length=1, description="registered name, function (module:attr, file.py:attr), or your name")
    path: Paths | dict[Pool, Paths] | None = Field(
        default=None,
        description="files, folders or patterns (CSV, JSON, JSONL, Parquet) to read in the place of the hub; "
        "train and test apart where you have both",
    )
    size: int | None = Field(default=None, ge=4, description="use at most this many items of each part")
    seed: Seed = Field(default=0, description="draws wrong options and decides what balancing drops")
    overlap: Literal["error", "drop"] | None = Field(
        default=None,
        description="groups that train and test files share: error (the default for your own), or drop them from "
        "train (the default for the 22)",
    )
    kind: Kind | None = Field(default=None, description="a task of your own: of which kind")
    text: str | None = Field(default=None, description="your own: what the model reads, {column} where a cell goes")
    label: str | None = Field(
        default=None,
        description="your own: column of the label (0 or 1), or of the right option (text, number, letter)",
    )
    options: str | list[str] | None = Field(
        default=None, description="your own, choice: column with a list, or several columns"
    )
    group: str | None = Field(default=None, description="your own: column whose equal values stay in one split")
    arguments: dict[str, Any] = Field(default_factory=dict, description="arguments of a function")

    @model_validator(mode="after")
    def _own(self) -> TaskConfig:
        given = [key for key in ("kind", "text", "label", "options", "group") if getattr(self, key) is not None]
        if self.kind is None:
            if given:
                raise ValueError(f"{given[0]!r} is for a task of your own; write kind: binary or kind: choice as well")
            return self
        needed = {"path": "file", "text": "template", "label": "column", "group": "column that keeps rows together"}
        needed |= {"options": "column or columns"} if self.kind == "choice" else {}
        for key, what in needed.items():
            if getattr(self, key) is None:
                raise ValueError(f"a task of your own needs {key}: {what.upper()}")
        if self.kind == "binary" and self.options is not None:
            raise ValueError("options is for kind: choice; remove it")
        self._no_answer_in_text()
        return self

    def _no_answer_in_text(self) -> None:
        assert self.text is not None
        places = [name.strip() for name in PLACE.findall(self.text)]
        if not places:
            raise ValueError(f"text {self.text!r} names no column; write {{column}} where its cell goes")
        hidden = [self.label, *([self.options] if isinstance(self.options, str) else self.options or [])]
        shown = [place for place in places if place in hidden]
        if shown:
            raise ValueError(
                f"text shows {{{shown[0]}}}, which holds the answer: the label or the options; take it out of the "
                "template (options are put behind it one by one)"
            )


def own_recipe(config: TaskConfig) -> Recipe:
    """The recipe of a configuration with a kind.

    binary: one item a record, the filled template and the label. choice: a question, the filled template before each
    option; the label column says which is right by text, number (from 0), letter, or name of its column.
    """
    template, answer, group = config.text or "", config.label or "", config.group or ""

    def binary(record: Record) -> Item:
        return Item(_group(record, group), fill(template, record, _shown), label(record, answer))

    def choice(record: Record) -> Question:
        names = config.options if isinstance(config.options, list) else []
        options = [text(record, name) for name in names] if names else texts(record, str(config.options))
        value = cell(record, answer)
        right = names.index(value) if value in names else position(options, value)
        if value in names and value in options and options.index(value) != right:
            raise BadRecord(
                f"the right answer {value!r} is a column, which holds option {options[right]!r}, and the text of "
                "another option; name the columns otherwise"
            )
        if not isinstance(value, str) and str(value) in options and options.index(str(value)) != right:
            raise BadRecord(
                f"the right answer {value!r} is a number, which is option {options[right]!r}, and the text of another "
                "option; write the letter (A is the first), or the text as text"
            )
        return Question(_group(record, group), fill(template, record, _shown), options, right)

    return binary if config.kind == "binary" else choice


def _shown(record: Record, name: str) -> str:
    value = cell(record, name)
    return str(value) if isinstance(value, int | float) and value == value else text(record, name)


def _group(record: Record, column: str) -> str:
    value = cell(record, column)
    key = "" if value is None or value != value else cell_text(value.strip() if isinstance(value, str) else value)
    if not key:
        raise BadRecord(f"group {column!r} is empty; give every row a group, since rows of one must stay together")
    return key
