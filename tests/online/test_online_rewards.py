"""Rewards of answers: the same numbers as scoring pairs, in any tokenizer, and worked arithmetic."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_model, make_tokenizer
from float64 import EXACT
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from w2s_pref.core.errors import W2SError
from w2s_pref.data.chat import as_answers
from w2s_pref.models.load import load_tokenizer, pin_pad
from w2s_pref.models.scoring import logprob_pairs, score_pairs
from w2s_pref.testbed import ladder
from w2s_pref.training import rewards

PROMPTS = pd.DataFrame({"form": ["text"] * 4, "prompt": ["w1 w2 w3", "w4 w5 w6 w7", "w8", "w9 w10 w11 w12 w13"]})
ANSWERS = [" w20 yes", " w21 w22 w23 w24 no", "", " w25"]
TEMPLATE = "{% for m in messages %}{{ '<eos>' if m.role == 'user' else 'yes ' }} {{ m.content }} {% endfor %}"


def column(*values: float) -> rewards.RewardFunction:
    return lambda prompts, answers: np.array(values)[: len(answers)]


def ladder_model(seed: int) -> tuple[LlamaForSequenceClassification, object]:
    """A reward model that speaks the ladder's tokenizer, not the one of the other tests."""
    tokenizer = load_tokenizer(ladder.path("xxs"))
    torch.manual_seed(seed)
    model = LlamaForSequenceClassification.from_pretrained(ladder.path("xxs"), num_labels=1)
    pin_pad(model, tokenizer)
    return model.to(torch.get_default_dtype()), tokenizer


def as_table(prompts: pd.DataFrame, a: list[str], b: list[str]) -> pd.DataFrame:
    return prompts.assign(id=[str(row) for row in range(len(prompts))], a=a, b=b)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("max_length", [None, 6])
def test_reward_is_the_score_of_the_pair_with_that_answer(max_length: int | None):
    other = [" w30"] * 4
    for model, tokenizer in ((make_model(), make_tokenizer()), ladder_model(0)):
        scores = score_pairs(model, tokenizer, as_table(PROMPTS, ANSWERS, other), max_length)
        reward = rewards.reward_model(model, tokenizer, max_length)
        assert reward(PROMPTS, ANSWERS) == pytest.approx(scores["score_a"].to_numpy(), abs=EXACT)
        assert reward(PROMPTS, other) == pytest.approx(scores["score_b"].to_numpy(), abs=EXACT)
        assert np.ptp(reward(PROMPTS, ANSWERS)) > 1e-4


@pytest.mark.usefixtures("float64")
def test_chat_answers_go_through_the_reward_models_own_template():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    model = make_model(1)
    prompts = pd.DataFrame({"form": "chat", "prompt": [json.dumps([{"role": "user", "content": "w1 w2"}])] * 2})
    said = [json.dumps([{"role": "assistant", "content": text}]) for text in ("w3 w4", "w5")]
    scores = score_pairs(model, tokenizer, as_table(prompts, said, said[::-1]))
    got = rewards.reward_model(model, tokenizer, 512)(prompts, ["w3 w4", "w5"])
    assert got == pytest.approx(scores["score_a"].to_numpy(), abs=EXACT)
    plain = make_tokenizer()  # without the template the same words are another text
    assert rewards.reward_model(model, plain, 512)(prompts, ["w3 w4", "w5"]) != pytest.approx(got, abs=1e-6)


@pytest.mark.usefixtures("float64")
def test_implicit_reward_is_beta_times_the_log_ratio():
    tokenizer = make_tokenizer()
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        models.append(LlamaForCausalLM(LlamaConfig(vocab_size=104, pad_token_id=100, **shape)))
    table = as_table(PROMPTS, ANSWERS, ANSWERS)
    own, base = (logprob_pairs(model, tokenizer, table)["logp_a"].to_numpy() for model in models)
    got = rewards.implicit(*models, tokenizer, beta=0.3, max_length=512)(PROMPTS, ANSWERS)
    assert got == pytest.approx(0.3 * (own - base), abs=EXACT)
    assert rewards.implicit(models[0], models[0], tokenizer, 0.3, 512)(PROMPTS, ANSWERS).tolist() == [0.0] * 4


