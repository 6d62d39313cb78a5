"""Worked arithmetic for every loss."""

from __future__ import annotations

import math

import pytest
import torch

from w2s_pref.losses import objectives

# Parity values of the generalization spec: two-class logits and labels, so margin = second minus first logit.
LOGITS = torch.tensor([[1.2, -0.3], [0.1, 0.4], [-0.7, 0.9], [0.5, 0.2], [2.0, -1.0], [-0.2, -0.1]]).double()
LABELS = torch.tensor([0.10, 0.65, 0.80, 0.45, 0.30, 0.55], dtype=torch.float64)
MARGIN = LOGITS[:, 1] - LOGITS[:, 0]
ONES = torch.ones(6, dtype=torch.float64)


def test_soft_bce_parity() -> None:
    assert objectives.soft_bce(MARGIN, LABELS).mean().item() == pytest.approx(0.640335, abs=5e-7)


def test_soft_bce_by_hand() -> None:
    loss = objectives.soft_bce(torch.tensor([0.0, math.log(3.0)]), torch.tensor([0.3, 0.25]))
    # margin 0: log 2 whatever the label; margin log 3: sigmoid is 3/4, so .25·log(4/3) + .75·log 4
    assert loss.tolist() == pytest.approx([math.log(2), 0.25 * math.log(4 / 3) + 0.75 * math.log(4)], abs=1e-6)


def test_soft_bce_with_certain_labels_is_logsigmoid() -> None:
    margin = torch.linspace(-80, 80, 33)
    assert torch.equal(objectives.soft_bce(margin, torch.ones(33)), -torch.nn.functional.logsigmoid(margin))
    assert torch.isfinite(objectives.soft_bce(margin * 1e3, torch.full((33,), 0.5))).all()


def test_soft_bce_does_not_care_which_answer_is_first() -> None:
    assert torch.allclose(objectives.soft_bce(MARGIN, LABELS), objectives.soft_bce(-MARGIN, 1 - LABELS))


def test_soft_bce_with_a_target_margin_by_hand() -> None:
    loss = objectives.soft_bce(torch.tensor([3.0, -1.0]), torch.tensor([1.0, 0.25]), gamma=1.0)
    # the preferred answer should lead by 1: a margin of 3 is 2 too many, one of -1 is 2 short for a and enough for b
    first, second = math.log1p(math.exp(-2)), 0.25 * math.log1p(math.exp(2)) + 0.75 * math.log(2)
    assert loss.tolist() == pytest.approx([first, second], abs=1e-6)


def test_squared_by_hand() -> None:
    # beta .25: the margin should be 2 where a is preferred, -2 where b is
    loss = objectives.squared(torch.tensor([2.0, 2.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.7, 0.25]), 0.25)
    assert loss.tolist() == pytest.approx([0, 16, 4, 0.25 * 1 + 0.75 * 9])


def test_mean_nll_by_hand() -> None:
    assert objectives.mean_nll(torch.tensor([-6.0, 0.0]), torch.tensor([4, 0])).tolist() == [1.5, 0]


def test_wrong_by_hand() -> None:
    """Against the ground truth is wrong; a tie is not, and neither is a pair without ground truth."""
    margin = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0, 5.0])
    assert objectives.wrong(margin, torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0, 0.0])).tolist() == [0, 1, 1, 0, 0, 0]


def test_explicit_conflict_by_hand() -> None:
    margin = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0])
    sign = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    reversed_loss = math.log1p(math.exp(-1.0))  # -log sigmoid(-(-1)): the student is wrong by a margin of 1
    expected = [0.0, reversed_loss, reversed_loss, 0.0, 0.0]
    assert objectives.explicit_conflict(margin, sign).tolist() == pytest.approx(expected, abs=1e-6)


def test_explicit_conflict_pays_for_going_further_wrong() -> None:
    margin = torch.tensor([-1.0, 2.0], requires_grad=True)
    objectives.explicit_conflict(margin, torch.ones(2)).sum().backward()
    assert margin.grad is not None
    assert margin.grad[0] == pytest.approx(1 / (1 + math.exp(1.0)))  # descent makes the margin more negative
    assert margin.grad[1] == 0


def test_hardened_by_rank() -> None:
    assert objectives.hard_predictions(MARGIN, LABELS, ONES, "half").tolist() == [0, 1, 1, 0, 0, 1]
    # mean label .475 of 6 rows: round(2.85) = 3 as well; of labels .1: round(.6) = 1
    assert objectives.hard_predictions(MARGIN, LABELS * 0 + 0.1, ONES, "mean").tolist() == [0, 0, 1, 0, 0, 0]


def test_hardened_is_exact_under_ties_and_skips_empty_rows() -> None:
    flat = torch.zeros(6)
    assert objectives.hard_predictions(flat, flat, torch.ones(6), "half").sum() == 3
    weight = torch.tensor([0.0, 1, 1, 1, 1, 0])
    hardened = objectives.hard_predictions(torch.tensor([9.0, 1, 2, 3, 4, 9]), flat, weight, "half")
    assert hardened.tolist() == [0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize(("a_max", "expected"), [(0.5, 0.502418), (0.75, 0.433460)])
def test_aux_confidence_parity(a_max: float, expected: float) -> None:
    weight = objectives.confidence_weight(1.0, a_max, 0.2)
    target = objectives.aux_confidence_target(LABELS, objectives.hard_predictions(MARGIN, LABELS, ONES, "half"), weight)
    assert objectives.soft_bce(MARGIN, target).mean().item() == pytest.approx(expected, abs=5e-7)


def test_confidence_weight_warms_up() -> None:
    assert [objectives.confidence_weight(s, 0.5, 0.2) for s in (0, 0.1, 0.2, 0.9)] == pytest.approx([0, 0.25, 0.5, 0.5])
    assert objectives.confidence_weight(0.0, 0.5, 0.0) == 0.5
