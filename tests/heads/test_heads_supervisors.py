"""Several supervisors: every combination by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.labels.supervisors import COMBINATIONS, combined, dawid_skene, disagreement, reads_accuracy

P = np.array([[0.9, 0.5, 0.2, 0.6], [0.6, 0.2, 0.8, 0.6], [0.3, 0.8, 0.5, 0.9]])
BY_HAND = {
    "mean": [0.6, 0.5, 0.5, 0.7],
    "vote": [2 / 3, 0.5, 0.5, 1.0],
    "median": [0.6, 0.5, 0.5, 0.6],
    # odds of the first pair: 9 · 3/2 · 3/7 = 5.7857…, of the last 3/2 · 3/2 · 9 = 20.25; their third roots
    "log_odds": [
        (81 / 14) ** (1 / 3) / (1 + (81 / 14) ** (1 / 3)),
        0.5,
        0.5,
        20.25 ** (1 / 3) / (1 + 20.25 ** (1 / 3)),
    ],
    # weights .8, .6, .6 over 2: (.72 + .36 + .18) / 2, …
    "accuracy": [0.63, (0.4 + 0.12 + 0.48) / 2, (0.16 + 0.48 + 0.3) / 2, (0.48 + 0.36 + 0.54) / 2],
    # surest by .4; .2 and .8 are equally sure; again; .9
    "max_confidence": [0.9, 0.5, 0.5, 0.9],
}


def test_all_have_arithmetic_here() -> None:
    assert set(COMBINATIONS.builtin) == {*BY_HAND, "dawid_skene"}


@pytest.mark.parametrize("name", list(BY_HAND))
def test_combination_by_hand(name: str) -> None:
    shares = np.array([0.8, 0.6, 0.6])
    assert combined(name, P, shares).tolist() == pytest.approx(BY_HAND[name])
    order, people = [2, 0, 3, 1], [1, 2, 0]
    shuffled = combined(name, P[people][:, order], shares[people])
    assert shuffled.tolist() == pytest.approx([BY_HAND[name][place] for place in order])
    assert reads_accuracy(name) == (name == "accuracy")


def test_spread_by_hand() -> None:
    assert disagreement(P)[[0, 3]].tolist() == pytest.approx([np.sqrt(0.06), np.sqrt(0.02)])
    assert disagreement(np.array([[0.0], [1.0]])).tolist() == [0.5]


def test_no_weights_where_all_are_wrong() -> None:
    assert combined("accuracy", P, np.zeros(3)).tolist() == pytest.approx(BY_HAND["mean"])


def test_dawid_skene_first_rounds_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes aab, abb, aaa over two pairs each: one round of EM, written out."""
    votes = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1]])[:, [0, 0, 1, 1, 2, 2]]
    monkeypatch.setattr("w2s_pref.labels.supervisors.ROUNDS", 1)
    # majority: 2/3, 1/3, 1. Weights of a: 2 · (2/3, 1/3, 1) = 4/3, 2/3, 2, of b 2/3, 4/3, 0; prior 4 / 6
    a, b, prior = np.array([4 / 3, 2 / 3, 2]), np.array([2 / 3, 4 / 3, 1e-300]), 2 / 3
    # says a where a is better: 1, (4/3 + 2) / 4 = 5/6, 2 / 4; where b is better: 1, 2/3 / 2 = 1/3, 0
    first = np.array([1, 5 / 6, 1 / 2]), np.array([1, 1 / 3, 0])
    likely = [
        prior * first[0][1] * (1 - first[0][2]) / ((1 - prior) * first[1][1] * (1 - first[1][2])),
        prior * (1 - first[0][1]) * (1 - first[0][2]) / ((1 - prior) * (1 - first[1][1]) * (1 - first[1][2])),
    ]
    assert a.sum() / (a.sum() + b.sum()) == pytest.approx(prior)
    found = dawid_skene(np.where(votes, 0.9, 0.2))
    # odds 2.5 and 1/4; nobody who thinks b better says aaa, so there it is certain
    assert likely == pytest.approx([2.5, 0.25])
    assert found.tolist() == pytest.approx([2.5 / 3.5, 2.5 / 3.5, 0.2, 0.2, 1, 1], abs=1e-8)


def test_dawid_skene_at_the_end_is_em_vote_by_vote() -> None:
    """Dawid and Skene's equations 2.3 to 2.5 written out, one vote after the other, until nothing moves."""
    draw = np.random.default_rng(1)
    truth = draw.random(40) < 0.6
    votes = np.where(draw.random((4, 40)) < 0.85, truth, ~truth)
    q = [sum(votes[:, item]) / 4 for item in range(40)]
    for _ in range(200):
        prior, says = sum(q) / 40, []
        for voter in votes:
            for_a = sum(share for share, vote in zip(q, voter, strict=True) if vote) / sum(q)
            for_b = sum(1 - share for share, vote in zip(q, voter, strict=True) if vote) / (40 - sum(q))
            says.append((for_a, for_b))
        for item in range(40):
            a, b = prior, 1 - prior
            for (alpha, beta), vote in zip(says, votes[:, item], strict=True):
                a, b = a * (alpha if vote else 1 - alpha), b * (beta if vote else 1 - beta)
            q[item] = a / (a + b)
    assert dawid_skene(np.where(votes, 0.8, 0.3)).tolist() == pytest.approx(q, abs=1e-7)
    assert max(abs(share - vote) for share, vote in zip(q, votes.mean(axis=0), strict=True)) > 0.1  # not the vote


def test_dawid_skene_finds_the_supervisor_who_is_wrong() -> None:
    """Four are right four times in five, three others at random: better than the vote, whatever the order of pairs."""
    draw = np.random.default_rng(0)
    truth = draw.random(600) < 0.5
    right = draw.random((7, 600)) < np.array([0.8] * 4 + [0.5] * 3)[:, None]
    p = np.where(right == truth, 0.7, 0.3)
    found = dawid_skene(p)
    assert ((found > 0.5) == truth).mean() > ((combined("vote", p) > 0.5) == truth).mean()
    order = draw.permutation(600)
    assert np.array_equal(dawid_skene(p[:, order]), found[order])
    assert np.allclose(dawid_skene(np.full((3, 4), 0.5)), 0.5)


def test_bad_combinations_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def twice(p):\n    return 2 * p[0]\ndef truth(labels):\n    return labels\n")
    with pytest.raises(W2SError, match=r"returned 1.8 \(number 0\), which is outside of 0 to 1"):
        combined("mine.py:twice", P, base=tmp_path)
    with pytest.raises(W2SError, match="asks for 'labels', which is not offered"):
        reads_accuracy("mine.py:truth", tmp_path)
    with pytest.raises(W2SError, match="unknown combination 'meen'; did you mean 'mean'"):
        combined("meen", P)
