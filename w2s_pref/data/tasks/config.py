"""A task as a recipe writes it: one of the registry, from the hub or from files, or a mapping of one's own."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.strict import Section

Paths = str | list[str]

#: A place in a template: {column}.
PLACE = re.compile(r"\{([^{}]+)\}")


class TaskConfig(Section):
    """One classification task. A task of one's own has ``kind``, ``text``, ``label`` and ``group``."""

    task: str = Field(min_length=1, description="registered name, function (module:attr, file.py:attr), or your name")
    path: Paths | dict[Literal["train", "test"], Paths] | None = Field(
        default=None,
        description="files, folders or patterns (CSV, JSON, JSONL, Parquet) to read in the place of the hub; "
        "train and test apart where you have both",
    )
    size: int | None = Field(default=None, ge=4, description="use at most this many items of each part")
    seed: int = Field(default=0, description="draws wrong options and decides what balancing drops")
    overlap: Literal["error", "drop"] | None = Field(
        default=None,
        description="groups that train and test files share: error (the default for your own), or drop them from "
        "train (the default for the 22)",
    )
    kind: Literal["binary", "choice"] | None = Field(default=None, description="a task of your own: of which kind")
    text: str | None = Field(default=None, description="your own: what the model reads, {column} where a cell goes")
    label: str | None = Field(
        default=None,
        description="your own: column of the label (0 or 1), or of the right option (text, number, letter)",
    )
    options: Paths | None = Field(default=None, description="your own, choice: column with a list, or several columns")
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
