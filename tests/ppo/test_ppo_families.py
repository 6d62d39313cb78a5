"""Model families whose positions, heads and backbones differ: padding changes no number, and one step works."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from float64 import EXACT
from transformers import AutoConfig, AutoModelForCausalLM

from w2s_pref.training.ppo import PPOSettings, draws
from w2s_pref.training.ppo.learner import Learner
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.rollout import Rollouts, generate, measure, prepare

SMALL = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TYPES: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 60, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "opt": {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
    "mistral": {**SMALL, "intermediate_size": 24, "num_key_value_heads": 1, "sliding_window": 64},
    "qwen3": {**SMALL, "intermediate_size": 24, "num_key_value_heads": 1, "head_dim": 8},
    "gpt_neox": {**SMALL, "intermediate_size": 24},
}


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", TYPES)
def test_a_family(family: str) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **TYPES[family], pad_token_id=0, eos_token_id=1, bos_token_id=None)
    model = AutoModelForCausalLM.from_config(config)
    settings = PPOSettings(total_episodes=6, batch_size=6, learning_rate=1e-3)
    players = Players(model, None, None, 1.0, torch.device("cpu"))
    prompts = [[5, 6, 7, 8, 9][: 1 + row % 5] for row in range(6)]
    responses, lengths, ended = generate(players, prompts, draws.uniforms(6, 7, 0, 0), [1, *range(40, 45)], 0, 4)
    measured = measure(players, prompts, responses, lengths, 0, 4)
    for row, prompt in enumerate(prompts):
        answer = responses[row, : lengths[row]]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer.tolist()])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(1, answer[:, None])[:, 0]
        torch.testing.assert_close(measured["logprobs"][row, : len(answer)], expected, rtol=0, atol=EXACT)
    rollouts = Rollouts(responses, lengths, ended, **measured, scores=torch.randn(6))
    learner = Learner(players, settings, 0)
    before = {name: each.detach().clone() for name, each in learner.named().items()}
    learner.step(prompts, rollouts, prepare(rollouts, settings, 0.1), torch.arange(6), "")
    moved = {name.split(".")[0] for name, each in learner.named().items() if not torch.equal(each, before[name])}
    assert moved == {"policy", "value"}
