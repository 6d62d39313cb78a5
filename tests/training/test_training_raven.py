"""Weights over supervisors that are learned with the student, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from w2s_pref.losses.objectives import soft_bce
from w2s_pref.training.raven import LEAST, SupervisorWeights


def numbers() -> dict[str, torch.Tensor]:
    return {
        "weight": torch.tensor([1.0, 1.0, 1.0, 0.0]),
        "supervisor0": torch.tensor([0.9, 0.2, 0.8, 0.9]),
        "supervisor1": torch.tensor([0.7, 0.4, 0.3, 0.9]),
    }


def moment(step: int, steps: int = 10) -> SimpleNamespace:
    return SimpleNamespace(global_step=step, max_steps=steps, epoch=None, stateful_callbacks={})


def test_label_and_easy_pairs() -> None:
    weights = SupervisorWeights(2, rate=0.1, easy=0.5)
    assert weights.label(numbers()).tolist() == pytest.approx([0.8, 0.3, 0.55, 0.9])
    assert weights.counted(numbers(), 0.49).tolist() == [1, 1, 0, 0]  # they disagree on the third; the fourth is a fill
    assert weights.counted(numbers(), 0.5).tolist() == [1, 1, 1, 0]


def test_a_step_by_hand() -> None:
    """d loss / d p is minus the margin, so the gradient of w_s is minus the mean of p_s times the margin."""
    weights, margin = SupervisorWeights(2, rate=0.1, easy=0.5), torch.tensor([1.0, -2.0, 0.5, 9.0])
    for part in (slice(0, 1), slice(1, 4)):  # whatever the micro-batches
        own = {name: column[part] for name, column in numbers().items()}
        (own["weight"] * soft_bce(margin[part], weights.label(own)) / 3).sum().backward()
    # p margin of the three pairs: .9 - .4 + .4 = .9 and .7 - .8 + .15 = .05; a third of it, negative
    assert weights.weights.grad.tolist() == pytest.approx([-0.3, -0.05 / 3])
    weights.on_step_end(None, moment(6), None)
    moved = [0.5 + 0.03, 0.5 + 0.005 / 3]
    assert weights.weights.tolist() == pytest.approx([each / sum(moved) for each in moved])
    assert weights.weights.grad is None


def test_weights_stay_on_the_simplex_and_start_anew() -> None:
    weights = SupervisorWeights(2, rate=100.0, easy=0.5)

    def step(number: int) -> None:
        weights.label(numbers())[0].backward()  # gradient .9 and .7: both fall below the least
        weights.on_step_end(None, moment(number), None)

    step(5)  # the first half sees equal weights
    assert weights.weights.tolist() == [0.5, 0.5]
    step(6)
    assert weights.weights.tolist() == [0.5, 0.5]  # both at the least, divided by their sum
    weights.rate = 0.6
    step(7)  # .5 - .54, moved to the least, and .5 - .42
    assert weights.weights.tolist() == pytest.approx([LEAST / (0.08 + LEAST), 0.08 / (0.08 + LEAST)], rel=1e-4)
    kept = moment(7)
    kept.stateful_callbacks = {"SupervisorWeights": weights.state()}
    resumed = SupervisorWeights(2, rate=1.0, easy=0.5)
    resumed.on_train_begin(None, kept, None)
    assert resumed.weights.tolist() == weights.weights.tolist()
    weights.on_epoch_end(None, moment(7), None)
    assert weights.epochs == [resumed.weights.tolist()]
    assert weights.weights.tolist() == [0.5, 0.5]
