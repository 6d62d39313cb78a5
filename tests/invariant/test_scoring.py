"""A score belongs to a text, not to its batch, its padding or its neighbours."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_model, make_pairs, make_tokenizer
from float64 import EXACT
from transformers import LlamaForSequenceClassification

from w2s_pref.models import scoring
from w2s_pref.models.batches import Row
from w2s_pref.models.batches.read import counting
from w2s_pref.models.scoring import row_outputs, score_ids, score_pairs

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture(scope="module")
def texts() -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(100) for _ in range(draw.randint(1, 40))] + [101] for _ in range(60)]


def test_scores_do_not_depend_on_batch_size_or_order(texts: list[list[int]]) -> None:
    model = make_model()
    one = score_ids(model, texts, 100, budget=1)
    many = score_ids(model, texts, 100, budget=100_000)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = score_ids(model, [texts[i] for i in order], 100, budget=300)
    assert np.abs(one - many).max() <= EXACT
    assert np.abs(one[order] - shuffled).max() <= EXACT


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
    assert np.abs(expected - padded.double().numpy()).max() <= EXACT
    model.config.pad_token_id = 103
    assert np.abs(expected - score_ids(model, texts, 103)).max() <= EXACT


def test_an_exclamation_mark_with_id_zero_counts(texts: list[list[int]]) -> None:
    """Public code found the last token by counting non-zero ids, wrong for GPT-2's "!"."""
    tokenizer, model = make_tokenizer(), make_model()
    pairs = pd.DataFrame({
        "id": ["x", "y"], "group": ["g", "h"], "form": "text", "prompt": ["w1 w2", "w3"], "truth": 1,
        "a": [" w4 !", " ! ! !"], "b": [" w4", " !"], "objective": "t",
    })  # fmt: skip
    scores = score_pairs(model, tokenizer, pairs)
    by_hand = [score_ids(model, [tokenizer(text)["input_ids"] + [101]], 100)[0] for text in ("w1 w2 w4 !", "w3 ! ! !")]
    assert scores["score_a"].tolist() == pytest.approx(by_hand, abs=EXACT)
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


def test_pairs_score_as_their_texts_do_one_by_one() -> None:
    """Two answers behind one prompt, and texts that several pairs hold."""
    tokenizer, model = make_tokenizer(), make_model()
    pairs = make_pairs(20)
    pairs = pd.concat([pairs, pairs.assign(id=pairs["id"] + "x", a=pairs["b"], b=" w1 maybe")])
    scores = score_pairs(model, tokenizer, pairs)
    for side in ("a", "b"):
        texts = [tokenizer(text)["input_ids"] + [101] for text in pairs["prompt"] + pairs[side]]
        one = [score_ids(model, [text], 100)[0] for text in texts]
        assert np.abs(scores[f"score_{side}"] - one).max() <= EXACT
    assert (scores["score_b"][:20].to_numpy() == scores["score_a"][20:].to_numpy()).all()


def test_each_text_of_pairs_runs_once() -> None:
    """Four texts of 4 tokens in five pairs: x and y behind one prompt (2 + 2 + 2 columns), then z and t alone."""
    tokenizer, model = make_tokenizer(), make_model()
    sides = [("x", "y"), ("y", "x"), ("x", "x"), ("y", "z"), ("z", "t")]
    words = {"x": " w5", "y": " w6", "z": " w7", "t": " w8"}
    rows = [{"prompt": "w1 w2", "a": words[a], "b": words[b]} for a, b in sides]
    pairs = pd.DataFrame([{"id": str(n), "form": "text", **row} for n, row in enumerate(rows)])
    with counting() as seen:
        score_pairs(model, tokenizer, pairs)  # decides on the layout too
    with counting() as seen:
        scores = score_pairs(model, tokenizer, pairs)
    assert seen.real == (2 + 2 + 2) + 4 + 4
    assert scores["score_a"][0] == scores["score_b"][1] == scores["score_a"][2] == scores["score_b"][2]


def test_shards_of_pairs_add_up() -> None:
    tokenizer, model, pairs = make_tokenizer(), make_model(), make_pairs(30)
    whole = score_pairs(model, tokenizer, pairs, budget=64)
    parts = [score_pairs(model, tokenizer, pairs, budget=64, shard=(rank, 2)) for rank in (0, 1)]
    for side in ("score_a", "score_b"):
        both = np.stack([part[side] for part in parts])
        assert ((~np.isnan(both)).sum(axis=0) == 1).all()
        assert np.array_equal(np.nanmax(both, axis=0), whole[side])


def test_two_outputs(texts: list[list[int]]) -> None:
    """A classifier's logits, one text at a time."""
    config = make_model().config
    config.num_labels = 2
    model = LlamaForSequenceClassification(config)
    logits = row_outputs(model, [Row((text,)) for text in texts], 100)
    assert logits.shape == (60, 2)
    with torch.no_grad():
        one = [model(input_ids=torch.tensor([text])).logits[0].numpy() for text in texts]
    assert np.abs(logits - np.stack(one)).max() <= EXACT


def test_texts_of_pairs_take_four_bytes_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numbers of Python's they would take thirty-six: 2.4 GiB for the pairs of HH-RLHF."""
    kept: list[int] = []
    original = scoring.row_outputs

    def watched(model: object, rows: list[Row], *args: int) -> np.ndarray:
        kept.extend(memoryview(text).itemsize for row in rows for text in row.texts)  # type: ignore[arg-type]
        return original(model, rows, *args)

    monkeypatch.setattr(scoring, "row_outputs", watched)
    score_pairs(make_model(), make_tokenizer(), make_pairs(6))
    assert kept
    assert set(kept) == {4}
