"""The frozen beginning of a model: what is trained, under an adapter too, and what keys say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from conftest import save_tiny
from pydantic import ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.models import frozen
from w2s_pref.models.info import facts
from w2s_pref.models.load import load_base
from w2s_pref.models.policies import load_policy
from w2s_pref.models.spec import ModelSpec
from w2s_pref.stages.model_stage import model_payload
from w2s_pref.training.trainer import adapter

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 104, "num_labels": 1}
CONFIGS: dict[str, Any] = {
    "llama": lambda: t.LlamaConfig(**SHAPE, intermediate_size=32, pad_token_id=100),
    "gpt2": lambda: t.GPT2Config(n_embd=16, n_layer=3, n_head=2, vocab_size=104, num_labels=1, pad_token_id=100),
    "opt": lambda: t.OPTConfig(**SHAPE, ffn_dim=32, word_embed_proj_dim=16, pad_token_id=100),
    "bert": lambda: t.BertConfig(**SHAPE, intermediate_size=32),
    "mpnet": lambda: t.MPNetConfig(**SHAPE, intermediate_size=32),
}
#: Trained behind two frozen layers, beside the third.
BEHIND = {
    "llama": {"model.norm", "score"},
    "gpt2": {"transformer.ln_f", "score"},
    "opt": {"model.decoder.final_layer_norm", "score"},
    "bert": {"bert.pooler.dense", "classifier"},
    "mpnet": {"classifier.dense", "classifier.out_proj"},
}


def made(kind: str) -> t.PreTrainedModel:
    torch.manual_seed(0)
    return t.AutoModelForSequenceClassification.from_config(CONFIGS[kind]())


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_what_lies_behind_the_frozen_layers_is_trained_and_nothing_else(kind: str) -> None:
    model = made(kind)
    frozen.freeze(model, 2)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    third = {id(weight) for weight in frozen.layers_of(model)[2].parameters()}
    inside = {name for name, weight in model.named_parameters() if id(weight) in third}
    assert inside <= trained
    assert {name.rpartition(".")[0] for name in trained - inside} == BEHIND[kind]


def test_an_adapter_lies_behind_them_too() -> None:
    from peft import get_peft_model

    model = made("llama")
    frozen.freeze(model, 2)
    config = adapter(frozen.adapted_above({"r": 2, "target_modules": "all-linear"}, model), "SEQ_CLS", set())
    assert config is not None
    adapted = get_peft_model(model, config)
    names = [name for name, weight in adapted.named_parameters() if weight.requires_grad and "lora" in name]
    assert len(names) == 2 * 7  # A and B of the seven matrices of one layer
    assert all(".layers.2." in name for name in names)
    assert frozen.adapted_above({"r": 2}, made("llama")) == {"r": 2}


def test_all_linear_layers_of_gpt2_are_its_transposed_ones_too() -> None:
    model = t.GPT2LMHeadModel(t.GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=104))
    frozen.freeze(model, 2)
    found = frozen.adapted_above({"r": 2, "target_modules": "all-linear"}, model)
    assert found == {"r": 2, "target_modules": ["c_attn", "c_fc", "c_proj"], "layers_to_transform": [2]}


def test_the_base_of_an_adapter_that_is_trained_on_stays_as_it_is() -> None:
    """A policy goes on from its fine-tuning: what its adapter is added to is in no file of its own."""
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(made("llama"), LoraConfig(r=2, target_modules=["q_proj"], layers_to_transform=[2]))
    frozen.freeze(adapted, 2)
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert len(trained) == 2
    assert all(".layers.2." in name and "lora" in name for name in trained)


def test_layers_that_an_adapter_is_asked_for_lie_behind_them() -> None:
    model = made("llama")
    frozen.freeze(model, 2)
    for asked in (2, [2], [0, 2], None):
        found = frozen.adapted_above({"r": 2, **({} if asked is None else {"layers_to_transform": asked})}, model)
        assert found is not None
        assert found["layers_to_transform"] == [2]
    for asked in (0, [0, 1]):
        with pytest.raises(W2SError, match="name layers from 2 on"):
            frozen.adapted_above({"r": 2, "layers_to_transform": asked}, model)


def test_the_recipe_s_number_is_read_and_stands_in_keys_where_it_is_set(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model", layers=3)
    spec = ModelSpec(path=str(folder), freeze_layers=1)
    for load in (load_base, load_policy):
        model, _ = load(spec, tmp_path, 0)
        assert not model.get_input_embeddings().weight.requires_grad
        assert [layer.mlp.up_proj.weight.requires_grad for layer in model.model.layers] == [False, True, True]
    plain = model_payload(facts(ModelSpec(path=str(folder)), tmp_path))
    assert model_payload(facts(spec, tmp_path)) == {**plain, "freeze_layers": 1}
    with pytest.raises(W2SError, match="freeze_layers is 3, and it has 3 layers"):
        facts(ModelSpec(path=str(folder), freeze_layers=3), tmp_path)
    with pytest.raises(ValidationError, match="the second freezes all layers"):
        ModelSpec(path="x", freeze_layers=1, freeze_backbone=True)
    for kept in ({"freeze_layers": 1}, {"freeze_backbone": True}):
        with pytest.raises(ValidationError, match="would stay random"):
            ModelSpec(path="x", from_config={"num_hidden_layers": 2}, **kept)
