"""A few records of every binary task in the schema of its data set, and what must come of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Records of one task.

    Attributes:
        records: in the schema of the hub.
        labels: of a binary task, the label of every record; of a choice task, the right option of every record.
        groups: which records belong together, as one letter a record.
        flip: a record with the other label (binary) or with another right option (choice).
        shown: columns whose text must be in the prompt.
    """

    records: list[Record]
    labels: list[Any]
    groups: str
    flip: Callable[[Record], Record]
    shown: tuple[str, ...] = field(default=())


def rows(names: str, *values: tuple[Any, ...]) -> list[Record]:
    return [dict(zip(names.split(), row, strict=True)) for row in values]


def other(column: str, values: tuple[Any, ...] = (0, 1)) -> Callable[[Record], Record]:
    """The next of the values in the place of the one a record has."""
    return lambda record: record | {column: values[(values.index(record[column]) + 1) % len(values)]}


RIVER = "The river flooded the old mill ."

BINARY_CASES: dict[str, Case] = {
    "boolq": Case(
        rows(
            "question answer passage",
            ("is the mill old", True, RIVER),
            ("is the mill dry", False, RIVER),
            ("do owls sleep by day", True, "Owls hunt at night."),
        ),
        [1, 0, 1],
        "aab",
        other("answer", (True, False)),
        ("question", "passage"),
    ),
    "ethics-justice": Case(
        rows(
            "label scenario",
            (1, "I deserve a raise from my boss because I did the work of two."),
            (0, "I deserve a raise from my boss because I like red shoes."),
            (0, "I deserve a castle from my boss because I did the work of two."),
            (1, "I stopped calling my aunt since she changed her number."),
        ),
        [1, 0, 0, 1],
        "aaab",
        other("label"),
        ("scenario",),
    ),
    "ethics-deontology": Case(
        rows(
            "label scenario excuse",
            (1, "Could you water the plants?", "But it is raining."),
            (0, "Could you water the plants?", "But I like plants."),
            (1, "I am a baker.", "So I should bake bread."),
        ),
        [1, 0, 1],
        "aab",
        other("label"),
        ("scenario", "excuse"),
    ),
    "ethics-virtue": Case(
        rows(
            "label scenario",
            (1, "Ada gave her coat away. [SEP] generous"),
            (0, "Ada gave her coat away. [SEP] angry"),
            (0, "Ada gave her coat away. [SEP] lazy"),
            (1, "Ben told the truth. [SEP] honest"),
        ),
        [1, 0, 0, 1],
        "aaab",
        other("label"),
    ),
    "ethics-utilitarianism": Case(
        rows(
            "baseline less_pleasant",
            ("I won the race.", "I fell in the race."),
            ("I ate a warm pie.", "I ate a burnt pie."),
            ("I saw an old friend.", "I saw my dentist."),
        ),
        [None, None, None],
        "abc",
        lambda record: {"baseline": record["less_pleasant"], "less_pleasant": record["baseline"]},
        ("baseline", "less_pleasant"),
    ),
    "anli-r2": Case(
        rows(
            "uid premise hypothesis label reason",
            ("1", "Rome lies on the Tiber.", "Rome lies on a river.", 0, "the Tiber is a river"),
            ("2", "Rome lies on the Tiber.", "Rome is large.", 1, ""),
            ("3", "Rome lies on the Tiber.", "Rome lies in a desert.", 2, ""),
            ("4", "Tea is grown in hills.", "Tea grows.", 0, ""),
        ),
        [1, 0, 0, 1],
        "aaab",
        lambda record: record | {"label": 0 if record["label"] else 2},
        ("premise", "hypothesis"),
    ),
    "cola": Case(
        rows("sentence label idx", ("The cat sat.", 1, 0), ("Cat the sat.", 0, 1), ("Dogs bark.", 1, 2)),
        [1, 0, 1],
        "abc",
        other("label"),
        ("sentence",),
    ),
    "sst2": Case(
        rows("idx sentence label", (0, "a warm film ", 1), (1, "a dull film ", 0), (2, "never bores ", 1)),
        [1, 0, 1],
        "abc",
        other("label"),
    ),
    "mc-taco": Case(
        rows(
            "sentence question answer label category",
            ("He ran a mile.", "How long did it take?", "8 minutes", 1, 0),
            ("He ran a mile.", "How long did it take?", "8 years", 0, 0),
            ("He ran a mile.", "How often does he run?", "daily", 1, 2),
            ("She baked bread.", "When did she bake?", "in the morning", 1, 3),
        ),
        [1, 0, 1, 1],
        "aaab",
        other("label"),
        ("sentence", "question", "answer"),
    ),
    "paws": Case(
        rows(
            "id sentence1 sentence2 label",
            (1, "Ann met Bob.", "Bob met Ann.", 1),
            (2, "Bob met Ann.", "Ann met Bob.", 1),
            (3, "Ann hit Bob.", "Bob hit Ann.", 0),
        ),
        [1, 1, 0],
        "aab",
        other("label"),
        ("sentence1", "sentence2"),
    ),
    "multirc": Case(
        [
            {"paragraph": RIVER, "question": question, "answer": answer, "idx": {"paragraph": 0}, "label": y}
            for question, answer, y in (
                ("What flooded?", "the river", 1),
                ("What flooded?", "the owl", 0),
                ("What was flooded?", "a mill", 1),
            )
        ]
        + [
            {"paragraph": "Owls hunt.", "question": "Who hunts?", "answer": "owls", "idx": {"paragraph": 0}, "label": 1}
        ],
        [1, 0, 1, 1],
        "aaab",
        other("label"),
        ("paragraph", "question", "answer"),
    ),
    "wic": Case(
        rows(
            "word sentence1 sentence2 start1 start2 end1 end2 label",
            ("bank", "The bank is closed.", "The bank gave a loan.", 4, 4, 8, 8, 1),
            ("bank", "The bank is closed.", "The bank is muddy.", 4, 4, 8, 8, 0),
            ("run", "A run in the park.", "A run by the sea.", 2, 2, 5, 5, 1),
        ),
        [1, 0, 1],
        "aab",
        other("label"),
        ("word", "sentence1", "sentence2"),
    ),
    "twitter-sentiment": Case(
        rows("text label", ("what a day!", 1), ("so tired of rain", 0), ("new shoes", 1)),
        [1, 0, 1],
        "abc",
        other("label"),
        ("text",),
    ),
}
