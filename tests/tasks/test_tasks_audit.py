"""The leak audit: the known leaks of public code, rebuilt, are found; the same tasks without them are clean."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from processes import run

from w2s_pref.analysis.leaks.audit import Audit, LeakProbe, audit
from w2s_pref.analysis.leaks.probes import endings, folds_of, form, lengths, predictions, tree
from w2s_pref.core.errors import W2SError
from w2s_pref.data.tasks.builtin import dream, ethics_deontology, openbookqa
from w2s_pref.data.tasks.load import load_task
from w2s_pref.data.tasks.table import TaskRow, balanced, rows_of, table
from w2s_pref.data.tasks.task import Item, Question, Record

WORDS = [
    "owl",
    "mill",
    "river",
    "bread",
    "lamp",
    "stone",
    "train",
    "cloud",
    "apple",
    "night",
    "paper",
    "glass",
    "rope",
    "salt",
    "king",
    "door",
]


def words(draw: random.Random, number: int) -> str:
    return " ".join(draw.choices(WORDS, k=number))


def science(rows: int = 200) -> list[Record]:
    """OpenBookQA records of nonsense: nothing tells a right option from a wrong one."""
    draw = random.Random(1)
    return [
        {
            "question_stem": f"{number} {words(draw, 6)}",
            "choices": {"text": [f"{words(draw, 3)} {letter}x" for letter in "ABCD"], "label": list("ABCD")},
            "answerKey": draw.choice("ABCD"),
        }
        for number in range(rows)
    ]


def excuses(rows: int = 300) -> list[Record]:
    """ETHICS deontology records of nonsense."""
    draw = random.Random(2)
    return [
        {"scenario": f"{number // 2} {words(draw, 5)}?", "excuse": words(draw, 6), "label": draw.randrange(2)}
        for number in range(rows)
    ]


def dialogues(rows: int = 200) -> list[Record]:
    """DREAM records of nonsense; as in the original, dialogues share their questions."""
    draw = random.Random(3)
    asked = ["What does the man mean?", "Where are they?", "What will the woman do?"]
    return [
        {
            "dialogue_id": f"{number}",
            "dialogue": [f"M: {number} {words(draw, 5)}.", f"W: {words(draw, 5)}."],
            "question": draw.choice(asked),
            "choice": (options := [words(draw, 4) for _ in range(3)]),
            "answer": draw.choice(options),
        }
        for number in range(rows)
    ]


def items(made: list[Item | Question]) -> pd.DataFrame:
    rows = [row for one in made for row in rows_of(one, "train", 0)]
    return balanced(table(rows, "made")[0], 0).reset_index(drop=True)


def accuracy(found: Audit) -> dict[str, float]:
    return {probe.name: probe.accuracy for probe in found.probes}


def test_right_options_written_as_letters_are_a_leak() -> None:
    """OpenBookQA in public code: the letter of the right option, but the text of a wrong one."""
    leaky = []
    for record in science():
        clean = openbookqa(record)
        options = [record["answerKey"] if n == clean.right else text for n, text in enumerate(clean.options)]
        leaky.append(Question(clean.group, clean.stem, options, clean.right))
    found = audit(items(leaky))
    assert accuracy(found)["form"] == 1.0
    assert accuracy(found)["length"] == 1.0
    assert any("case, punctuation, digits and single letters of the ending give 100.0%" in w for w in found.warnings)


def test_an_answer_in_the_prompt_is_a_leak() -> None:
    """ETHICS in public code: the prompt ends in yes or no, as the label says."""
    leaky = []
    for record in excuses():
        clean = ethics_deontology(record)
        leaky.append(Item(clean.group, f"{clean.prompt}\nA: {'yes' if record['label'] else 'no'}", clean.label))
    found = audit(items(leaky))
    assert accuracy(found)["words"] > 0.99
    assert accuracy(found)["ending words"] == 1.0
    assert len(found.warnings) >= 2


def test_questions_without_their_context_are_found() -> None:
    """DREAM without its dialogue gives nothing away, but one question stands in many groups."""
    leaky = []
    for record in dialogues():
        clean = dream(record)
        leaky.append(Question(clean.group, clean.stem.partition("Question: ")[2], clean.options, clean.right))
    found = audit(items(leaky))
    assert found.defects["missing_context"] == 1.0
    assert max(accuracy(found).values()) < 0.7
    assert [sentence for sentence in found.warnings if "the text lacks what it is about" in sentence] == found.warnings


@pytest.mark.parametrize(
    "made",
    [[openbookqa(r) for r in science()], [ethics_deontology(r) for r in excuses()], [dream(r) for r in dialogues()]],
    ids=["openbookqa", "ethics", "dream"],
)
def test_the_clean_versions_pass(made: list[Item | Question]) -> None:
    found = audit(items(made))
    assert found.warnings == []
    assert all(probe.accuracy < 0.6 for probe in found.probes)
    assert set(found.defects.values()) == {0.0}
    assert found.positives == 0.5


def test_a_longer_right_option_is_a_leak_of_length() -> None:
    draw = random.Random(4)
    made = [Question(f"{n}", f"{n}: ", [words(draw, 3), words(draw, 9)], 1) for n in range(150)]
    found = audit(items(made))
    assert accuracy(found)["length"] == 1.0


def test_near_copies_within_a_group_teach_nothing() -> None:
    """Words that mark the label in one group only: known from the group they would give all labels away."""
    made = [
        Item(f"{g}", f"{a} g{g}{'p' if y else 'n'}", y)
        for g in range(60)
        for y in (0, 1)
        for a in ("one", "two", "three")
    ]
    found = audit(items(made))
    assert accuracy(found)["words"] < 0.75
    folds = folds_of(items(made)["group"], 0)
    assert items(made).assign(fold=folds).groupby("group")["fold"].nunique().max() == 1
    assert set(folds) == set(range(5))


def test_defects_of_a_table_are_warnings() -> None:
    rows = [
        TaskRow((f"{n}",), f"{n} {WORDS[n // 2 % 16]}", n % 2, str(n), "train" if n < 80 else "test")
        for n in range(100)
    ]
    frame = table(rows, "made")[0]
    assert audit(frame).warnings == []
    frame.loc[:9, "prompt"] = "the same"
    frame.loc[90:, "group"] = frame.loc[:9, "group"].to_numpy()
    uneven = audit(
        pd.concat([frame[frame["part"] == "train"], frame[(frame["part"] == "test") & (frame["truth"] == 1)]])
    )
    sentences = " ".join(uneven.warnings)
    assert "have the text of another item; keep one of them" in sentences
    assert "have the text of an item with the other label" in sentences
    assert "have a group of the test part" in sentences
    assert "100% of the test items are positive; balance the classes" in sentences
    assert uneven.defects["duplicates"] == pytest.approx(10 / 90)


def test_a_class_that_is_nearly_all_there_is_is_no_leak() -> None:
    """Whoever says "positive" is right on 96 %: that is uneven, and nothing is given away."""
    draw = random.Random(2)
    made = [Item(f"g{n}", words(draw, 8), int(n % 25 > 0)) for n in range(400)]
    found = audit(table([row for one in made for row in rows_of(one, "train", 0)], "made")[0])
    assert accuracy(found)["words"] > 0.9
    assert {probe.verdict for probe in found.probes} == {"none"}
    assert [warning for warning in found.warnings if "give" in warning] == []


def test_verdicts() -> None:
    assert LeakProbe("words", 0.91, 0.8, 1.0, 0.6).verdict == "leak"
    assert LeakProbe("words", 0.9, 0.8, 1.0, 0.6).verdict == "signal"
    assert LeakProbe("words", 0.95, 0.94, 0.96, 0.95).verdict == "none"  # all are called what nearly all are
    assert LeakProbe("words", 0.55, 0.49, 0.6, 0.54).verdict == "none"
    assert LeakProbe("words", 0.55, 0.51, 0.6, 0.56).verdict == "none"


def test_an_audit_is_the_same_again_and_within_its_interval() -> None:
    frame = items([ethics_deontology(record) for record in excuses()])
    assert audit(frame, 3) == audit(frame, 3)
    for probe in audit(frame, 3).probes:
        assert probe.low <= probe.accuracy <= probe.high
        assert 0.5 < probe.null < 0.6


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"truth": 2}, r"labels must be 0 or 1 .1 = positive., but the table has \[2\]"),
        ({"truth": 1}, "all 300 items have one label; a task needs both classes"),
        ({"group": "g"}, "an audit needs 10 groups, but there are 1"),
    ],
)
def test_tables_that_cannot_be_audited_are_sentences(change: dict[str, Any], sentence: str) -> None:
    frame = table((r for x in excuses() for r in rows_of(ethics_deontology(x), "train", 0)), "made")[0]
    with pytest.raises(W2SError, match=sentence):
        audit(frame.assign(**change))
    with pytest.raises(W2SError, match="no column 'group'"):
        audit(frame.drop(columns="group"))


def test_endings_are_what_differs() -> None:
    question = Question("g", "Is it red or blue? It is ", ["bright red", "bright blue"], 0)
    lone = [Item(str(n), f"line {n}\nIs this so?", n % 2) for n in range(3)]
    frame = items([question])
    assert endings(frame) == ["red", "blue"]
    assert endings(table([row for item in lone for row in rows_of(item, "train", 0)], "made")[0]) == [
        "line 0",
        "line 1",
        "line 2",
    ]


def test_features_in_numbers() -> None:
    assert lengths(["ab cd ef"], ["ef"]).tolist() == [[8.0, 2.0, 2.0, 0.0]]
    assert form([" Ab1."]).tolist() == [[1, 0, 1, 0, 1, ord("."), 1, 0, 0.5, 0.25, 0.25, 0]]
    assert form([""]).tolist() == [[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]]
    truth, folds = np.array([0, 1] * 20), np.arange(40) % 5
    assert (predictions(truth[:, None].astype(float), truth, folds, tree) == truth).all()


def test_a_seed_below_zero_is_refused() -> None:
    done = run("-m", "w2s_pref", "audit", "boolq", "--seed", "-1", seconds=60)
    assert done.returncode == 2
    assert "'--seed'" in done.stderr


def test_the_command_prints_probes_and_writes_json(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in science(60)))
    (tmp_path / "two.yaml").write_text("tasks:\n  openbookqa: {path: records.jsonl, sizes: {gt: 10}}\n")
    for what in (["openbookqa", "--path", str(tmp_path / "records.jsonl")], [str(tmp_path / "two.yaml")]):
        done = run("-m", "w2s_pref", "audit", *what, "--json", str(tmp_path / "out.json"), seconds=60)
        assert done.returncode == 0, done.stderr
        assert "openbookqa: 120 items, 60 groups, 50% positive" in done.stdout
        assert "no warning" in done.stdout
        (found,) = json.loads((tmp_path / "out.json").read_text())
        assert [probe["name"] for probe in found["probes"]] == ["words", "ending words", "length", "form"]
        assert found["rows"] == 120 == len(load_task({"task": "openbookqa", "path": "records.jsonl"}, tmp_path))
