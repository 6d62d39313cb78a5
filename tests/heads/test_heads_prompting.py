"""Prompting: log-probabilities by hand, examples by class and seed, the ladder's tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import save_tiny
from float64 import EXACT

from w2s_pref.core.errors import W2SError
from w2s_pref.models.policies import load_policy, load_saved_policy
from w2s_pref.models.prompting import few_shot, pick_examples
from w2s_pref.models.spec import ModelSpec


@pytest.fixture
def language_model(tmp_path: Path, float64: None):
    model, tokenizer = load_saved_policy(save_tiny(tmp_path / "lm"))
    return model.double(), tokenizer


def items(n: int = 9) -> pd.DataFrame:
    texts = [" ".join(f"w{(3 * row + word) % 90}" for word in range(1, 3 + row % 4)) for row in range(n)]
    return pd.DataFrame({"id": [f"i{row}" for row in range(n)], "prompt": texts})


def by_hand(language_model, prompt: str, word: str) -> float:
    model, tokenizer = language_model
    before = tokenizer(prompt)["input_ids"]
    ids = tokenizer(prompt + word)["input_ids"]
    assert ids[: len(before)] == before
    with torch.no_grad():
        steps = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return sum(float(steps[at - 1, ids[at]]) for at in range(len(before), len(ids)))


def test_zero_shot_by_hand(language_model) -> None:
    table = few_shot(*language_model, items())
    for row in table.join(items().set_index("id"), on="id").itertuples():
        prompt = f"{row.prompt}\nAnswer:"
        assert row.score_a == pytest.approx(by_hand(language_model, prompt, " yes"), abs=EXACT)
        assert row.score_b == pytest.approx(by_hand(language_model, prompt, " no"), abs=EXACT)
    assert (table["score_a"] - table["score_b"]).nunique() > 5


def test_few_shot_by_hand(language_model) -> None:
    examples = pd.DataFrame({"prompt": ["w1 w2", "w7"], "label": [1, 0]})
    table = few_shot(*language_model, items(3), examples)
    prompt = "w1 w2\nAnswer: yes\n\nw7\nAnswer: no\n\n" + items()["prompt"][1] + "\nAnswer:"
    assert table["score_a"][1] == pytest.approx(by_hand(language_model, prompt, " yes"), abs=EXACT)
    assert not np.allclose(table["score_a"], few_shot(*language_model, items(3))["score_a"])


def test_other_words(language_model) -> None:
    table = few_shot(*language_model, items(2), words=(" w5", " maybe w6"))
    prompt = items()["prompt"][0] + "\nAnswer:"
    assert table["score_a"][0] == pytest.approx(by_hand(language_model, prompt, " maybe w6"), abs=EXACT)
    assert table["score_b"][0] == pytest.approx(by_hand(language_model, prompt, " w5"), abs=EXACT)


def test_long_prompts_lose_their_first_examples(language_model) -> None:
    examples = pd.DataFrame({"prompt": ["w1 w2 w3 w4", "w7"], "label": [1, 0]})
    cut = few_shot(*language_model, items(1), examples, max_length=8)
    last = few_shot(*language_model, items(1), examples.iloc[1:], max_length=8)
    assert cut["score_a"][0] == pytest.approx(last["score_a"][0], abs=EXACT)


def test_batches_and_shards_change_nothing(language_model) -> None:
    whole = few_shot(*language_model, items())
    for row in range(3):
        alone = few_shot(*language_model, items().iloc[[row]])
        assert alone["score_a"][0] == pytest.approx(whole["score_a"][row], abs=EXACT)
    parts = [few_shot(*language_model, items(), shard=(rank, 2)).set_index("id") for rank in (0, 1)]
    assert (parts[0].isna() ^ parts[1].isna()).all().all()
    assert np.allclose(parts[0].fillna(parts[1])["score_a"], whole["score_a"], atol=EXACT)


def test_examples_by_class_and_seed() -> None:
    labels = pd.DataFrame({"id": items()["id"], "p": [0.9, 0.8, 0.7, 0.6, 0.1, 0.2, 0.3, 0.4, 0.9], "keep": True})
    labels.loc[8, "keep"] = False
    for seed in range(4):
        shown = pick_examples(items(), labels, 4, seed)
        assert sorted(shown["label"]) == [0, 0, 1, 1]
        assert "i8" not in set(shown["id"])
        joined = shown.merge(labels, on="id")
        assert ((joined["p"] >= 0.5) == (joined["label"] == 1)).all()
        assert shown["prompt"].tolist() == items().set_index("id")["prompt"].loc[shown["id"]].tolist()
        again = pick_examples(items().iloc[::-1], labels.sample(frac=1, random_state=seed), 4, seed)
        pd.testing.assert_frame_equal(shown, again)
        assert set(shown["id"]) <= set(pick_examples(items(), labels, 6, seed)["id"])
    chosen = {tuple(pick_examples(items(), labels, 4, seed)["id"]) for seed in range(6)}
    assert len(chosen) > 2
    assert {tuple(pick_examples(items(), labels, 8, seed)["label"]) for seed in range(6)} != {(0,) * 4 + (1,) * 4}


def test_examples_where_a_class_is_short() -> None:
    labels = pd.DataFrame({"id": items()["id"], "p": [0.9] * 7 + [0.1] * 2, "keep": True})
    assert sorted(pick_examples(items(), labels, 6)["label"]) == [0, 0, 1, 1, 1, 1]
    flipped = labels.assign(p=1 - labels["p"])
    assert sorted(pick_examples(items(), flipped, 6)["label"]) == [0, 0, 0, 0, 1, 1]
    with pytest.raises(W2SError, match="10 shots, but only 9"):
        pick_examples(items(), labels, 10)


def test_the_ladder_answers() -> None:
    """The shipped ladder knows the words yes and no, each as one token."""
    model, tokenizer = load_policy(ModelSpec(path="ladder/xxs"), Path(), 0)
    texts = pd.DataFrame({"id": ["a", "b"], "prompt": ["mixing is safe", "mixing is a danger"]})
    table = few_shot(model, tokenizer, texts, pd.DataFrame({"prompt": ["it is safe"], "label": [1]}))
    assert np.isfinite(table[["score_a", "score_b"]].to_numpy()).all()
    assert table["score_a"][0] != table["score_a"][1]
    with pytest.raises(W2SError, match="writes ' nonesuch' and ' unheard' the same"):
        few_shot(model, tokenizer, texts, words=(" unheard", " nonesuch"))


def test_prompting_bad_input(language_model) -> None:
    from transformers import BertConfig, BertModel

    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    with pytest.raises(W2SError, match="this is an encoder"):
        few_shot(BertModel(BertConfig(vocab_size=104, **shape)), language_model[1], items())
