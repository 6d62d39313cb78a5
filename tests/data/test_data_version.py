"""What data version 2 does otherwise: tests first, prompts that end at a word, conversations hold their prompt once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from data_helpers import complaint, rows, write
from test_data_split import many, table

from w2s_pref.core.errors import W2SError
from w2s_pref.data.chat import prompt_end
from w2s_pref.data.config import DataConfig, prepare
from w2s_pref.data.sources import Source, load
from w2s_pref.data.split import split

SIZES = {"gt": 40, "calibration": 10, "w2s": 16, "test": 20, "probe": 8, "conflict": 30, "conflict_test": 10}
MEASURED = ("test", "probe", "conflict_test")
USER, ANSWER = {"role": "user", "content": "sky?"}, {"role": "assistant", "content": "Blue."}
OTHER = {"role": "assistant", "content": "Green."}


def ids(version: Any, **sizes: int) -> dict[str, set[str]]:
    target, conflict = table(many(120)), table(many(80, 1, start=70), "other")
    frames = split(target, conflict, {**SIZES, **sizes}, seed=3, version=version).frames
    assert {name: len(frame) for name, frame in frames.items()} == {**SIZES, **sizes}
    assert sum(frame["group"].nunique() for frame in frames.values()) == len(
        {group for frame in frames.values() for group in frame["group"]}
    )
    return {name: set(frame["id"]) for name, frame in frames.items()}


@pytest.mark.parametrize("change", [{"w2s": 24}, {"gt": 50}, {"conflict": 20}, {"calibration": 2}])
def test_tests_stay_what_they_are_when_training_splits_change(change: dict[str, int]) -> None:
    before, after = ids(2), ids(2, **change)
    assert all(before[name] == after[name] for name in MEASURED)


def test_under_version_1_they_move() -> None:
    assert ids(1)["test"] != ids(1, w2s=24)["test"]


def test_a_probe_is_cut_from_gt_before_gt(tmp_path: Path) -> None:
    files = {}
    for name, start in (("gt", 0), ("w2s", 40), ("test", 60)):
        write(tmp_path / f"{name}.jsonl", [{**row, "prompt": f"{start + n}?"} for n, row in enumerate(rows(20))])
        files[name] = {"source": f"{name}.jsonl", "objective": "good"}

    def probe(version: int, gt: int) -> set[str]:
        config = {"version": version, "target": files, "splits": {"gt": gt, "probe": 5}}
        return set(prepare(DataConfig.model_validate(config), tmp_path).splits["probe"]["id"])

    assert probe(2, 10) == probe(2, 12)
    assert probe(1, 10) != probe(1, 12)


def test_the_worlds_pairs_stay_when_a_split_grows_a_little() -> None:
    def test(version: int, w2s: int) -> list[str]:
        source = {"source": "testbed", "objective": "harmless"}
        config = {"version": version, "target": source, "splits": {"gt": 16, "w2s": w2s, "test": 64}}
        return sorted(prepare(DataConfig.model_validate(config)).splits["test"]["prompt"])

    assert test(2, 16) == test(2, 24)
    assert test(1, 16) != test(1, 24)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("I am fine", "I am finished", "I am"),
        ("I am fine", "I am fine, thanks", "I am"),
        ("how? Well", "how? So", "how?"),
        ("fine", "finished", ""),
        ("Q: sky?\nA: blue", "Q: sky?\nA: black", "Q: sky?\nA:"),
        ("1 + 1 = 2", "1 + 1 = 3", "1 + 1 ="),
        ("say (a)", "say (b)", "say ("),
        ("\n\nHuman: hi\n\nAssistant: I am", "\n\nHuman: hi\n\nAssistant: I was", "\n\nHuman: hi\n\nAssistant:"),
        ("\n\nHuman: hi\n\nAssistant: so\n\nHuman: yes", "\n\nHuman: hi\n\nAssistant: so\n\nHuman: yet",
         "\n\nHuman: hi\n\nAssistant: so\n\nHuman:"),
    ],
)  # fmt: skip
def test_prompts_end_at_a_word_or_where_somebody_answers(chosen: str, rejected: str, prompt: str) -> None:
    assert chosen[: prompt_end(chosen, rejected)] == prompt
    assert rejected[: prompt_end(chosen, rejected)] == prompt


def chat(
    folder: Path, prompt: Any, chosen: Any, rejected: Any, version: Any = 2
) -> tuple[list[Any], list[Any], list[Any]]:
    """Prompt and both answers of one conversation, as they are read."""
    path = write(folder / "x.jsonl", [{"prompt": prompt, "chosen": chosen, "rejected": rejected}])
    (row,) = load(Source(source=str(path), objective="o"), version=version).frame.to_dict("records")
    better, other = (row["a"], row["b"]) if row["truth"] else (row["b"], row["a"])
    return json.loads(row["prompt"]), json.loads(better), json.loads(other)


def test_a_prompt_beside_whole_conversations_stands_once(tmp_path: Path) -> None:
    once = ([USER], [ANSWER], [OTHER])
    assert chat(tmp_path, [USER], [USER, ANSWER], [USER, OTHER]) == once
    assert chat(tmp_path, [USER], [ANSWER], [OTHER]) == once
    assert chat(tmp_path, "sky?", [USER, ANSWER], [USER, OTHER]) == once
    assert chat(tmp_path, "sky?", [ANSWER], [OTHER]) == once
    assert chat(tmp_path, [USER], [USER, ANSWER], [USER, OTHER], version=1)[1] == [USER, ANSWER]


def test_a_text_prompt_beside_answers_that_share_turns_is_kept(tmp_path: Path) -> None:
    more = {"role": "user", "content": "sure?"}
    found = chat(tmp_path, "sky?", [ANSWER, more, ANSWER], [ANSWER, more, OTHER])
    assert found == ([USER, ANSWER, more], [ANSWER], [OTHER])
    assert chat(tmp_path, "sky?", [ANSWER, more, ANSWER], [ANSWER, more, OTHER], version=1)[0] == [ANSWER, more]


def test_two_prompts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        W2SError, match=r"row 1: the prompt 'sea[?]' is not among the turns that both .*first: 'sky[?]'"
    ) as said:
        chat(tmp_path, "sea?", [USER, ANSWER], [USER, OTHER])
    assert "fix: give the prompt once" in str(said.value)
    other = {"role": "user", "content": "sea?"}
    with pytest.raises(
        W2SError, match=r"the prompt ends with the user's turn 'sea[?]', and a response begins with another"
    ):
        chat(tmp_path, [other], [USER, ANSWER], [USER, OTHER])
    assert "no assistant turn" in complaint(write(tmp_path / "y.jsonl", [{"chosen": [USER], "rejected": [other]}]))


@pytest.mark.parametrize("shared", [[], [{"role": "system", "content": "be brief"}], [USER, ANSWER]])
def test_answers_to_two_questions_are_no_pair(tmp_path: Path, shared: list[dict[str, str]]) -> None:
    """Without a prompt column: the prompt was empty, or what came before, and each answer began with its question."""
    one, two = ({"role": "user", "content": text} for text in ("how deep?", "how far?"))
    rows = [{"chosen": [*shared, one, ANSWER], "rejected": [*shared, two, OTHER]}]
    said = complaint(write(tmp_path / "x.jsonl", rows))
    assert "row 1: the two conversations part at the user's turn: 'how deep?' and 'how far?'" in said
    assert "fix: chosen and rejected are two answers to one question" in said
    systems = [{"role": "system", "content": text} for text in ("be brief", "be long")]
    rows = [{"chosen": [systems[0], one, ANSWER], "rejected": [systems[1], two, OTHER]}]
    assert "part at the user's turn" in complaint(write(tmp_path / "z.jsonl", rows))
    path = write(tmp_path / "y.jsonl", [{"chosen": [ANSWER, one, ANSWER], "rejected": [OTHER, two, ANSWER]}])
    assert len(load(Source(source=str(path), objective="o"), version=2).frame) == 1  # they part at an answer


@pytest.mark.parametrize("lead", [[{"role": "system", "content": "be brief"}], [USER, ANSWER]])
def test_one_question_behind_a_prompt_is_one_question(tmp_path: Path, lead: list[dict[str, str]]) -> None:
    """A prompt that ends before the user's turn, which both answers repeat; a blank more is no other question."""
    for blank in ("", " "):
        one, two = ({"role": "user", "content": f"how deep?{more}"} for more in ("", blank))
        assert chat(tmp_path, lead, [one, ANSWER], [two, OTHER]) == (lead, [one, ANSWER], [two, OTHER])
