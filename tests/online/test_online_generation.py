"""Sampling: seeded by batch, the same for any number of processes, and log-probabilities of what was drawn."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import prompt_ids, tokenize
from w2s_pref.models.boundaries import answer_texts, cut_at_end, eos_ids
from w2s_pref.models.generation import SampleSettings, sample
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.testbed import ladder
from w2s_pref.testbed.world import generate
from w2s_pref.training.rewards import as_pairs


@pytest.fixture(scope="module")
def policy():
    return load_saved_policy(ladder.path("xs"))


@pytest.fixture(scope="module")
def prompts() -> pd.DataFrame:
    return pd.DataFrame({"form": "text", "prompt": generate(9, seed=5)["prompt"]})


SETTINGS = SampleSettings(samples=3, max_new_tokens=20, batch_size=8)


def test_the_same_seed_gives_the_same_table_and_shards_make_the_whole(policy, prompts):
    whole = sample(*policy, prompts, SETTINGS, seed=1, max_length=None)
    again = sample(*policy, prompts, SETTINGS, seed=1, max_length=None)
    pd.testing.assert_frame_equal(whole, again, check_exact=True)
    assert list(zip(whole["row"], whole["sample"], strict=True)) == [(r, s) for r in range(9) for s in range(3)]
    parts = [sample(*policy, prompts, SETTINGS, seed=1, max_length=None, shard=(rank, 3)) for rank in range(3)]
    assert all(0 < len(part) < len(whole) for part in parts)
    joined = pd.concat(parts).sort_values(["row", "sample"], ignore_index=True)
    pd.testing.assert_frame_equal(whole, joined, check_exact=True)
    assert (sample(*policy, prompts, SETTINGS, seed=2, max_length=None)["text"] != whole["text"]).any()


def test_a_process_without_work_returns_an_empty_table(policy, prompts):
    part = sample(*policy, prompts[:1], SETTINGS, seed=1, max_length=None, shard=(1, 2))
    assert len(part) == 0
    assert part.dtypes["logp"] == np.float64


def test_samples_of_one_prompt_differ_and_the_global_random_state_stays(policy, prompts):
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    settings = policy[0].generation_config
    table = sample(*policy, prompts[:1], SampleSettings(samples=8, max_new_tokens=20), seed=0, max_length=None)
    assert table["text"].nunique() > 1
    assert torch.equal(before, torch.random.get_rng_state())
    assert policy[0].generation_config is settings


def test_greedy_is_the_most_likely_token_every_time(policy, prompts):
    model, tokenizer = policy
    greedy = SampleSettings(samples=1, temperature=0.0, max_new_tokens=20, batch_size=4)
    table = sample(model, tokenizer, prompts, greedy, seed=0, max_length=None)
    for row, start in enumerate(prompt_ids(prompts, tokenizer, None)):
        ids = list(start)
        while len(ids) - len(start) < 20 and (len(ids) == len(start) or ids[-1] != tokenizer.eos_token_id):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert table["ids"][row] == ids[len(start) :]
    with pytest.raises(ValidationError, match="samples: 1"):
        SampleSettings(samples=2, temperature=0.0)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_columns_say_what_was_drawn(policy, prompts, temperature: float):
    model, tokenizer = policy
    settings = SampleSettings(samples=4, temperature=temperature, max_new_tokens=11, batch_size=7)
    table = sample(model, tokenizer, prompts, settings, seed=3, max_length=None)
    eos = tokenizer.eos_token_id
    starts = prompt_ids(prompts, tokenizer, None)
    assert table["ended"].any()
    assert not table["ended"].all()
    for line in table.itertuples():
        assert line.tokens == len(line.ids) <= 11
        assert line.prompt_tokens == len(starts[line.row])
        assert (line.ids[-1] == eos) == line.ended
        assert eos not in line.ids[:-1]
        assert line.ended or line.tokens == 11
        with torch.no_grad():  # teacher forcing at temperature 1, one unpadded sequence at a time
            steps = model(torch.tensor([starts[line.row] + line.ids])).logits[0, :-1].double().log_softmax(-1)
        rows = range(line.prompt_tokens - 1, line.prompt_tokens - 1 + line.tokens)
        by_hand = sum(float(steps[at, token]) for at, token in zip(rows, line.ids, strict=True))
        assert line.logp == pytest.approx(by_hand, abs=1e-4)


def test_the_law_of_the_samples_is_the_policy_at_that_temperature(policy, prompts):
    """First tokens of many draws against softmax(logits / T), by a chi-square with a wide margin."""
    model, tokenizer = policy
    start = prompt_ids(prompts[:1], tokenizer, None)[0]
    for temperature in (1.0, 0.5):
        settings = SampleSettings(samples=2000, temperature=temperature, max_new_tokens=1, batch_size=500)
        table = sample(model, tokenizer, prompts[:1], settings, seed=0, max_length=None)
        drawn = np.bincount([ids[0] for ids in table["ids"]], minlength=model.config.vocab_size)
        with torch.no_grad():
            logits = model(torch.tensor([start])).logits[0, -1].double()
        expected = 2000 * torch.softmax(logits / temperature, -1).numpy()
        often = expected > 5
        chi = ((drawn - expected)[often] ** 2 / expected[often]).sum()
        assert chi < often.sum() + 6 * np.sqrt(2 * often.sum())


def test_defaults_that_came_with_the_model_do_not_bend_the_law(policy, prompts):
    model, tokenizer = policy
    plain = sample(model, tokenizer, prompts, SETTINGS, seed=1, max_length=None)
    old = model.generation_config
    model.generation_config = type(old)(**{**old.to_dict(), "top_k": 1, "do_sample": True, "repetition_penalty": 5.0})
    try:
        bent = sample(model, tokenizer, prompts, SETTINGS, seed=1, max_length=None)
    finally:
        model.generation_config = old
    pd.testing.assert_frame_equal(plain, bent, check_exact=True)


def test_prompts_make_room_for_the_answer(policy, prompts):
    long = prompts.assign(prompt=[text if row else " ".join([text] * 12) for row, text in enumerate(prompts["prompt"])])
    table = sample(*policy, long, SampleSettings(samples=1, max_new_tokens=20), seed=0, max_length=64)
    assert table.attrs["truncated"] == 1
    assert table["prompt_tokens"].max() == 44
    model_limit = sample(*policy, long, SampleSettings(samples=1, max_new_tokens=20), seed=0, max_length=None)
    assert model_limit["prompt_tokens"].max() == 128 - 20
    with pytest.raises(W2SError, match="max_new_tokens"):
        sample(*policy, prompts, SampleSettings(max_new_tokens=128), seed=0, max_length=None)


def test_texts_read_back_as_the_tokens_that_were_drawn(policy, prompts):
    _, tokenizer = policy
    table = sample(*policy, prompts, SETTINGS, seed=4, max_length=None)
    assert table["text"].str.startswith(" ").all()
    asked = prompts.iloc[table["row"].to_numpy()].reset_index(drop=True)
    read = tokenize(as_pairs(asked, table["text"].tolist()), tokenizer, None)
    clean = [tokenizer.unk_token_id not in ids for ids in table["ids"]]
    for known, back, start, ids, ended in zip(
        clean, read.a_ids, prompt_ids(asked, tokenizer, None), table["ids"], table["ended"], strict=True
    ):
        assert not known or list(back) == start + ids + ([] if ended else [tokenizer.eos_token_id])
    assert sum(clean) > 20


def byte_tokenizer():
    """Every byte a token, as byte-level tokenizers fall back to."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def test_answer_texts_are_what_follows_the_prompt():
    tokenizer = byte_tokenizer()
    ids = tokenizer("ask: é")["input_ids"]
    answer = tokenizer(" yes  é!")["input_ids"] + [tokenizer.eos_token_id]
    assert answer_texts(tokenizer, ["text", "chat"], [ids, ids], [answer, answer]) == [" yes  é!", "yes  é!"]
    # The prompt ends within a character: prompt + answer does not start with the prompt's text.
    assert answer_texts(tokenizer, ["text"], [ids[:-1]], [[ids[-1], *answer]])[0].endswith(" yes  é!")
    assert answer_texts(tokenizer, ["text"], [ids], [[tokenizer.eos_token_id]]) == [""]