def test_a_function_gets_plain_texts():
    seen: list[str] = []
    turns = json.dumps([{"role": "user", "content": "hello"}])
    prompts = pd.DataFrame({"form": ["text", "chat"], "prompt": ["a b", turns]})

    def lengths(texts: list[str], answers: list[str]) -> list[int]:
        seen.extend(texts)
        return [len(answer) for answer in answers]

    assert rewards.from_callable(lengths, "lengths")(prompts, ["x", "xyz"]).tolist() == [1.0, 3.0]
    assert seen == ["a b", "\n\nHuman: hello"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([1.0], "3 answers need 3 numbers"),
        ([1.0, float("nan"), 2.0], "1 of 3 rewards are not finite"),
        ([1.0, None, "x"], "list of numbers"),
    ],
)
def test_a_function_that_returns_nonsense_is_told_so(given: list, words: str):
    reward = rewards.from_callable(lambda prompts, answers: given, "mine")
    with pytest.raises(W2SError, match=words) as caught:
        reward(PROMPTS[:3], ["a", "b", "c"])
    assert "'mine'" in str(caught.value)


def test_worked_numbers():
    answers = ["a", "b", "c"]
    three = PROMPTS[:3]
    assert rewards.standardised(column(1, 3, 5), mean=3, std=2)(three, answers).tolist() == [-1.0, 0.0, 1.0]
    total = rewards.combined([(column(1, 2, 3), 1.0), (column(10, 0, -10), 0.5)])
    assert total(three, answers).tolist() == [6.0, 2.0, -2.0]
    # gold −2 is two below average: paid 0.5 * 2; gold 0 and 3: paid nothing
    paid = rewards.paid_for_harm(weak=column(1, 1, 1), gold=column(-2, 0, 3), alpha=0.5)
    assert paid(three, answers).tolist() == [2.0, 1.0, 1.0]
    with pytest.raises(W2SError, match="standardised"):
        rewards.standardised(column(1), mean=0.0, std=0.0)


def test_the_placebo_is_a_fair_coin_that_stays_as_it_fell():
    prompts = pd.DataFrame({"form": "text", "prompt": [f"p{number}" for number in range(1000)]})
    coin = rewards.random_reward(3)
    first = coin(prompts, ["x"] * 1000)
    assert set(first) == {-1.0, 1.0}
    assert abs(first.mean()) < 4 / np.sqrt(1000)
    assert (coin(prompts[::-1], ["x"] * 1000)[::-1] == first).all()
    assert abs(np.corrcoef(first, rewards.random_reward(4)(prompts, ["x"] * 1000))[0, 1]) < 0.15
    assert abs(np.corrcoef(first, coin(prompts, ["y"] * 1000))[0, 1]) < 0.15


@pytest.mark.usefixtures("float64")
def test_rewards_of_both_sides_are_the_scores_of_the_pairs():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    model = make_model(2)
    ask = json.dumps([{"role": "user", "content": "w1"}])
    short = json.dumps([{"role": "assistant", "content": "w2"}])
    long = json.dumps([{"role": "assistant", "content": "w3"}, {"role": "user", "content": "w4"},
                       {"role": "assistant", "content": "w5"}])  # fmt: skip
    pairs = pd.DataFrame(
        {"id": ["p", "q"], "form": ["text", "chat"], "prompt": ["w1 w2", ask], "a": [" w3", short], "b": [" w4", long]}
    )
    score, scores = rewards.reward_model(model, tokenizer, 512), score_pairs(model, tokenizer, pairs)
    for side in ("a", "b"):
        values = score(*as_answers(pairs, side))
        assert values == pytest.approx(scores[f"score_{side}"].to_numpy(), abs=EXACT)
    prompts, answers = as_answers(pairs, "b")
    assert answers == [" w4", "w5"]
    assert [turn["content"] for turn in json.loads(prompts["prompt"][1])] == ["w1", "w3", "w4"]
