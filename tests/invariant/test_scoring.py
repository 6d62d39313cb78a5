"""A score belongs to a text, not to its batch, its padding or its neighbours."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_model, make_pairs, make_tokenizer

from w2s_pref.scoring import score_ids, score_pairs, token_batches


@pytest.fixture(scope="module")
def texts() -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(100) for _ in range(draw.randint(1, 40))] + [101] for _ in range(60)]


def test_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = [random.Random(n).randint(1, 50) for n in range(100)] + [500]
    batches = list(token_batches(lengths, 128))
    assert sorted(index for batch in batches for index in batch) == list(range(101))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= 128


def test_scores_do_not_depend_on_batch_size_or_order(texts: list[list[int]]) -> None:
    model = make_model()
    one = score_ids(model, texts, 100, budget=1)
    many = score_ids(model, texts, 100, budget=100_000)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = score_ids(model, [texts[i] for i in order], 100, budget=300)
    assert np.abs(one - many).max() <= 1e-6
    assert np.abs(one[order] - shuffled).max() <= 1e-6


def test_scores_do_not_depend_on_padding_side_or_pad_id(texts: list[list[int]]) -> None:
    model = make_model()
    expected = score_ids(model, texts, 100)
    width = max(map(len, texts))
    left = torch.full((len(texts), width), 100)
    mask = torch.zeros_like(left)
    for row, ids in enumerate(texts):
        left[row, width - len(ids) :] = torch.tensor(ids)
        mask[row, width - len(ids) :] = 1
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        padded = model(input_ids=left, attention_mask=mask, position_ids=position).logits.squeeze(-1)
    assert np.abs(expected - padded.double().numpy()).max() <= 1e-5
    model.config.pad_token_id = 103
    assert np.abs(expected - score_ids(model, texts, 103)).max() <= 1e-6


def test_an_exclamation_mark_with_id_zero_counts(texts: list[list[int]]) -> None:
    """Public code found the last token by counting non-zero ids, wrong for GPT-2's "!"."""
    tokenizer, model = make_tokenizer(), make_model()
    pairs = pd.DataFrame({
        "id": ["x", "y"], "group": ["g", "h"], "form": "text", "prompt": ["w1 w2", "w3"], "truth": 1,
        "a": [" w4 !", " ! ! !"], "b": [" w4", " !"], "objective": "t",
    })  # fmt: skip
    scores = score_pairs(model, tokenizer, pairs)
    by_hand = [score_ids(model, [tokenizer(text)["input_ids"] + [101]], 100)[0] for text in ("w1 w2 w4 !", "w3 ! ! !")]
    assert scores["score_a"].tolist() == pytest.approx(by_hand, abs=1e-6)
    assert (scores["score_a"] - scores["score_b"]).abs().min() > 1e-4


def test_text_ending_in_eos_scores_like_the_text(texts: list[list[int]]) -> None:
    tokenizer, model = make_tokenizer(), make_model()
    pairs = make_pairs(8)
    with_eos = pairs.assign(a=pairs["a"] + " <eos>", b=pairs["b"] + " <eos>")
    plain, ended = score_pairs(model, tokenizer, pairs), score_pairs(model, tokenizer, with_eos)
    assert np.allclose(plain[["score_a", "score_b"]], ended[["score_a", "score_b"]], atol=1e-6)


def test_shards_add_up(texts: list[list[int]]) -> None:
    model = make_model()
    whole = score_ids(model, texts, 100, budget=200)
    shards = np.stack([score_ids(model, texts, 100, budget=200, shard=(rank, 3)) for rank in range(3)])
    assert ((~np.isnan(shards)).sum(axis=0) == 1).all()
    assert np.array_equal(np.nanmax(shards, axis=0), whole)
