"""What goes wrong in PPO ends with a sentence that says where, and how to mend it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ppo_helpers import prompts, run, share_of_e, start

from w2s_pref.core.errors import W2SError
from w2s_pref.training.ppo import fit
from w2s_pref.training.ppo.players import Players


def third_is_nan() -> Any:
    calls: list[int] = []

    def reward(frame: Any, answers: list[str]) -> np.ndarray:
        calls.append(1)
        values = share_of_e(frame, answers)
        values[2] = np.nan if len(calls) == 2 else values[2]
        return values

    return reward


@pytest.mark.parametrize(
    ("reward", "words"),
    [
        (third_is_nan(), r"'ppo, update 2': 1 of 8 rewards are not finite \(the first is nan, for answer number 2\)"),
        (
            lambda frame, answers: np.zeros(3),
            r"update 1': 8 answers need 8 numbers, but it returned shape \(3,\)",
        ),
        (lambda frame, answers: np.zeros((8, 1)), r"8 answers need 8 numbers, but it returned shape \(8, 1\)"),
    ],
)
def test_a_reward_that_is_none(tmp_path: Path, reward: Any, words: str) -> None:
    with pytest.raises(W2SError, match=words):
        run(tmp_path, reward)


def test_a_reward_function_s_own_error_is_its_own(tmp_path: Path) -> None:
    def broken(frame: Any, answers: list[str]) -> np.ndarray:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        run(tmp_path, broken)


def test_a_loss_that_is_no_number_names_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = Players.policy_logits, []

    def spoiled(self: Players, batch: Any) -> Any:
        calls.append(1)
        logits = original(self, batch)
        return logits * float("nan") if torch.is_grad_enabled() and len(calls) > 3 else logits

    monkeypatch.setattr(Players, "policy_logits", spoiled)
    # Call 1 measures; 2 and 3 are the first pass; 4 is the second pass's first minibatch.
    with pytest.raises(W2SError, match=r"diverged in update 1, pass 2, minibatch 1: policy loss nan.*learning_rate"):
        run(tmp_path)


def test_a_kl_below_zero_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probs that are not those the answers were sampled with, by one nat a token."""
    original = fit.measure

    def shifted(*args: Any) -> Any:
        found = original(*args)
        return {**found, "logprobs": found["logprobs"] - 1.0}

    monkeypatch.setattr(fit, "measure", shifted)
    with pytest.raises(W2SError, match=r"in update 1 the KL .* estimated at -\d.* below -kl_tolerance \(-1\)"):
        run(tmp_path)
    run(tmp_path / "patient", kl_tolerance=100.0, total_episodes=8)


def test_log_probs_that_are_no_numbers_stop_before_they_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = fit.measure
    monkeypatch.setattr(fit, "measure", lambda *a: {n: t * float("nan") for n, t in original(*a).items()})
    with pytest.raises(W2SError, match="estimated at nan nats"):
        run(tmp_path)


def test_policy_and_reference_of_different_vocabularies(tmp_path: Path) -> None:
    other, _ = start()
    other.resize_token_embeddings(280, mean_resizing=False)
    with pytest.raises(W2SError, match="the policy has 272 tokens and its reference 280"):
        run(tmp_path, reference=other)


def test_no_room_for_a_prompt_and_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match="leave 0 of 128 for the prompt"):
        run(tmp_path, response_length=128)
    with pytest.raises(W2SError, match="no prompt to answer"):
        run(tmp_path, prompts=prompts(0))
