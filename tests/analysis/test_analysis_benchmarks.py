"""Scores of RewardBench and RewardBench 2 against arithmetic by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from w2s_pref.analysis.scores.benchmarks import SECTIONS, Board, accuracy_by, reward_bench, reward_bench_2
from w2s_pref.core.errors import W2SError


def pairs(**deltas: Sequence[float]) -> pd.DataFrame:
    """One pair a number, each its own prompt; ``_`` in a subset's name stands for a hyphen."""
    rows = [(name.replace("_", "-"), delta) for name, values in deltas.items() for delta in values]
    frame = pd.DataFrame(rows, columns=["subset", "delta"])
    return frame.assign(id=[f"p{n}" for n in range(len(frame))], group=[f"g{n}" for n in range(len(frame))])


def answers(*items: tuple[str, str, Sequence[float], Sequence[float]]) -> pd.DataFrame:
    """Rows of RewardBench 2 from (subset, item, scores of right answers, scores of wrong ones)."""
    rows = [
        (subset, item, item.rpartition(":")[2], right, wrong)
        for subset, item, rights, wrongs in items
        for right in rights
        for wrong in wrongs
    ]
    return pd.DataFrame(rows, columns=["subset", "item", "group", "score_chosen", "score_rejected"])


def value(board: Board, name: str, part: str | None = None) -> float:
    """The accuracy on one line."""
    [line] = [line for line in board.lines if line.name == name and part in {None, line.part}]
    assert line.accuracy.estimate is not None
    return line.accuracy.estimate


def test_sections_weigh_subsets_by_published_numbers_and_ties_are_wrong() -> None:
    board = reward_bench(
        pairs(math_prm=[1, 1, -1, 0], hep_cpp=[1], hep_go=[-1], mt_bench_hard=[1], llmbar_natural=[1, -1])
    )
    assert value(board, "math-prm") == 0.5  # the tie does not count
    # 984 of math-prm against 164 + 164 of two code subsets of accuracy 1 and 0
    assert value(board, "Reasoning") == pytest.approx((984 * 0.5 + 164 * 1 + 164 * 0) / (984 + 2 * 164))
    assert value(board, "Chat Hard") == pytest.approx((37 * 1 + 100 * 0.5) / 137)
    assert value(board, "RewardBench") == pytest.approx((656 / 1312 + 87 / 137) / 2)
    assert board.notes[0].startswith("Not the published score: 18 of 23 subsets are not here (alpacaeval-easy,")
    assert sum(len(subsets) for subsets in SECTIONS.values()) == 23


def test_code_and_mathematics_weigh_the_same() -> None:
    code = {f"hep_{name}": [1.0] for name in ("cpp", "go", "java", "js", "python", "rust")}
    assert value(reward_bench(pairs(math_prm=[-1.0], **code)), "Reasoning") == pytest.approx(0.5)


def test_prior_sets_count_half_and_other_subsets_not_at_all() -> None:
    whole = {subset: [1.0] for weights in SECTIONS.values() for subset in weights}
    frame = pairs(**whole)
    assert value(reward_bench(frame), "RewardBench") == 1
    assert reward_bench(frame).notes == []
    prior = pairs(shp=[-1.0], summarize=[-1.0, 1.0])
    board = reward_bench(pd.concat([frame, prior, pairs(mine=[1.0])]))
    assert value(board, "Prior Sets") == pytest.approx((0 + 0.5) / 2)  # subsets alike, whatever their sizes
    assert value(board, "RewardBench") == pytest.approx((4 * 1 + 0.5 * 0.25) / 4.5)
    assert board.notes == ["Not part of the score: mine."]
    with pytest.raises(W2SError, match="no row is of a subset of RewardBench"):
        reward_bench(pairs(mine=[1.0]))


def test_best_of_four_and_a_shared_best_score() -> None:
    board = reward_bench_2(
        answers(
            ("Math", "1", [2.0], [1.0, 0.0, -1.0]),
            ("Math", "2", [2.0], [2.0, 2.0, 1.0]),  # three share the best score: a third
            ("Math", "3", [2.0], [3.0, 2.0, 1.0]),
            ("Focus", "4", [2.0], [2.0, 1.0, 0.0]),
        )
    )
    assert value(board, "Math") == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert value(board, "Focus") == 0.5
    assert value(board, "RewardBench 2") == pytest.approx((4 / 9 + 1 / 2) / 2)
    assert "4 of 6 subsets are not here (Factuality, Precise IF, Safety, Ties)" in board.notes[0]


def test_the_score_of_ties() -> None:
    board = reward_bench_2(
        answers(
            # spread 1, margin 3; reference margin 2: right, closer, and closer on both
            ("Ties", "tied:1", [5.0, 4.5, 4.0], [1.0, 0.0]),
            ("Ties", "ref:1", [3.0], [1.0, 0.0]),
            # spread 2, margin 3; reference margin 1: right, closer, not on both
            ("Ties", "tied:2", [6.0, 4.0], [1.0]),
            ("Ties", "ref:2", [2.0], [1.0]),
            # a wrong answer above a right one; the reference is wrong too
            ("Ties", "tied:3", [2.0, 0.0], [1.0]),
            ("Ties", "ref:3", [0.0], [1.0]),
            # right answers level: the ratio is infinite, its tanh 1
            ("Ties", "tied:4", [2.0, 2.0], [1.0]),
            ("Ties", "ref:4", [2.0], [1.0]),
            # no reference prompt: counts for the tied accuracy alone
            ("Ties", "tied:5", [2.0, 1.0], [0.5]),
        )
    )
    margin = (math.tanh(2 / 1 - 1) + math.tanh(1 / 2 - 1) + math.tanh(-1 / 2 - 1) + 1) / 4
    assert value(board, "tied accuracy") == 4 / 5
    assert value(board, "reference accuracy") == 3 / 4
    assert value(board, "closer") == 3 / 4
    assert value(board, "closer on both") == 2 / 4
    assert value(board, "margin") == pytest.approx(margin)
    score = 0.3 * 4 / 5 + 0.3 * 3 / 4 + 0.2 * 3 / 4 + 0.2 * 2 / 4 + 0.01 * margin
    assert value(board, "Ties", "subset") == pytest.approx(score)
    assert value(board, "RewardBench 2") == pytest.approx(score)


def test_level_margins_count_nothing() -> None:
    """0 / 0: right answers level with each other and with the wrong one."""
    board = reward_bench_2(answers(("Ties", "tied:1", [1.0, 1.0], [1.0]), ("Ties", "ref:1", [1.0], [1.0])))
    assert value(board, "margin") == 0
    assert value(board, "Ties", "subset") == 0


def test_accuracy_by_a_column() -> None:
    frame = pairs(easy=[1, 1, 1, 0], hard=[-1, 1])
    board = accuracy_by(frame, "subset")
    assert [(line.name, line.rows, line.accuracy.estimate) for line in board.lines] == [
        ("easy", 4, 0.875),  # a tie is one half
        ("hard", 2, 0.5),
        ("all", 6, 0.75),
    ]
    interval = board.lines[0].accuracy.interval
    assert interval is not None
    assert 0 <= interval[0] < 0.875 <= interval[1] <= 1
    assert accuracy_by(frame.assign(subset=[None, *"abcde"]), "subset").lines[-2].name == "missing"
    with pytest.raises(W2SError, match="by 'source': no such column"):
        accuracy_by(frame, "source")
    many = pairs(easy=[1.0] * 201)
    with pytest.raises(W2SError, match="by 'id': 201 different values; name a column of at most 200"):
        accuracy_by(many, "id")