def test_cut_at_the_first_end():
    assert cut_at_end([5, 2, 0, 0], [2, 9]) == [5, 2]
    assert cut_at_end([9, 2], [2, 9]) == [9]
    assert cut_at_end([5, 6], [2]) == [5, 6]


def test_chats_are_answered_without_space_around_the_words(policy):
    turns = json.dumps([{"role": "user", "content": "what is good for the sand?"}])
    chats = pd.DataFrame({"form": "chat", "prompt": [turns] * 3})
    table = sample(*policy, chats, SampleSettings(samples=2, max_new_tokens=8), seed=0, max_length=None)
    assert (table["text"] == table["text"].str.strip()).all()
    assert table["text"].str.len().max() > 0


def test_an_answer_of_a_chat_ends_where_its_template_ends_a_turn():
    """Policies learn to write what closes a message, which need not be the eos: what they write behind it is noise."""
    model, tokenizer = load_saved_policy(ladder.path("xs"))
    turns = json.dumps([{"role": "user", "content": "what is good for the sand?"}])
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }} water\n{% endfor %}{% if add_generation_prompt %}water {% endif %}"
    )
    chats = pd.DataFrame({"form": ["chat"] * 6, "prompt": [turns] * 6})
    settings = SampleSettings(samples=4, temperature=8.0, max_new_tokens=40)
    plain = sample(model, tokenizer, chats, settings, seed=0, max_length=None)
    counts = pd.Series([token for ids in plain["ids"] for token in ids[:-1]]).value_counts()
    often = next(token for token in counts.index if token != tokenizer.eos_token_id)
    tokenizer.add_tokens([tokenizer.convert_ids_to_tokens(often)], special_tokens=True)
    tokenizer.chat_template = tokenizer.chat_template.replace("water", tokenizer.convert_ids_to_tokens(often))
    assert eos_ids(model, tokenizer, ["text"]) == [tokenizer.eos_token_id]
    assert eos_ids(model, tokenizer, ["text", "chat"]) == sorted([tokenizer.eos_token_id, often])
    table = sample(model, tokenizer, chats, settings, seed=0, max_length=None)
    assert not any(often in ids[:-1] for ids in table["ids"])
    assert all(ended for ended, ids in zip(table["ended"], table["ids"], strict=True) if ids[-1] == often)
    assert any(ids[-1] == often for ids in table["ids"])
