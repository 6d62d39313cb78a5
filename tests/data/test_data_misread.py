"""Conversations, prompts and copies that would be read as something else: each is refused with what to write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_helpers import complaint, loaded, rows, write
from pydantic import ValidationError

from w2s_pref.data.problems import MissingResponse
from w2s_pref.data.sources import Source, load
from w2s_pref.data.verdicts import Label, probability

SAID = [[{"role": "assistant", "content": text}] for text in ("blue", "it's red")]


@pytest.mark.parametrize(
    "spell", [str, lambda said: str(np.array(said, dtype=object)), lambda said: " " + json.dumps(said)]
)
def test_conversations_spelled_out_are_refused(tmp_path: Path, spell: Callable[[Any], str]) -> None:
    """What pandas writes into CSV where a column holds lists: a model would be taught to answer in brackets."""
    good, bad = map(spell, SAID)
    pd.DataFrame([{"prompt": "sky?", "chosen": good, "rejected": bad}]).to_csv(tmp_path / "x.csv", index=False)
    assert "row 1: the chosen is a conversation spelled out as text" in complaint(tmp_path / "x.csv")
    path = write(tmp_path / "y.jsonl", [{"prompt": spell(SAID[0]), "chosen": "a", "rejected": "b"}])
    assert "row 1: the prompt is a conversation spelled out as text" in complaint(path)
    code = write(tmp_path / "z.jsonl", [{"prompt": "Write a message as JSON.", "chosen": good, "rejected": "No."}])
    assert len(loaded(code).frame) == 1


def test_a_response_ends_with_the_assistant(tmp_path: Path) -> None:
    asked, more = [{"role": "user", "content": "sky?"}], {"role": "user", "content": "thanks"}
    path = write(tmp_path / "x.jsonl", [{"prompt": asked, "chosen": [*SAID[0], more], "rejected": SAID[1]}])
    assert "row 1: the chosen response ends with a turn of the user, 'thanks'" in complaint(path)
    path = write(tmp_path / "y.jsonl", [{"prompt": asked, "chosen": [*SAID[0], more, *SAID[1]], "rejected": SAID[1]}])
    assert len(loaded(path).frame) == 1


def test_conversations_about_something_else_than_the_prompt(tmp_path: Path) -> None:
    first, second = (
        [{"role": "user", "content": asked}, *said] for asked, said in zip(("sky?", "sea?"), SAID, strict=True)
    )
    path = write(tmp_path / "x.jsonl", [{"prompt": "sky?", "chosen": first, "rejected": second}])
    assert "the prompt ends with the user's turn 'sky?', and a response begins with another, 'sea?'" in complaint(path)
    path = write(tmp_path / "y.jsonl", [{"prompt": "sky?", "chosen": first, "rejected": SAID[1]}])
    (pair,) = loaded(path).frame.to_dict("records")
    assert [len(json.loads(pair[name])) for name in ("prompt", "a", "b")] == [1, 1, 1]


@pytest.mark.parametrize("dialogue", [False, True])
def test_answers_that_repeat_the_prompt_are_refused(tmp_path: Path, dialogue: bool) -> None:
    items = rows(3)
    for row in items[:2]:
        whole = f"\n\nHuman: {row['prompt']}\n\nAssistant:" if dialogue else row["prompt"]
        row |= {name: whole + row[name] for name in ("chosen", "rejected")}
    path = write(tmp_path / "x.jsonl", items)
    said = (
        "x.jsonl: both answers repeat the prompt in 2 of 3 rows, such as 'question 0?', and models would read it twice"
    )
    assert f"{said}; write columns: {{prompt: null}}" in complaint(path)
    assert len(loaded(path, columns={"prompt": None}).frame) == 3
    items[1] = rows(3)[1]
    assert len(loaded(write(tmp_path / "y.jsonl", items)).frame) == 3


def test_copies_of_unlike_probability_contradict_each_other(tmp_path: Path) -> None:
    """The order of a file does not decide what is true."""
    (pair,) = rows(1)
    other = {**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]}
    rest = [{**row, "p": 1.0} for row in rows(3)[1:]]
    for second, counted in (({**pair, "p": 0.6}, "contradictory"), ({**other, "p": 0.3}, "duplicates")):
        path = write(tmp_path / "x.jsonl", [{**pair, "p": 0.7}, second, *rest])
        assert loaded(path, columns={"p": "p"}).counts[counted] == (2 if counted == "contradictory" else 1)


TURN = "\n\nHuman: {}\n\nAssistant: {}"


def test_dialogues_that_part_at_the_users_turn_are_refused(tmp_path: Path) -> None:
    """As text: models would be taught that one question is better than another."""
    hello = TURN.format("Hi", "Hello.")
    for lead in ("", hello):
        for begin in (0, 2):
            said = [(lead + TURN.format(*turn))[begin:] for turn in (("2+2?", "4"), ("France?", "Paris"))]
            path = write(tmp_path / "x.jsonl", [{"chosen": said[0], "rejected": said[1]}])
            assert "row 1: the two dialogues part at the user's turn: '2+2?' and 'France?'" in complaint(path)
            assert len(load(Source(source=str(path), objective="target"), version=1).frame) == 1
    later = [hello + TURN.format("2+2?", answer) for answer in ("4", "5")]
    earlier = [TURN.format("Hi", answer) + TURN.format(*turn) for answer, *turn in (("a", "b", "c"), ("d", "e", "f"))]
    path = write(
        tmp_path / "y.jsonl", [dict(zip(("chosen", "rejected"), pair, strict=True)) for pair in (later, earlier)]
    )
    assert len(loaded(path).frame) == 2


def test_conversations_that_part_at_the_users_turn_behind_a_prompt_are_refused(tmp_path: Path) -> None:
    def whole(asked: str, said: str) -> list[dict[str, str]]:
        turns = [("user", "Hi"), ("assistant", "Hello."), ("user", asked), ("assistant", said)]
        return [{"role": role, "content": content} for role, content in turns]

    first, second = whole("2+2?", "4"), whole("France?", "Paris")
    for number, prompt in enumerate((first[:1], first[:2], "Hi")):
        path = write(tmp_path / f"{number}.jsonl", [{"prompt": prompt, "chosen": first, "rejected": second}])
        for columns in ({}, {"prompt": None}):
            said = complaint(path, columns=columns)
            assert "the two conversations part at the user's turn: '2+2?' and 'France?'" in said
    behind = {"prompt": first[:1], "chosen": first[1:], "rejected": second[1:]}
    assert "the two conversations part at the user's turn" in complaint(write(tmp_path / "y.jsonl", [behind]))


@pytest.mark.parametrize("prompt", ["sky?", [{"role": "user", "content": "sky?"}]])
def test_a_question_behind_the_turn_of_a_system_stands_twice(tmp_path: Path, prompt: Any) -> None:
    system, asked = ({"role": role, "content": text} for role, text in (("system", "Be nice."), ("user", "sky?")))
    other = {**system, "content": "Be short."}
    pair = [[first, asked, *said] for first, said in zip((system, other), SAID, strict=True)]
    path = write(tmp_path / "x.jsonl", [{"prompt": prompt, "chosen": pair[0], "rejected": pair[1]}])
    said = complaint(path)
    assert (
        "ends with the user's turn 'sky?', and a response begins with the same turn once more behind a turn of" in said
    )
    assert "take its turns out of the responses" in said
    ruled = [[first, *said] for first, said in zip((system, other), SAID, strict=True)]
    path = write(tmp_path / "y.jsonl", [{"prompt": prompt, "chosen": ruled[0], "rejected": ruled[1]}])
    assert len(loaded(path).frame) == 1


def test_a_prompt_that_some_rows_lack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("prompt,chosen,rejected\nWhat is 2+2?,4,5\n,Paris,London\n  ,x,y\n")
    said = complaint(tmp_path / "x.csv")
    assert "row 2: the prompt is empty, and those of other rows are not" in said
    assert "row 3" in said
    assert "fix: write the missing prompt, or remove the row" in said
    dropped = loaded(tmp_path / "x.csv", on_bad_row="drop").counts
    assert dropped == {"read": 3, "dropped.empty_prompt": 2, "rows": 1}
    (tmp_path / "y.csv").write_text("prompt,chosen,rejected\n,Paris,London\n  ,x,y\n")
    assert len(loaded(tmp_path / "y.csv").frame) == 2


@pytest.mark.parametrize(
    "keys",
    [
        {"columns": {"prompt": "chosen"}},
        {"columns": {"chosen": "rejected"}},
        {"answers": ["x", "x"], "columns": {"p": "p"}},
        {"answers": ["x", "y"], "columns": {"p": "p", "prompt": "y"}},
    ],
)
def test_a_column_that_is_named_as_two_texts(keys: dict[str, Any]) -> None:
    """An answer was read as its own prompt."""
    with pytest.raises(ValidationError, match="is named twice, as"):
        Source(source="x", objective="o", **keys)


def test_columns_that_change_places_are_two() -> None:
    Source(source="x", objective="o", columns={"chosen": "rejected", "rejected": "chosen", "id": "prompt"})


def test_an_annotator_who_stands_twice_has_one_vote() -> None:
    with pytest.raises(ValidationError, match="its vote would count twice"):
        Label(column=["ann", "bo", "ann"], first=1, second=2)


@pytest.mark.parametrize("cell", [True, np.bool_(True), "0_1", "1_0"])
def test_what_is_no_probability(cell: object) -> None:
    assert isinstance(probability(cell), MissingResponse)


def test_files_of_which_one_has_ids_or_groups(tmp_path: Path) -> None:
    """A prompt with a group in one file and none in the other was in two groups, and nobody saw it."""
    pairs = [{"prompt": f"q{n}?", "chosen": f"a{n}", "rejected": f"b{n}"} for n in range(4)]
    write(tmp_path / "one.jsonl", [{**row, "id": f"i{n}", "group": "g"} for n, row in enumerate(pairs[:2])])
    write(tmp_path / "two.jsonl", pairs[2:])
    names = [str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl")]
    ids, groups = load(Source(source=names, objective="o")).notes
    assert ids.startswith("two.jsonl: no column 'id', and one.jsonl has one; ids are hashes of the content in all")
    assert groups.startswith("two.jsonl: no column 'group', and one.jsonl has one; its rows are grouped by prompt")
    assert load(Source(source=names, objective="o", columns={"id": None, "group": None})).notes == []
