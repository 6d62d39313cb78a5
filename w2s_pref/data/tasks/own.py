"""A task of the user's own: a mapping of columns made into a recipe, without code."""

from __future__ import annotations

from w2s_pref.data.tasks.config import PLACE, TaskConfig
from w2s_pref.data.tasks.fields import cell, label, position, text, texts
from w2s_pref.data.tasks.task import BadRecord, Item, Question, Recipe, Record


def recipe(config: TaskConfig) -> Recipe:
    """The recipe of a configuration with a kind.

    binary: one item a record, the filled template and the label. choice: a question, the filled template before each
    option; the label column says which is right by text, number (from 0), letter, or name of its column.
    """
    template, answer, group = config.text or "", config.label or "", config.group or ""

    def binary(record: Record) -> Item:
        return Item(_group(record, group), _fill(template, record), label(record, answer))

    def choice(record: Record) -> Question:
        names = config.options if isinstance(config.options, list) else []
        options = [text(record, name) for name in names] if names else texts(record, str(config.options))
        value = cell(record, answer)
        right = names.index(value) if value in names else position(options, value)
        return Question(_group(record, group), _fill(template, record), options, right)

    return binary if config.kind == "binary" else choice


def _fill(template: str, record: Record) -> str:
    """The template with cells in their places. Braces inside a cell stay what they are."""
    return PLACE.sub(lambda match: _shown(record, match[1].strip()), template)


def _shown(record: Record, name: str) -> str:
    value = cell(record, name)
    return str(value) if isinstance(value, int | float) else text(record, name)


def _group(record: Record, column: str) -> str:
    value = cell(record, column)
    key = "" if value is None or value != value else str(value).strip()
    if not key:
        raise BadRecord(f"group {column!r} is empty; give every row a group, since rows of one must stay together")
    return key
