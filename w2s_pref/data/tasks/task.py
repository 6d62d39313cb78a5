"""What a task is: a source of records and a recipe that turns one record into items of text and label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from w2s_pref.core.registry import Registry

Record = Mapping[str, Any]
Kind = Literal["binary", "choice"]
Pool = Literal["train", "test"]

#: What keeps items together when they are split; rows that share any of several keys are one group.
Group = str | tuple[str, ...]

#: Branch of the hub where data sets that need a loading script (refused by datasets 4 and later) lie as Parquet.
PARQUET = "refs/convert/parquet"


class BadRecord(ValueError):
    """A record that cannot become items; the message says why and how to mend it, the loader adds where."""


class MissingColumn(BadRecord):
    """A column that the whole file lacks: said once, not for every record."""


class Unusable(Exception):
    """A sound record that the task leaves out, counted by the reason given."""


@dataclass(frozen=True)
class Item:
    """One text to classify.

    Attributes:
        group: the group key or keys.
        prompt: the whole text a model reads. Nothing in it may depend on the label.
        label: 1 = positive, 0 = negative.
        unit: what right and wrong are balanced within, such as a question with many answers; None for the whole task.
    """

    group: Group
    prompt: str
    label: int
    unit: str | None = None


@dataclass(frozen=True)
class Question:
    """A multiple-choice question: its items are the right option (label 1) and one wrong option (label 0).

    Attributes:
        group: the group key or keys.
        stem: everything before the option; an item's text is stem + option.
        options: all options.
        right: position of the right one.
    """

    group: Group
    stem: str
    options: Sequence[str]
    right: int


Recipe = Callable[[Record], Item | Question]


@dataclass(frozen=True)
class Hub:
    """Where the records of a task lie.

    Attributes:
        name: id of the data set.
        revision: commit or branch; None is the newest.
        splits: the hub's split -> ``train`` (cut into the training splits) or ``test``. Splits without labels are
            not listed, so never read.
        config: the hub's configuration of the data set.
        folder: on the Parquet branch, the folder of the configuration.
    """

    name: str
    revision: str | None
    splits: Mapping[str, Pool]
    config: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Task:
    """One task of the registry. Calling it applies the recipe to one record.

    Attributes:
        name: as recipes write it.
        kind: binary (one item a record) or choice (two items a question).
        recipe: record -> ``Item`` or ``Question``.
        hub: where the records lie.
        columns: columns the recipe reads, as the hub calls them.
        group: what the group key is, in words.
        about: licence and source, as far as known.
    """

    name: str
    kind: Kind
    recipe: Recipe
    hub: Hub
    columns: tuple[str, ...]
    group: str
    about: str = ""

    def __call__(self, record: Record) -> Item | Question:
        """The items of one record.

        Raises:
            BadRecord: a missing column, an empty text, a label outside {0, 1}, a right answer that is no option.
            Unusable: a sound record that this task leaves out.
        """
        return self.recipe(record)


_BUILTIN = (
    "boolq cosmosqa dream ethics-justice ethics-deontology ethics-virtue ethics-utilitarianism anli-r2 cola sst2 "
    "hellaswag mc-taco openbookqa paws quail piqa quartz sciq social-iqa multirc wic twitter-sentiment"
)

#: The 22 NLP tasks: name -> where it is, imported when asked for.
BUILTIN = {name: f"w2s_pref.data.tasks.builtin:{name.replace('-', '_')}" for name in _BUILTIN.split()}

#: Every task by name: those that come with the package, and the user's (see ``task``).
TASKS = Registry("task", BUILTIN)

#: Register a function as a task: ``task: NAME`` in a recipe then calls it.
#:
#: The function returns ``Item`` and ``Question`` objects, as many as it likes, and takes what the recipe's
#: ``arguments`` say.
task = TASKS.register
