"""Rollouts: what is sampled, measured and masked, and that splitting changes none of it."""

from __future__ import annotations

import pytest
import torch
from float64 import EXACT
from ppo_helpers import prompts, start

from w2s_pref.models.boundaries import eos_ids, fit_prompts
from w2s_pref.training.ppo import draws
from w2s_pref.training.ppo.players import Players
from w2s_pref.training.ppo.rollout import PickedByUniform, alike, generate, measure, sequences


@pytest.fixture
def xs(float64: None):
    model, tokenizer = start()
    ids, _ = fit_prompts(prompts(16), tokenizer, None)
    return Players(model, None, None, 1.0, torch.device("cpu")), tokenizer, ids


def answers(xs, at_once: int = 64, length: int = 12, seed: int = 0):
    players, tokenizer, ids = xs
    uniforms = draws.uniforms(len(ids), length, seed, 0)
    return generate(
        players, ids, uniforms, eos_ids(players.policy, tokenizer, ["text"]), tokenizer.pad_token_id, at_once
    )


def test_the_drawn_token_is_where_the_uniform_number_falls() -> None:
    """Probabilities 0, 1/2, 1/4, 1/4; at temperature 1/2 they are 0, 2/3, 1/6, 1/6."""
    scores = torch.tensor([[0.0, 0.5, 0.25, 0.25]]).log()
    for temperature, at, token in [(1, 0.0, 1), (1, 0.49, 1), (1, 0.51, 2), (1, 0.9, 3), (0.5, 0.6, 1), (0.5, 0.7, 2)]:
        left = PickedByUniform(torch.tensor([[at]]), 3, temperature)(torch.zeros(1, 3), scores)
        assert int(left.argmax()) == token
        assert int(left.isfinite().sum()) == 1


def test_sampled_shares_are_the_policy_s_probabilities(xs) -> None:
    """The first token of one prompt, 4,000 times, against softmax of the logits."""
    players, tokenizer, ids = xs
    uniforms = torch.rand(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, _, _ = generate(players, [ids[3]] * 4000, uniforms, [], tokenizer.pad_token_id, 4000)
    with torch.no_grad():
        expected = players.policy(torch.tensor([ids[3]])).logits[0, -1].softmax(-1)
    shares = torch.bincount(found[:, 0], minlength=len(expected)) / 4000
    noise = 4 * (expected * (1 - expected) / 4000).sqrt() + 1e-3
    assert bool(((shares - expected).abs() < noise).all())


def test_splitting_changes_no_answer_and_no_number(xs) -> None:
    players, tokenizer, ids = xs
    whole, split = answers(xs, 64), answers(xs, 3)
    assert all(torch.equal(one, other) for one, other in zip(whole, split, strict=True))
    one, other = (measure(players, ids, *whole[:2], tokenizer.pad_token_id, size) for size in (64, 3))
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=EXACT)


def test_rows_of_similar_length_go_together(xs) -> None:
    groups = alike(xs[0].policy, [5, 90, 6, 91, 7], 2)
    assert sorted(row for group in groups for row in group) == [0, 1, 2, 3, 4]
    assert {1, 3} in [{*group} for group in groups]
    assert max(map(len, groups)) == 2
    assert alike(xs[0].policy, [], 2) == []


def test_answers_end_at_the_first_eos_or_are_counted_as_endless(xs) -> None:
    _, tokenizer, _ = xs
    responses, lengths, ended = answers(xs, length=6)
    assert 0 < int(ended.sum()) < len(ended)
    for row, length, over in zip(responses.tolist(), lengths.tolist(), ended.tolist(), strict=True):
        assert (tokenizer.eos_token_id in row) == over
        assert row.index(tokenizer.eos_token_id) == length - 1 if over else length == 6
        assert set(row[length:]) <= {tokenizer.pad_token_id}


def test_log_probs_are_those_of_each_text_alone(xs) -> None:
    """Unpadded, one by one, from the model's own output."""
    players, tokenizer, ids = xs
    responses, lengths, _ = answers(xs)
    found = measure(players, ids, responses, lengths, tokenizer.pad_token_id, 64)
    for row in range(6):
        answer = responses[row, : lengths[row]]
        whole = torch.tensor([ids[row] + answer.tolist()])
        with torch.no_grad():
            logits = players.policy(whole).logits[0, len(ids[row]) - 1 : -1].log_softmax(-1)
        expected = logits.gather(1, answer[:, None])[:, 0]
        torch.testing.assert_close(found["logprobs"][row, : len(answer)], expected, rtol=0, atol=EXACT)
    assert torch.equal(found["logprobs"], found["ref_logprobs"])  # the reference is the start
    assert float(found["values"].abs().max()) == 0.0  # the value head starts at zero


def test_generation_settings_of_the_model_do_not_count(xs) -> None:
    players, _, _ = xs
    plain = answers(xs)[0]
    players.policy.generation_config.repetition_penalty = 5.0
    try:
        assert torch.equal(answers(xs)[0], plain)
        assert players.policy.generation_config.repetition_penalty == 5.0
    finally:
        players.policy.generation_config.repetition_penalty = 1.0


def test_sequences_are_padded_on_the_right() -> None:
    responses, lengths = torch.tensor([[5, 6, 0], [7, 0, 0]]), torch.tensor([2, 1])
    found = sequences([[3], [3, 4, 8]], responses, lengths, pad_id=0)
    assert found.input_ids.tolist() == [[3, 5, 6, 0], [3, 4, 8, 7]]
    assert found.responses is not None
    assert found.responses.targets.tolist() == [5, 6, 7]
    assert found.responses.predictors.tolist() == [0, 1, 6]
