"""Base of every part of a recipe: strict keys with "did you mean", strict types with sentences."""

from __future__ import annotations

import difflib
import json
import re
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator

from w2s_pref.core.errors import SENTENCE, W2SError, masked, shortened, shown
from w2s_pref.core.paths import PathText

S = TypeVar("S", bound=BaseModel)

#: What the generators of numpy, torch and Python all take.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
#: Seeds of one study: every one is a set of trainings.
SEEDS = 100


#: What keys are often called elsewhere, which is nothing like their names here.
USUAL = {"lr": "learning_rate", "epochs": "num_train_epochs", "rank": "r", "warmup_ratio": "warmup_steps"}


def nearest(word: str, known: list[str]) -> str:
    """ " Did you mean 'x'?" for the closest known word, else the list of known words."""
    usual = [USUAL[word]] if USUAL.get(word) in known else []
    close = usual or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else shortened("known: " + ", ".join(sorted(known)), SENTENCE // 2)


class Section(BaseModel):
    """A pydantic model that refuses unknown keys and names the nearest known one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            fields = list(cls.model_fields)
            for key in value:
                if key not in fields:
                    raise ValueError(f"unknown key {shown(key)}; {nearest(str(key), fields)}")
        return value

    @property
    def changed(self) -> set[str]:
        """Keys with another value than their default; the recipe that a run writes down gives all of them."""
        usual = {name: each.get_default(call_default_factory=True) for name, each in type(self).model_fields.items()}
        return {name for name in self.model_fields_set if getattr(self, name) != usual[name]}


class ReportSection(Section):
    """What stands in the report beside what every study of that kind has."""

    sections: list[str] = Field(default_factory=list, description="your own sections, in this order")


class StudySection(Section):
    """What every kind of recipe has: its name and seeds, and where it runs and writes."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        max_length=100,
        description="names the run folder: letters, digits, and later . _ -",
    )
    seeds: list[Seed] = Field(default_factory=lambda: [0, 1], min_length=1, max_length=SEEDS)
    output: PathText = Field("runs", description="folder of the run folders")
    store: PathText = Field("", description="folder or URL (s3://…) of the artifacts; default OUTPUT/store")
    processes: int | None = Field(None, ge=1, description="refuse to run on another number of processes")
    report: ReportSection = ReportSection()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed stands twice")
        return seeds

    @field_serializer("store", "output")
    def _masked(self, place: str) -> str:
        """What is written of a recipe holds no password."""
        return masked(place)

    def store_place(self) -> str:
        """Where artifacts live: a folder (relative ones start at the working directory) or a URL."""
        return self.store or str(Path(self.output) / "store")

    def problems(self) -> list[str]:
        """Sentences about what the schema cannot know: a kind's own checks that need neither data nor weights."""
        return []


def read_section(section: type[S], value: Any, where: str) -> S:
    """The section that ``value`` describes.

    Raises:
        W2SError: every problem found, one sentence each, after ``where``.
    """
    try:
        return section.model_validate(value)
    except ValidationError as error:
        raise W2SError(sentences(error, where)) from error


def sentences(error: ValidationError, where: str) -> list[str]:
    """One sentence per validation problem: file, dotted key, what is wrong."""
    return [f"{where}: {_place(item['loc'])}{_explain(dict(item))}" for item in error.errors(include_url=False)]


def _place(location: tuple[int | str, ...]) -> str:
    """The keys of a location, without the names of the kinds that a value could have been; those of tags have [."""
    kinds = {"str", "int", "float", "bool", "list", *_names(Section)}
    parts = [str(part) for part in location if "[" not in str(part) and part not in kinds]
    return ".".join(parts) + ": " if parts else ""


def _names(section: type[BaseModel]) -> set[str]:
    return {section.__name__}.union(*(_names(each) for each in section.__subclasses__()))


#: What pydantic's kinds of errors mean to a person at the keyboard; braces hold what it says about the constraint.
MEANINGS = {
    "greater_than_equal": "should be {ge} or more",
    "greater_than": "should be above {gt}",
    "less_than_equal": "should be {le} or less",
    "less_than": "should be below {lt}",
    "multiple_of": "should be a multiple of {multiple_of}",
    "finite_number": "should be a finite number",
    "int_from_float": "should be a whole number",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
    "string_type": "should be text",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should be a mapping of keys to values",
    "model_type": "should be a mapping of keys to values",
    "literal_error": "should be {expected}",
    "string_pattern_mismatch": "should match the pattern {pattern}",
    "string_too_short": "should have {min_length} or more characters",
    "string_too_long": "should have {max_length} or fewer characters",
    "too_short": "should have {min_length} or more entries",
    "too_long": "should have {max_length} or fewer entries",
    "missing": "is missing, and has no default",
}


def _explain(item: dict[str, Any]) -> str:
    """What a value should be, and what it is instead."""
    value, kind = item.get("input"), item["type"]
    if kind == "value_error":  # a check of ours: a sentence already
        return str(item["msg"]).removeprefix("Value error, ")
    if kind in {"float_type", "int_type"} and isinstance(value, str):
        return text_number(value)
    told = MEANINGS.get(kind, str(item["msg"]).removeprefix("Input "))
    told = told.format(**item.get("ctx", {})) if kind in MEANINGS else told
    if kind == "missing":
        return told
    text = "the text " if kind == "bool_type" and isinstance(value, str) else ""
    known = re.findall("'([^']+)'", told) if kind == "literal_error" else []
    close = difflib.get_close_matches(str(value), known, n=1, cutoff=0.6)
    written = _written(value)
    more = f"; did you mean {close[0]!r}?" if close else ""
    if kind in {"list_type", "tuple_type"} and isinstance(value, str | int | float):
        more = f"; write [{written}]"
    return f"{told}, but this is {text}{written}{more}"


def _written(value: Any) -> str:
    """A value as a recipe has it where Python would write another word."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return shown(value)


def text_number(value: str) -> str:
    """The sentence for text where a number belongs; numbers are written as JSON has them, unlike .5 or 1_000."""
    try:
        number = float(value)
    except ValueError:
        return f"should be a number, but this is the text {shown(value)}"
    if not isfinite(number):
        return f"should be a finite number, but this is {shown(value)}"
    write = repr(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
    return f"{shown(value)} is text, not a number (numbers have no quotes and look as in JSON); write {write}"
