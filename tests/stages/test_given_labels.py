"""Weak labels of one's own: a file or a function in the weak model's place."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.data.sources import Source, load
from w2s_pref.stages.given import GivenScores, check_covered, covers, read_labels
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.run import open_recipe

PAIRS = pd.DataFrame(
    {"id": ["1", "2"], "group": "g", "form": "text", "prompt": "p", "a": ["x", "xyz"], "b": "y", "truth": [1, 0]}
)
RECIPE = """name: given
data: {target: {source: pairs.jsonl, objective: good}, splits: {gt: 20, w2s: 20, test: 20}, unknown_tokens: warn}
models: {strong: {path: ladder/xs}}
arms: {direct: [labels:judge.csv, strong]}
conflict: {settings: [none]}
"""


def judge(folder: Path, text: str) -> str:
    (folder / "judge.csv").write_text(text)
    return "labels:judge.csv"


def log_odds(scores: GivenScores, folder: Path) -> list[float]:
    """What the stage writes, first score minus second."""
    scores.build(SimpleNamespace(), folder)
    table = pd.read_parquet(folder / "table.parquet")
    return list((table["score_a"] - table["score_b"]).tolist())


def test_p_is_that_of_the_answer_the_file_calls_chosen(tmp_path: Path) -> None:
    labels = read_labels(judge(tmp_path, "id,p\n1,0.8\n2,0.8\n3,0\n"), tmp_path)
    scores = GivenScores("judge", Rows("w2s", PAIRS), "labels:judge.csv", tmp_path, labels)
    np.testing.assert_allclose(log_odds(scores, tmp_path), [np.log(4), -np.log(4)])
    first = PAIRS.assign(a_first=[0, 0])
    swapped = GivenScores("judge", Rows("w2s", first), "labels:judge.csv", tmp_path, labels)
    np.testing.assert_allclose(log_odds(swapped, tmp_path), [-np.log(4), -np.log(4)])
    assert scores.key != swapped.key
    sure = read_labels(judge(tmp_path, "id,p\n1,1\n2,0\n"), tmp_path)
    assert np.isfinite(log_odds(GivenScores("judge", Rows("w2s", PAIRS), "x", tmp_path, sure), tmp_path)).all()


def of_votes(folder: Path, *chosen: str) -> Rows:
    """The one pair that votes are on, each for the answer it names."""
    other = {"GOOD": "BAD", "BAD": "GOOD"}
    votes = [{"id": 1, "prompt": "q", "chosen": name, "rejected": other[name]} for name in chosen]
    (folder / "votes.jsonl").write_text("\n".join(map(json.dumps, votes)))
    source = Source(source=str(folder / "votes.jsonl"), objective="good", repeated="votes")
    return Rows("w2s", load(source).frame)


@pytest.mark.parametrize("votes", [("BAD", "GOOD", "GOOD"), ("GOOD", "GOOD", "BAD"), ("GOOD", "GOOD")])
def test_p_over_votes_is_that_of_the_answer_they_prefer(tmp_path: Path, votes: tuple[str, ...]) -> None:
    """The first vote in the file may have preferred the other answer: nobody's p is turned round by it."""
    rows = of_votes(tmp_path, *votes)
    labels = read_labels(judge(tmp_path, "id,p\n1,0.8\n"), tmp_path)
    check_covered("labels:judge.csv", labels, rows)
    scores = GivenScores("judge", rows, "labels:judge.csv", tmp_path, labels)
    sign = 1 if rows.frame["a"].iloc[0] == "GOOD" else -1
    np.testing.assert_allclose(log_odds(scores, tmp_path), [sign * np.log(4)])


def test_p_over_tied_votes_means_neither_answer(tmp_path: Path) -> None:
    rows = of_votes(tmp_path, "BAD", "GOOD")
    labels = read_labels(judge(tmp_path, "id,p\n1,0.8\n"), tmp_path)
    with pytest.raises(W2SError, match=r"1 pairs of w2s whose votes are tied, such as id '1'.*write 0\.5 there"):
        check_covered("labels:judge.csv", labels, rows)
    even = read_labels(judge(tmp_path, "id,p\n1,0.5\n"), tmp_path)
    check_covered("labels:judge.csv", even, rows)
    assert log_odds(GivenScores("judge", rows, "x", tmp_path, even), tmp_path) == [0]


