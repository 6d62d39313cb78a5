"""From records of a task to its table: a row an item, no copies, as many right as wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from w2s_pref.core.tables import ITEM_COLUMNS, digest
from w2s_pref.data.chat import linked_groups
from w2s_pref.data.sources import without_copies
from w2s_pref.data.tasks.task import Item, Question, Unusable


@dataclass(frozen=True)
class TaskRow:
    """One item on its way into the table; ``part`` is ``train`` or ``test``."""

    groups: tuple[str, ...]
    prompt: str
    label: int
    unit: str
    part: str


def rows_of(made: Item | Question, part: str, seed: int) -> list[TaskRow]:
    """The rows of one record: an item as it is; a question's right option and one wrong option, drawn by hash.

    Raises:
        Unusable: a question whose options are all the right one.
    """
    keys = (made.group,) if isinstance(made.group, str) else made.group
    if isinstance(made, Item):
        return [TaskRow(keys, made.prompt, int(made.label), digest(made.unit or made.prompt)[:16], part)]
    right = made.options[made.right]
    wrong = [option for option in dict.fromkeys(made.options) if option != right]
    if not wrong:
        raise Unusable("no_wrong_option")
    unit = digest(made.stem)[:16]
    drawn = min(wrong, key=lambda option: digest(str(seed), made.stem, option))
    return [TaskRow(keys, made.stem + option, int(option == right), unit, part) for option in (right, drawn)]


def table(rows: Iterable[TaskRow], name: str) -> tuple[pd.DataFrame, dict[str, int]]:
    """Rows as a table with the columns ``ITEM_COLUMNS``, without copies, and what was left out.

    Ids are hashes of task and text, so they carry no label. Of rows that say the same one stays, of the test part if
    there is one; of a text with both labels none does (``duplicates``, ``contradictory``).
    """
    kept = list(rows)
    frame = pd.DataFrame(
        {
            "id": [digest(name, row.prompt)[:16] for row in kept],
            "group": linked_groups([row.groups for row in kept]),
            "form": "item",
            "prompt": [row.prompt for row in kept],
            "a": "yes",
            "b": "no",
            "truth": [row.label for row in kept],
            "objective": name,
            "unit": [row.unit for row in kept],
            "part": [row.part for row in kept],
        },
        columns=list(ITEM_COLUMNS),
    )
    return without_copies(frame, frame["part"])


def balanced(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many right as wrong in every question, then in every part: the surplus goes, by hash.

    A question with one label only (whose every answer is right) goes altogether. Items without a unit are no question.
    """
    order = pd.Series([digest(str(seed), "balance", row_id) for row_id in frame["id"]], index=frame.index, dtype=str)
    frame = frame.loc[order.sort_values().index]
    lone = frame["unit"] == frame["prompt"].map(lambda prompt: digest(prompt)[:16])
    if not lone.all():
        frame = pd.concat([frame[lone], _even(frame[~lone], ["part", "unit"])])
    return _even(frame, ["part"]).sort_index()


def _even(frame: pd.DataFrame, within: list[str]) -> pd.DataFrame:
    """The first rows of each label, as many as the rarer label has."""
    fewer = frame.groupby(within)["truth"].transform(lambda label: min(label.sum(), len(label) - label.sum()))
    return frame[frame.groupby([*within, "truth"]).cumcount() < fewer]
