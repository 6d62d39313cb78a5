"""Every row recipe on records in its data set's own schema: labels, counts, groups, and no answer in the prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from task_fixtures import BINARY_CASES
from task_fixtures_choice import CASES, CHOICE_CASES

from w2s_pref.data.tasks.builtin import cosmosqa, dream, mc_taco, openbookqa, sciq
from w2s_pref.data.tasks.config import TaskConfig, own_recipe
from w2s_pref.data.tasks.table import rows_of, table
from w2s_pref.data.tasks.task import BUILTIN, TASKS, BadRecord, Item, Question, Task, Unusable

BINARY, CHOICE = list(BINARY_CASES), list(CHOICE_CASES)


def made(name: str, records: list[dict[str, Any]] | None = None) -> list[Any]:
    return [TASKS.find(name, Path())(record) for record in records or CASES[name].records]


def items(name: str, seed: int = 0) -> pd.DataFrame:
    return table((row for one in made(name) for row in rows_of(one, "train", seed)), name)[0]


def test_there_are_22_tasks_and_each_has_a_case() -> None:
    assert len(BUILTIN) == 22
    assert set(BUILTIN) == set(CASES)
    assert [TASKS.find(name, Path()).kind for name in CASES] == ["binary"] * 13 + ["choice"] * 9


@pytest.mark.parametrize("name", CASES)
def test_registered_tasks_know_their_source(name: str) -> None:
    task = TASKS.find(name, Path())
    assert isinstance(task, Task)
    assert task.name == name
    assert set(task.hub.splits.values()) == {"train", "test"}
    assert task.hub.config is None or task.hub.folder is None, "the Parquet branch knows folders, not configurations"
    for record in CASES[name].records:
        assert set(task.columns) <= record.keys(), "the columns named are those of the schema"
    assert task.recipe.__doc__


@pytest.mark.parametrize("name", BINARY)
def test_a_binary_record_becomes_one_item_with_its_label(name: str) -> None:
    case, found = CASES[name], made(name)
    assert all(isinstance(one, Item) for one in found)
    if case.labels[0] is not None:
        assert [one.label for one in found] == case.labels


@pytest.mark.parametrize("name", BINARY)
def test_the_prompt_of_a_binary_item_does_not_depend_on_its_label(name: str) -> None:
    case = CASES[name]
    for one, other in zip(made(name), made(name, [case.flip(record) for record in case.records]), strict=True):
        assert (one.prompt, one.group, one.unit) == (other.prompt, other.group, other.unit)
        assert {one.label, other.label} == {0, 1}


@pytest.mark.parametrize("name", CHOICE)
def test_a_question_becomes_its_right_option_and_one_wrong_one(name: str) -> None:
    case = CASES[name]
    for one, right in zip(made(name), case.labels, strict=True):
        assert isinstance(one, Question)
        assert one.options[one.right] == right
        positive, negative = rows_of(one, "train", 0)
        assert (positive.label, negative.label) == (1, 0)
        assert positive.prompt == one.stem + right
        assert negative.prompt.removeprefix(one.stem) in set(one.options) - {right}
        assert positive.unit == negative.unit


@pytest.mark.parametrize("name", CHOICE)
def test_the_text_before_the_option_does_not_depend_on_which_is_right(name: str) -> None:
    case = CASES[name]
    for one, other in zip(made(name), made(name, [case.flip(record) for record in case.records]), strict=True):
        assert (one.stem, one.group, set(one.options)) == (other.stem, other.group, set(other.options))
        assert one.options[one.right] != other.options[other.right]
        assert rows_of(one, "train", 0)[0].prompt != rows_of(other, "train", 0)[0].prompt


@pytest.mark.parametrize("name", CASES)
def test_what_belongs_together_is_one_group(name: str) -> None:
    case = CASES[name]
    frame = items(name)
    texts = [[row.prompt for row in rows_of(one, "train", 0)] for one in made(name)]
    group = dict(zip(frame["prompt"], frame["group"], strict=True))
    keys = [{group[text] for text in prompts} for prompts in texts]
    assert all(len(key) == 1 for key in keys), "the items of one record share a group"
    found = [key.pop() for key in keys]
    assert len(set(found)) == len(set(case.groups))
    assert len(set(zip(found, case.groups, strict=True))) == len(set(found)), "groups are those of the case"


@pytest.mark.parametrize("name", CASES)
def test_the_prompt_shows_what_the_question_is_about(name: str) -> None:
    case = CASES[name]
    for record, one in zip(case.records, made(name), strict=True):
        text = one.prompt if isinstance(one, Item) else one.stem
        assert all(str(record[column]).strip() in text for column in case.shown)


@pytest.mark.parametrize("name", CASES)
def test_the_table_has_the_columns_of_items(name: str) -> None:
    frame = items(name)
    assert set(frame["form"]) == {"item"}
    assert (set(frame["a"]), set(frame["b"])) == ({"yes"}, {"no"})
    assert set(frame["objective"]) == {name}
    assert set(frame["truth"]) == {0, 1}
    assert frame["id"].is_unique


def test_wrong_options_are_drawn_by_seed_and_stay_the_same_for_a_seed() -> None:
    question = Question("g", "Q: ", [f"option {number}" for number in range(50)], 7)
    drawn = [rows_of(question, "train", seed)[1].prompt for seed in range(20)]
    assert drawn[3] == rows_of(question, "train", 3)[1].prompt
    assert len(set(drawn)) > 10
    assert "Q: option 7" not in drawn


def test_a_question_with_equal_options_is_left_out() -> None:
    with pytest.raises(Unusable, match="no_wrong_option"):
        rows_of(Question("g", "Q: ", ["same", "same"], 0), "train", 0)


def test_dream_shows_its_dialogue_and_sciq_hides_its_passage() -> None:
    assert dream(CASES["dream"].records[0]).stem.startswith("M: The train is late again.\nW: Then we walk.\nQuestion:")
    assert "Plants take" not in sciq(CASES["sciq"].records[0]).stem


def test_openbookqa_writes_its_right_option_as_text() -> None:
    for one in made("openbookqa"):
        assert len(rows_of(one, "train", 0)[0].prompt.removeprefix(one.stem)) > 1


def test_cosmosqa_leaves_none_of_the_above_out() -> None:
    record = CASES["cosmosqa"].records[0]
    with pytest.raises(Unusable, match="none_of_the_above"):
        cosmosqa(record | {"label": 3})
    assert all(not option.startswith("None of") for one in made("cosmosqa") for option in one.options)


def test_the_local_forms_of_two_tasks_say_the_same_as_the_hub() -> None:
    record = CASES["openbookqa"].records[1]
    local = {"id": "2", "question": "Owls eat", "choices": ["sun", "mice", "bark", "ink"], "label": 1}
    assert openbookqa(local) == openbookqa(record)
    record = CASES["cosmosqa"].records[1]
    local = {key: record[key] for key in ("context", "question", "label")}
    assert cosmosqa(local | {"choices": [record[f"answer{number}"] for number in range(4)]}) == cosmosqa(record)


@pytest.mark.parametrize("name", CASES)
def test_a_missing_column_is_a_sentence(name: str) -> None:
    task = TASKS.find(name, Path())
    record = dict(CASES[name].records[0])
    del record[task.columns[0]]
    with pytest.raises(BadRecord, match="there is no column"):
        task(record)


def test_case_and_spacing_do_not_make_another_group() -> None:
    record = CASES["mc-taco"].records[0]
    assert mc_taco(record).group == mc_taco(record | {"sentence": " he RAN  a mile."}).group


def test_a_number_that_is_also_an_option_is_no_answer() -> None:
    """Of one row JSON would read the third option, and CSV, where every cell is text, the first."""
    own = {"task": "sums", "path": "x.jsonl", "kind": "choice", "text": "{q} ", "label": "right", "group": "q"}
    recipe = own_recipe(TaskConfig.model_validate({**own, "options": "options"}))
    row = {"q": "1 + 1?", "options": ["2", "3", "4"]}
    with pytest.raises(BadRecord, match="the right answer 2 is a number, which is option '4', and the text of another"):
        recipe({**row, "right": 2})
    for answer in ("2", "A", 0):
        assert recipe({**row, "right": answer}) == Question("1 + 1?", "1 + 1? ", ["2", "3", "4"], 0)


def test_a_column_that_is_also_the_text_of_another_option_is_no_answer() -> None:
    own = {"task": "grades", "path": "x.csv", "kind": "choice", "text": "{q} ", "label": "right", "group": "q"}
    recipe = own_recipe(TaskConfig.model_validate({**own, "options": ["a", "b"]}))
    with pytest.raises(BadRecord, match="the right answer 'b' is a column, which holds option 'c', and the text of an"):
        recipe({"q": "?", "a": "b", "b": "c", "right": "b"})
    assert recipe({"q": "?", "a": "c", "b": "b", "right": "b"}).right == 1  # type: ignore[union-attr]
