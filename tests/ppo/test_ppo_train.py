"""Training: rewards rise, splitting changes nothing, what is saved loads, the controller and penalties act."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from float64 import EXACT
from ppo_helpers import furthest, prompts, run, start, weights

from w2s_pref.models.policies import load_saved_policy
from w2s_pref.training.ppo import PPOSettings, draws
from w2s_pref.training.ppo.learner import Learner
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.rollout import Rollouts, generate, measure, prepare


def says_not(frame: pd.DataFrame, answers: list[str]) -> np.ndarray:
    return np.array([float("not" in answer.split()) for answer in answers])


def test_a_policy_learns_the_word_that_is_paid(tmp_path: Path) -> None:
    settings = {"total_episodes": 64 * 16, "batch_size": 64, "num_mini_batches": 2, "num_ppo_epochs": 4}
    more = {"learning_rate": 2e-3, "response_length": 12, "kl_coef": 0.02, "save_steps": 100}
    scores = [line["score"] for line in run(tmp_path, says_not, **settings, **more)["history"]]
    assert np.mean(scores[:2]) < 0.4
    assert np.mean(scores[-4:]) > 0.8


def test_what_is_saved_loads_as_a_policy_and_has_moved(tmp_path: Path) -> None:
    done = run(tmp_path, total_episodes=16)
    assert (done["steps"], done["world_size"], done["prompts_truncated"]) == (2, 1, 0)
    loaded, tokenizer = load_saved_policy(tmp_path / "saved")
    assert tokenizer.pad_token_id == start()[1].pad_token_id
    before = start()[0].state_dict()
    moved = [float((each - before[name]).abs().max()) for name, each in loaded.state_dict().items()]
    assert 1e-4 < max(moved) < 0.1


def test_history_says_what_happened(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    lines = run(tmp_path, progress=lambda *at: told.append(at), kl_target=0.5, kl_horizon=80)["history"]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert lines[0]["kl"] == 0.0  # the reference is the start
    for line in lines:
        assert line["reward"] == pytest.approx(line["score"] - line["kl_coef"] * line["kl"], abs=1e-5)
        assert all(line[f"tokens_per_second_{phase}"] > 0 for phase in ("generate", "score", "update"))
    errors = [min(max(line["kl"] / 0.5 - 1, -0.2), 0.2) for line in lines]
    for line, after, error in zip(lines[:-1], lines[1:], errors[:-1], strict=True):
        assert after["kl_coef"] == pytest.approx(line["kl_coef"] * (1 + error * 8 / 80))
    assert lines[1]["kl_coef"] != lines[0]["kl_coef"]


def test_an_answer_that_never_ends_costs_the_penalty(tmp_path: Path) -> None:
    lines = run(tmp_path, total_episodes=8, missing_eos_penalty=2.0, response_length=4)["history"]
    assert 0 < lines[0]["ended"] < 1
    assert lines[0]["reward"] == pytest.approx(lines[0]["score"] - 2.0 * (1 - lines[0]["ended"]), abs=1e-5)


def test_prompts_are_cut_so_that_an_answer_fits_the_context(tmp_path: Path) -> None:
    """128 positions: 100 words and 60 tokens of answer do not fit."""
    frame = prompts(8)
    frame.loc[2, "prompt"] = " ".join(["salt"] * 100)
    seen: list[str] = []

    def watch(rows: pd.DataFrame, answers: list[str]) -> np.ndarray:
        seen.extend(rows["prompt"])
        return np.zeros(len(answers))

    done = run(tmp_path, watch, prompts=frame, total_episodes=8, response_length=60)
    assert done["prompts_truncated"] == 1
    assert sorted(seen) == sorted(frame["prompt"])  # the reward reads the prompt as it stands


def test_a_reward_with_another_tokenizer_reads_text(tmp_path: Path) -> None:
    """The reward model's tokenizer is its own; prompt and answer reach it as text that it tokenises anew."""
    from conftest import make_model, make_tokenizer

    from w2s_pref.training.rewards import reward_model

    words: list[str] = []
    scorer = reward_model(make_model(), make_tokenizer(), 64)

    def watch(rows: pd.DataFrame, answers: list[str]) -> np.ndarray:
        words.extend(answers)
        return scorer(rows, answers)

    lines = run(tmp_path, watch, total_episodes=8)["history"]
    assert np.isfinite(lines[0]["score"])
    eos = start()[1].eos_token
    assert all(isinstance(word, str) and eos not in word for word in words)