def test_the_key_holds_the_labels_of_these_pairs_only(tmp_path: Path) -> None:
    keys = [
        GivenScores("judge", Rows("w2s", PAIRS), "x", tmp_path, read_labels(judge(tmp_path, text), tmp_path)).key
        for text in ("id,p\n1,0.8\n2,0.8\n", "p,id\n0.5,7\n0.8,2\n0.8,1\n", "id,p\n1,0.8\n2,0.7\n")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_function_gives_them(tmp_path: Path) -> None:
    code = "def score(pairs):\n    return [1 / (1 + len(a)) for a in pairs['a']]\n"
    (tmp_path / "judge.py").write_text(code)
    assert read_labels("labels:judge.py:score", tmp_path) is None
    scores = GivenScores("judge", Rows("w2s", PAIRS), "labels:judge.py:score", tmp_path, None)
    np.testing.assert_allclose(log_odds(scores, tmp_path), [0.0, np.log(0.25 / 0.75)], atol=1e-12)
    (tmp_path / "bad.py").write_text("def score(answers):\n    return 1\n")
    with pytest.raises(W2SError, match="asks for 'answers', which is not offered"):
        read_labels("labels:bad.py:score", tmp_path)


def test_a_function_sees_pairs_in_an_order_that_no_split_decides(tmp_path: Path) -> None:
    """Keys hold the pairs in any order, so what a function draws from a seed must not follow another study's order."""
    (tmp_path / "judge.py").write_text("def score(pairs):\n    return [0.9, 0.2]\n")
    turned = PAIRS.iloc[::-1].reset_index(drop=True)
    first, second = (
        GivenScores("judge", Rows("w2s", frame), "labels:judge.py:score", tmp_path, None) for frame in (PAIRS, turned)
    )
    assert first.key == second.key
    np.testing.assert_allclose(log_odds(first, tmp_path), [np.log(9), np.log(0.25)])
    np.testing.assert_allclose(log_odds(second, tmp_path), [np.log(0.25), np.log(9)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,q\n1,0.5\n", r"no column 'p' \(columns: id, q\); labels have id and p, a row a pair"),
        ("id,p\n1,0.5\n2,1.5\n", "row 2: p is '1.5', not a probability from 0 to 1"),
        ("id,p\n1,0.5\n1,0.5\n", "id '1' stands twice"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(W2SError, match=said):
        read_labels(judge(tmp_path, text), tmp_path)
    with pytest.raises(W2SError, match=r"arms: labels:none.csv: there is no file none.csv"):
        read_labels("labels:none.csv", tmp_path)


def test_labels_that_lack_pairs(tmp_path: Path) -> None:
    labels = read_labels(judge(tmp_path, "id,p\n1,0.5\n"), tmp_path)
    assert not covers(labels, Rows("test", PAIRS))
    assert covers(labels, Rows("test", PAIRS.head(1)))
    with pytest.raises(W2SError, match=r"has no p for 1 of 2 pairs of test, such as id '2'; label every pair of w2s"):
        check_covered("labels:judge.csv", labels, Rows("test", PAIRS))


def test_a_chain_with_given_labels(tmp_path: Path) -> None:
    pairs = [{"id": n, "prompt": f"how {n}?", "chosen": f"use soap {n}", "rejected": f"use lye {n}"} for n in range(60)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (tmp_path / "r.yaml").write_text(RECIPE)
    judge(tmp_path, "id,p\n" + "".join(f"{n},0.7\n" for n in range(60)))
    opened = open_recipe(tmp_path / "r.yaml", [])
    weak = {key: stage.key for key, stage in opened.study.scores.items() if key[0] == "ceiling/labels:judge.csv"}
    assert sorted(weak) == [("ceiling/labels:judge.csv", seed, "test") for seed in (0, 1)]
    assert len(set(weak.values())) == 1
    assert {name for name, _ in opened.study.trained} == {"ceiling/strong", "direct/none"}
    with pytest.raises(W2SError, match=r"no model is called .labels:judge.csv."):
        open_recipe(tmp_path / "r.yaml", ["arms={direct: [strong, labels:judge.csv]}"])
    judge(tmp_path, "id,p\n" + "".join(f"{n},0.7\n" for n in range(30)))
    with pytest.raises(W2SError, match="has no p for"):
        open_recipe(tmp_path / "r.yaml", [])
