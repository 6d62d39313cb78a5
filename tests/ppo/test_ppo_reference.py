"""One update on frozen answers gives TRL 1.12's numbers (how they were made: benchmarks/reference/README.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from w2s_pref.training.ppo import PPOSettings, maths
from w2s_pref.training.ppo.learner import Learner
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.rollout import Rollouts, measure, prepare

FOLDER = ROOT / "benchmarks" / "reference"
#: Ours in float64, so on any processor the same difference remains: the rounding of the float32 that is stored.
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5, "check_dtype": False}


@pytest.fixture(scope="module")
def stored() -> tuple[dict[str, Any], dict[str, Tensor]]:
    return json.loads((FOLDER / "ppo_trl112.json").read_text()), load_file(FOLDER / "ppo_trl112.safetensors")


def part(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): each for name, each in tensors.items() if name.startswith(start)}


def the_players(report: dict[str, Any], tensors: dict[str, Tensor], temperature: float) -> Players:
    models = [LlamaForCausalLM(LlamaConfig(**report["config"])) for _ in range(2)]
    for model, name in zip(models, ("policy", "reference"), strict=True):
        model.load_state_dict(part(tensors, f"{name}|"))
    players = Players(models[0], models[1], None, temperature, torch.device("cpu"))
    players.backbone.load_state_dict(part(tensors, "value|model."))
    players.head.weight.data.copy_(tensors["value|score.weight"])
    return players


def the_settings(case: dict[str, Any]) -> PPOSettings:
    return PPOSettings(**case["settings"], total_episodes=8, max_grad_norm=None)


def before_penalty(case: dict[str, Any], eos: int) -> tuple[Tensor, Tensor]:
    """Scores as the reward model gave them, and which answers ended."""
    ended = torch.tensor([eos in row for row in case["responses"]])
    return torch.tensor(case["buffer"]["scores"]) + case["settings"]["missing_eos_penalty"] * ~ended, ended


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["full_1", "full_3"])
@pytest.mark.parametrize("at_once", [8, 3])
def test_an_update_equals_trl(stored: Any, name: str, at_once: int) -> None:
    report, tensors = stored
    case, pad = report[name], report["pad"]
    settings = the_settings(case).model_copy(update={"per_device_forward_batch_size": at_once})
    players = the_players(report, tensors, settings.temperature)
    responses = torch.tensor(case["responses"])
    lengths, (scores, ended) = torch.full((8,), 6), before_penalty(case, report["eos"])
    measured = measure(players, case["prompts"], responses, lengths, pad, at_once)
    rollouts = Rollouts(responses=responses, lengths=lengths, ended=ended, scores=scores, **measured)
    prepared = prepare(rollouts, settings, settings.kl_coef)
    found = {**measured, "kl": prepared.kl, "advantages": prepared.advantages, "returns": prepared.returns}
    for key in ("logprobs", "ref_logprobs", "values", "kl", "advantages", "returns"):
        torch.testing.assert_close(found[key], torch.tensor(case["buffer"][key]), **CLOSE)
    learner = Learner(players, settings, pad)
    steps = [learner.step(case["prompts"], rollouts, prepared, torch.randperm(8), "") for _ in case["passes"]]
    for step, theirs in zip(steps, case["passes"], strict=True):
        assert step["policy_loss"] == pytest.approx(theirs["pg_loss"], abs=1e-5)
        assert step["value_loss"] == pytest.approx(theirs["vf_loss"], abs=1e-5)
    for ours, theirs in {"clip_fraction": "policy/clipfrac_avg", "ratio": "val/ratio"}.items():
        mean = sum(step[ours] for step in steps) / len(steps)
        assert mean == pytest.approx(case["log"][theirs], abs=1e-5)
    assert sum(step["value_clip_fraction"] for step in steps) / len(steps) == pytest.approx(
        case["log"]["val/clipfrac_avg"], abs=1e-5
    )
    after = part(tensors, f"{name}|after_")
    assert max(float((each - tensors[key]).abs().max()) for key, each in after.items()) > 1e-3  # it did learn
    for key, each in players.policy.state_dict().items():
        torch.testing.assert_close(each, after[f"policy|{key}"], **CLOSE)
    for key, each in players.backbone.state_dict().items():
        torch.testing.assert_close(each, after[f"value|model.{key}"], **CLOSE)
    torch.testing.assert_close(players.head.weight.data, after["value|score.weight"], **CLOSE)


@pytest.mark.usefixtures("float64")
def test_functions_equal_trl_on_answers_of_all_lengths(stored: Any) -> None:
    """With TRL's masks and its place for the score, one position after the end."""
    report, _ = stored
    case = report["mixed_1"]
    settings = the_settings(case)
    buffer = {name: torch.tensor(values) for name, values in case["buffer"].items()}
    mask, wide = ~buffer["padding_mask"], ~buffer["padding_mask_p1"]
    assert torch.equal(mask, maths.token_mask(buffer["sequence_lengths"] + 1, 6))
    kl = maths.token_kl(buffer["logprobs"], buffer["ref_logprobs"], settings.kl_estimator)
    torch.testing.assert_close(kl, buffer["kl"], **CLOSE)
    raw, ended = before_penalty(case, report["eos"])
    scores = maths.penalised(raw, ended, settings.missing_eos_penalty)
    last = (buffer["sequence_lengths"] + 1).clamp(max=5)
    rewards = maths.whiten(maths.token_rewards(kl, scores, last, settings.kl_coef), wide, shift_mean=False)
    torch.testing.assert_close(rewards, buffer["rewards"], **CLOSE)
    advantages = maths.advantages(rewards, buffer["values"], settings.gamma, settings.lam)
    torch.testing.assert_close(advantages + buffer["values"], buffer["returns"], **CLOSE)
    whitened = maths.whiten(advantages, mask)
    torch.testing.assert_close(whitened, buffer["advantages"], **CLOSE)
    policy = maths.policy_terms(buffer["logprobs"], buffer["logprobs"], whitened, settings.cliprange)
    assert float(maths.masked_mean(policy.losses, mask)) == pytest.approx(case["passes"][0]["pg_loss"], abs=1e-5)
    value = maths.value_terms(buffer["values"], buffer["values"], buffer["returns"], settings.cliprange_value)
    assert float(maths.masked_mean(value.losses, wide)) == pytest.approx(case["passes"][0]["vf_loss"], abs=1e-5)


@pytest.mark.usefixtures("float64")
def test_log_probs_of_short_answers_equal_trl(stored: Any) -> None:
    """Up to the end; TRL writes 1.0 after it, we write 0.0."""
    report, tensors = stored
    case = report["mixed_1"]
    settings = the_settings(case)
    lengths = torch.tensor(case["buffer"]["sequence_lengths"]) + 1
    players = the_players(report, tensors, settings.temperature)
    found = measure(players, case["prompts"], torch.tensor(case["responses"]), lengths, report["pad"], 3)
    mask = maths.token_mask(lengths, 6)
    for name in ("logprobs", "ref_logprobs", "values"):
        theirs = torch.tensor(case["buffer"][name])
        torch.testing.assert_close(found[name][mask], theirs[mask], **CLOSE)
        assert float(found[name][~mask].abs().max()) == 0.0