def a_buffer(settings: PPOSettings) -> tuple[Players, list[list[int]], Rollouts, int]:
    """Players whose reference and value model have moved away from the policy, and 12 rollouts."""
    torch.manual_seed(0)
    model, tokenizer = start()
    players = Players(model, None, None, 1.0, torch.device("cpu"))
    for each in (*players.reference.parameters(), players.head.weight):
        each.data.add_(0.02 * torch.randn_like(each))
    ids, pad = tokenizer(list(prompts(12)["prompt"]))["input_ids"], tokenizer.pad_token_id
    sampled = generate(players, ids, draws.uniforms(12, 8, 1, 0), [tokenizer.eos_token_id], pad, 12)
    measured = measure(players, ids, *sampled[:2], pad, 12)
    parts = dict(zip(("responses", "lengths", "ended"), sampled, strict=True))
    return players, ids, Rollouts(**parts, **measured, scores=torch.randn(12)), pad


def gradients(at_once: int) -> dict[str, torch.Tensor]:
    """Of one step."""
    settings = PPOSettings(total_episodes=12, batch_size=12, per_device_forward_batch_size=at_once, max_grad_norm=None)
    players, ids, rollouts, pad = a_buffer(settings)
    assert len(set(rollouts.lengths.tolist())) > 2  # or a mean of means would pass, too
    learner = Learner(players, settings, pad)
    learner.step(ids, rollouts, prepare(rollouts, settings, 0.1), torch.arange(12), "")
    return {name: each.grad for name, each in learner.named().items()}


@pytest.mark.usefixtures("float64")
def test_splitting_a_minibatch_changes_no_gradient() -> None:
    whole, split = gradients(64), gradients(5)
    assert max(float((one - split[name]).abs().max()) for name, one in whole.items()) <= EXACT
    assert max(float(each.abs().max()) for each in whole.values()) > 1e-2


@pytest.mark.usefixtures("float64")
def test_splitting_a_run_changes_nothing(tmp_path: Path) -> None:
    run(tmp_path / "whole", per_device_forward_batch_size=64)
    run(tmp_path / "split", per_device_forward_batch_size=3)
    assert furthest(tmp_path / "whole", tmp_path / "split") <= EXACT


def test_policy_and_value_have_rates_and_clips_of_their_own() -> None:
    settings = PPOSettings(
        total_episodes=48, batch_size=12, learning_rate=1e-3, value_learning_rate=1e-2, max_grad_norm=1e-3
    )
    players, ids, rollouts, pad = a_buffer(settings)
    learner = Learner(players, settings, pad)
    learner.step(ids, rollouts, prepare(rollouts, settings, 0.1), torch.arange(12), "")
    for part in learner.parameters.values():
        norm = torch.stack([each.grad.norm() for each in part.values()]).norm()
        assert float(norm) == pytest.approx(1e-3, rel=1e-3)
    learner.set_rate(3)  # the last of four
    assert [group["lr"] for group in learner.optimizer.param_groups] == pytest.approx([2.5e-4, 2.5e-3])


def test_the_reference_given_is_the_one_that_counts(tmp_path: Path) -> None:
    other, _ = start()
    for each in other.parameters():
        each.data.mul_(0.9)
    before = {name: each.clone() for name, each in other.state_dict().items()}
    lines = run(tmp_path, total_episodes=8, reference=other, kl_estimator="k3")["history"]
    assert lines[0]["kl"] > 0.01
    assert all(torch.equal(each, before[name]) for name, each in other.state_dict().items())


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    run(tmp_path / "one", total_episodes=8)
    run(tmp_path / "two", total_episodes=8, seed=4)
    run(tmp_path / "again", total_episodes=8)
    assert furthest(tmp_path / "one", tmp_path / "again") == 0.0
    assert furthest(tmp_path / "one", tmp_path / "two") > 1e-5
    assert weights(tmp_path / "one").keys() == weights(tmp_path / "two").keys()
