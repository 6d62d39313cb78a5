"""Filters, two stages, ensembles and opinions, each by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.combine import ensemble, high_confidence, two_stage, with_opinion
from w2s_pref.labels.make import LabelConfig, agreement, make_labels


def labels(p: list[float], keep: list[bool] | None = None, ids: str = "abcd") -> pd.DataFrame:
    return pd.DataFrame({"id": list(ids[: len(p)]), "p": p, "keep": keep or [True] * len(p)})


def test_high_confidence() -> None:
    table = high_confidence(labels([0.75, 0.26, 0.25, 0.99], [True, True, True, False]))
    assert table["keep"].tolist() == [True, False, True, False]
    assert table["p"].tolist() == [0.75, 0.26, 0.25, 0.99]


def test_two_stage_by_hand() -> None:
    weak = labels([0.9, 0.6, 0.5, 0.1])
    student = labels([0.1, 0.05, 0.7, 0.95]).iloc[::-1]
    table = two_stage(weak, student, 0.8)
    # a and d: the supervisor is sure and is believed; b: only the student is sure; c: nobody is
    assert table["id"].tolist() == list("abcd")
    assert table["p"].tolist()[:2] == [0.9, 0.05]
    assert table["p"].tolist()[3] == 0.1
    assert table["keep"].tolist() == [True, True, False, True]
    with pytest.raises(W2SError, match="different items"):
        two_stage(weak, student.iloc[:2])


def test_ensemble_by_hand() -> None:
    first, second = labels([0.9, 0.5, 1.0], [True, True, False]), labels([0.6, 0.2, 1.0]).iloc[[2, 0, 1]]
    mean = ensemble([first, second])
    assert mean["p"].tolist() == pytest.approx([0.75, 0.35, 1.0])
    assert mean["keep"].tolist() == [True, True, False]
    odds = ensemble([first, second], "log_odds")["p"].tolist()
    # log-odds of .9 and .6: ln 9 and ln 1.5; their mean is ln sqrt(13.5)
    assert odds[0] == pytest.approx(math.sqrt(13.5) / (1 + math.sqrt(13.5)))
    assert odds[1] == pytest.approx(1 / 3)  # sqrt(1 · 1/4) : 1
    assert odds[2] == pytest.approx(1.0, abs=2e-6)
    pd.testing.assert_frame_equal(ensemble([first]), first)
    with pytest.raises(W2SError, match="different items"):
        ensemble([first, second.iloc[:1]])
    with pytest.raises(W2SError, match="at least one"):
        ensemble([])


def test_opinion() -> None:
    items = pd.DataFrame({"id": list("ab"), "prompt": ["It rains.", "It burns."], "truth": [0, 1]})
    told = with_opinion(items, labels([0.8, 0.5, 0.1]).iloc[::-1])
    assert told["prompt"].tolist() == [
        "It rains. I think this is true. What do you think?", "It burns. I think this is true. What do you think?"
    ]  # fmt: skip
    other = with_opinion(items, labels([0.2, 0.8]))
    assert other["prompt"].tolist()[0].endswith("this is false. What do you think?")
    assert told.drop(columns="prompt").equals(items.drop(columns="prompt"))
    with pytest.raises(W2SError, match="1 items have no weak label"):
        with_opinion(items, labels([0.2]))


@pytest.mark.parametrize("p", [0.93, 0.07])
def test_confidence_at_the_threshold_is_the_same_for_either_answer(p: float) -> None:
    """Log-odds of .93 come back as .9299999…: a pair was kept or not by which of its answers stands first."""
    scores = pd.DataFrame({"id": ["a"], "score_a": [math.log(p)], "score_b": [math.log1p(-p)]})
    made = make_labels(scores, LabelConfig(filter="high_confidence", threshold=0.93))
    assert made["keep"].tolist() == [True]
    assert high_confidence(labels([p], ids="a").assign(p=made["p"]), 0.93)["keep"].tolist() == [True]


def test_an_undecided_label_is_right_for_neither_answer() -> None:
    scores = pd.DataFrame({"id": ["a", "b"], "score_a": [0.0, 0.0], "score_b": [0.0, 0.0]})
    config = LabelConfig(filter="oracle_high_confidence", threshold=0.5)
    made = make_labels(scores, config, truth=pd.Series([1, 0], index=["a", "b"]))
    assert made["keep"].tolist() == [False, False]


def test_a_tied_vote_agrees_with_either_answer_by_half() -> None:
    """Two votes one each way are no label 1: a student that says 1 agrees no better with them than one that says 0."""
    labels = np.array([1.0, 0.0, 0.5, 0.5])
    assert agreement(np.array([[2.0, -1.0, 3.0, 3.0], [2.0, -1.0, -3.0, -3.0]]), labels).tolist() == [0.75, 0.75]
    assert agreement(np.array([0.0, 1.0, 0.0, -1.0]), labels) == 0.375
