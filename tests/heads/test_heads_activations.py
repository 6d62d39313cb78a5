"""Activations: pooled by hand, the same in every batch, frozen, from any kind of model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_tokenizer, save_tiny
from heads_helpers import make_items, save_encoder

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import item_ids
from w2s_pref.models.classifier import load_classifier
from w2s_pref.models.spec import ModelSpec
from w2s_pref.training.probes import activations, load_backbone
from w2s_pref.training.probes.activations import default_pooling

TEXTS = [*make_items(13)["prompt"], "w1", "w1 w2 w3", "w1"]


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory):
    place = tmp_path_factory.mktemp("backbones")
    folders = {"decoder": save_tiny(place / "decoder"), "encoder": save_encoder(place / "encoder")}
    return {name: (*load_backbone(ModelSpec(path=str(folder)), Path()), folder) for name, folder in folders.items()}


def by_hand(model, tokenizer, text: str, pooling: str) -> np.ndarray:
    ids = torch.tensor([list(item_ids([text], tokenizer, None)[0])])
    with torch.no_grad():
        hidden = model(ids).last_hidden_state[0]
    return {"last": hidden[-1], "first": hidden[0], "mean": hidden.mean(dim=0)}[pooling].numpy()


@pytest.mark.parametrize("pooling", ["last", "mean", "first"])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_pooling_by_hand(backbones, kind: str, pooling: str) -> None:
    model, tokenizer, _ = backbones[kind]
    found = activations(model, tokenizer, TEXTS, pooling)
    assert found.shape == (16, model.config.hidden_size)
    assert found.dtype == np.float32
    for row, text in enumerate(TEXTS):
        assert np.allclose(found[row], by_hand(model, tokenizer, text, pooling), atol=1e-5)
    assert np.array_equal(found[13], found[15])


def test_defaults_by_kind(backbones) -> None:
    for kind, pooling in (("decoder", "last"), ("encoder", "mean")):
        model, tokenizer, _ = backbones[kind]
        assert default_pooling(model) == pooling
        assert np.array_equal(activations(model, tokenizer, TEXTS), activations(model, tokenizer, TEXTS, pooling))


def test_frozen_and_without_gradients(backbones) -> None:
    model = backbones["decoder"][0]
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_of_a_classifier_without_its_head(backbones) -> None:
    """What a fine-tuned student represents is read below its head, through an adapter as well."""
    from peft import LoraConfig, get_peft_model

    model, tokenizer, folder = backbones["decoder"]
    classifier, _ = load_classifier(ModelSpec(path=str(folder)), Path(), 0, "normal")
    same = activations(classifier, tokenizer, TEXTS)
    assert np.allclose(same, activations(model, tokenizer, TEXTS), atol=1e-6)
    adapted = get_peft_model(classifier, LoraConfig(r=2, task_type="SEQ_CLS", init_lora_weights=False))
    changed = activations(adapted, tokenizer, TEXTS)
    assert not np.allclose(changed, same, atol=1e-3)
    with torch.no_grad():
        ids = torch.tensor([list(item_ids(TEXTS[:1], tokenizer, None)[0])])
        hidden = adapted(ids, output_hidden_states=True).hidden_states[-1][0, -1]
    assert np.allclose(changed[0], hidden.numpy(), atol=1e-5)


def test_a_backbone_that_projects_what_it_gives() -> None:
    """OPT-350M computes in 1,024 numbers and gives 512."""
    from transformers import OPTConfig, OPTModel

    config = OPTConfig(
        vocab_size=104, hidden_size=32, word_embed_proj_dim=16, ffn_dim=32, num_hidden_layers=1, num_attention_heads=2
    )
    model = OPTModel(config).eval()
    assert activations(model, make_tokenizer(), ["yes no", "no"], "last").shape == (2, 16)


def test_shards_and_progress(backbones) -> None:
    model, tokenizer, _ = backbones["encoder"]
    whole = activations(model, tokenizer, TEXTS)
    parts = [activations(model, tokenizer, TEXTS, shard=(rank, 2)) for rank in (0, 1)]
    assert np.array_equal(np.isnan(parts[0]), ~np.isnan(parts[1]))
    assert np.allclose(np.fmax(*parts), whole, atol=1e-6)
    seen: list[tuple[int, int]] = []
    activations(model, tokenizer, TEXTS, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (15, 15)


def test_long_texts_lose_their_start(backbones) -> None:
    model, tokenizer, _ = backbones["decoder"]
    (cut,) = activations(model, tokenizer, ["w1 w2 w3 w4 w5"], max_length=3)
    assert np.allclose(cut, by_hand(model, tokenizer, "w4 w5", "last"), atol=1e-5)


def test_random_weights_are_seeded(backbones) -> None:
    folder = backbones["decoder"][2]
    spec = ModelSpec(path=str(folder), from_config={"num_hidden_layers": 1})
    found = [activations(*load_backbone(spec, Path(), seed), TEXTS[:3]) for seed in (0, 0, 1)]
    assert np.array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])


def test_a_model_with_weights_missing(backbones, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(backbones["decoder"][2], tmp_path / "torn")
    tensors = load_file(folder / "model.safetensors")
    save_file({name: each for name, each in tensors.items() if "layers.1" not in name}, folder / "model.safetensors", {"format": "pt"})  # fmt: skip  # noqa: E501
    with pytest.raises(W2SError, match="would be noise"):
        load_backbone(ModelSpec(path=str(folder)), Path())
