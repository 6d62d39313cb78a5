"""Splits of a task: exact sizes, half of each positive, no group in two, and nothing that the order of rows decides."""

from __future__ import annotations

import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tasks.splits import default_sizes, split_task
from w2s_pref.data.tasks.table import TaskRow, balanced, rows_of, table
from w2s_pref.data.tasks.task import Item, Question

SIZES = {"gt": 40, "w2s": 40, "validation": 10, "test": 20}


def binary(groups: int = 60, part: str = "train") -> list[TaskRow]:
    """Groups of one to three items; the first positive in every other group."""
    made = [Item(f"{part} {g}", f"{part} text {g} {n}", (g + n) % 2) for g in range(groups) for n in range(1 + g % 3)]
    return [row for item in made for row in rows_of(item, part, 0)]


def questions(groups: int = 40, part: str = "train") -> list[TaskRow]:
    """Two questions a group, each a right and a wrong item."""
    made = [Question(f"{g}", f"{part} Q {g} {n}: ", ["a", "b", "c"], g % 3) for g in range(groups) for n in range(2)]
    return [row for question in made for row in rows_of(question, part, 0)]


def items(rows: list[TaskRow]) -> pd.DataFrame:
    return balanced(table(rows, "made")[0], 0).reset_index(drop=True)


@pytest.mark.parametrize("rows", [binary(), questions()], ids=["binary", "choice"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_splits_have_their_size_half_positive_and_share_no_group(rows: list[TaskRow], seed: int) -> None:
    splits = split_task(items(rows), SIZES, seed)
    assert {name: len(split) for name, split in splits.items()} == SIZES
    assert {name: split["truth"].mean() for name, split in splits.items()} == dict.fromkeys(SIZES, 0.5)
    groups = [set(split["group"]) for split in splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_questions_are_used_whole() -> None:
    for split in split_task(items(questions()), SIZES).values():
        assert (split.groupby("unit")["truth"].agg(["sum", "size"]) == [1, 2]).all(axis=None)


def test_the_order_of_the_rows_decides_nothing_and_the_seed_does() -> None:
    frame = items(binary())
    first, again = split_task(frame, SIZES, 5), split_task(frame.sample(frac=1, random_state=1), SIZES, 5)
    other = split_task(frame, SIZES, 6)
    for name in SIZES:
        assert first[name].equals(again[name])
        assert set(first[name]["group"]) != set(other[name]["group"])


def test_test_items_come_from_the_test_part_and_only_they() -> None:
    splits = split_task(items([*binary(), *binary(part="test")]), SIZES)
    assert {name: set(split["part"]) for name, split in splits.items()} == {
        "gt": {"train"},
        "w2s": {"train"},
        "validation": {"train"},
        "test": {"test"},
    }


@pytest.mark.parametrize("rows", [binary(200), questions(120), [*binary(200), *binary(30, "test")]])
def test_default_sizes_can_be_made_up(rows: list[TaskRow]) -> None:
    frame = items(rows)
    sizes = default_sizes(frame)
    assert sizes["gt"] == sizes["w2s"]
    assert {name: len(split) for name, split in split_task(frame).items()} == sizes
    assert sum(sizes.values()) > 0.85 * len(frame)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"gt": 41}, "so write an even number"),
        ({"gt": 0}, "so write an even number"),
        ({"train": 10}, "a task has no split 'train'; its splits are gt, w2s, validation, test and"),
        ({"gt": 4000}, "split gt asks for 4,000 items, half of them right, but the groups left make up only 60 right"),
    ],
)
def test_sizes_that_cannot_be_are_sentences(sizes: dict[str, int], sentence: str) -> None:
    with pytest.raises(W2SError, match=sentence):
        split_task(items(binary()), sizes)


def test_ids_carry_no_label() -> None:
    flipped = [TaskRow(row.groups, row.prompt, 1 - row.label, row.unit, row.part) for row in binary()]
    one, other = table(binary(), "made")[0], table(flipped, "made")[0]
    assert one["id"].tolist() == other["id"].tolist()
    assert (one["truth"] + other["truth"] == 1).all()


def test_rows_that_share_one_of_several_keys_are_one_group() -> None:
    rows = [
        TaskRow(keys, f"text {n}", n % 2, str(n), "train")
        for n, keys in enumerate([("a", "b"), ("b", "c"), ("c",), ("d",)])
    ]
    groups = table(rows, "made")[0]["group"]
    assert groups.nunique() == 2
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_of_copies_the_one_for_testing_stays() -> None:
    rows = [
        TaskRow(("g",), "same", 1, "u", "train"),
        TaskRow(("g",), "same", 1, "u", "test"),
        TaskRow(("h",), "x", 0, "v", "train"),
    ]
    frame, counts = table(rows, "made")
    assert counts == {"duplicates": 1}
    assert frame.set_index("prompt")["part"].to_dict() == {"same": "test", "x": "train"}
