"""Two-output heads: how they start, how they come back, and what they say of items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_tokenizer, save_tiny
from float64 import EXACT
from heads_helpers import make_items, save_encoder

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import item_ids
from w2s_pref.models.classifier import class_tokens, load_classifier, score_items
from w2s_pref.models.load import load_base, load_saved
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.models.spec import ModelSpec


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {"decoder": save_tiny(place / "decoder"), "encoder": save_encoder(place / "encoder")}


def head(model: torch.nn.Module) -> torch.Tensor:
    found = dict(model.named_parameters())
    return (found.get("score.weight", found.get("classifier.weight"))).detach()


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_zeros_say_a_half(folders: dict[str, Path], kind: str) -> None:
    model, tokenizer = load_classifier(ModelSpec(path=str(folders[kind])), Path(), 3)
    assert head(model).shape[0] == 2
    assert not head(model).any()
    scores = score_items(model, tokenizer, make_items(7))
    assert (scores["score_a"] - scores["score_b"] == 0).all()
    assert model.config.get_text_config().pad_token_id == tokenizer.pad_token_id


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_normal_is_seeded_and_small(folders: dict[str, Path], kind: str) -> None:
    spec = ModelSpec(path=str(folders[kind]))
    heads = [head(load_classifier(spec, Path(), seed, "normal")[0]) for seed in (3, 3, 4)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert 0.01 < heads[0].std() < 0.03


def with_digits(folder: Path) -> Path:
    """The tiny language model with a tokenizer that knows "0" and "1"."""
    import json

    save_tiny(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    for word, old in (("0", "w20"), ("1", "w21")):
        vocabulary[word] = vocabulary.pop(old)
    file.write_text(json.dumps(content))
    return folder


def test_unembedding_rows(tmp_path: Path) -> None:
    """z is what the language head would give for "0" and "1" at the last token."""
    folder = with_digits(tmp_path / "digits")
    model, tokenizer = load_classifier(ModelSpec(path=str(folder)), Path(), 0, "unembedding")
    language, _ = load_saved_policy(folder)
    ids = class_tokens(tokenizer, "x")
    assert tokenizer.convert_ids_to_tokens(ids) == ["0", "1"]
    items = make_items(5)
    scores = score_items(model, tokenizer, items)
    for row, text in enumerate(item_ids(items["prompt"].tolist(), tokenizer, None)):
        with torch.no_grad():
            logits = language(torch.tensor([list(text)])).logits[0, -1, ids]
        # One forward pass in float32, logits of 0.1: 1e-5 is 1,000 of their roundings (7.5e-9).
        assert scores.loc[row, ["score_b", "score_a"]].tolist() == pytest.approx(logits.tolist(), abs=1e-5)


def test_unembedding_needs_the_words_and_a_decoder(folders: dict[str, Path]) -> None:
    with pytest.raises(W2SError, match="no single token"):
        load_classifier(ModelSpec(path=str(folders["decoder"])), Path(), 0, "unembedding")
    with pytest.raises(W2SError, match="this is an encoder"):
        load_classifier(ModelSpec(path=str(folders["encoder"])), Path(), 0, "unembedding")


def test_a_space_before_the_digit_counts() -> None:
    class Spaced:
        unk_token_id = 0

        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            return {"0": [5, 6], "1": [5, 7], " 0": [8], " 1": [9]}[text]

    assert class_tokens(Spaced(), "x") == [8, 9]


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_random_weights_and_frozen_backbones(folders: dict[str, Path], kind: str) -> None:
    spec = ModelSpec(path=str(folders[kind]), freeze_backbone=True)
    trained = [name for name, each in load_classifier(spec, Path(), 0)[0].named_parameters() if each.requires_grad]
    assert all(name.split(".")[-2] in {"score", "classifier", "dense"} for name in trained)
    assert any(name.split(".")[-2] in {"score", "classifier"} for name in trained)
    random, _ = load_classifier(ModelSpec(path=str(folders[kind]), from_config={"num_hidden_layers": 2}), Path(), 0)
    assert random.config.num_hidden_layers == 2
    assert not head(random).any()


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_saved_and_loaded(folders: dict[str, Path], tmp_path: Path, kind: str) -> None:
    model, tokenizer = load_classifier(ModelSpec(path=str(folders[kind])), Path(), 0, "normal")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, again = load_saved(tmp_path, outputs=2)
    items = make_items(6)
    before, after = score_items(model, tokenizer, items), score_items(loaded, again, items)
    assert np.allclose(before[["score_a", "score_b"]], after[["score_a", "score_b"]], atol=1e-6)
    # a head that is there is kept, whatever start is asked for
    assert torch.equal(head(load_classifier(ModelSpec(path=str(tmp_path)), Path(), 0, "zeros")[0]), head(model))
    with pytest.raises(W2SError, match="2 outputs; a reward model has one"):
        load_saved(tmp_path)


def test_a_reward_model_is_no_classifier(folders: dict[str, Path], tmp_path: Path) -> None:
    reward, tokenizer = load_base(ModelSpec(path=str(folders["decoder"])), Path(), 0)
    reward.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(W2SError, match="1 outputs; a classifier has 2"):
        load_saved(tmp_path, outputs=2)
    with pytest.raises(W2SError, match="is no saved classifier"):
        load_saved(folders["decoder"], outputs=2)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_scores_by_hand_and_in_any_batch(folders: dict[str, Path], kind: str) -> None:
    model, tokenizer = load_classifier(ModelSpec(path=str(folders[kind])), Path(), 0, "normal")
    model.double()
    items = make_items(11)
    items.loc[4, "prompt"] = items.loc[2, "prompt"]
    scores = score_items(model, tokenizer, items)
    assert scores["id"].tolist() == items["id"].tolist()
    for row, text in enumerate(item_ids(items["prompt"].tolist(), tokenizer, None)):
        with torch.no_grad():
            z0, z1 = model(torch.tensor([list(text)])).logits[0].tolist()
        assert scores.loc[row, ["score_b", "score_a"]].tolist() == pytest.approx([z0, z1], abs=EXACT)
    assert scores.loc[4, "score_a"] == scores.loc[2, "score_a"]


def test_long_items_lose_their_start() -> None:
    tokenizer = make_tokenizer()
    (cut, whole) = item_ids(["w1 w2 w3 w4 w5", "w4 w5"], tokenizer, 3)
    assert list(cut) == list(whole) == tokenizer("w4 w5 <eos>")["input_ids"]
