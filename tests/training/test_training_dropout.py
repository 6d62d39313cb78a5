"""Dropout is off while a model trains, wherever its layers read it; and where it is on, the split is in the key."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from w2s_pref.training.arguments import keyed
from w2s_pref.training.trainer import undropped, without_dropout

SHAPE = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.mark.parametrize("family", ["falcon", "persimmon", "gpt2"])
def test_two_passes_in_training_mode_are_one(family: str) -> None:
    """Falcon's layers ask the configuration at every pass, which says what it said when the training is over."""
    torch.manual_seed(0)
    dropped = dict.fromkeys(("hidden_dropout", "attention_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.3)
    config = AutoConfig.for_model(family, **SHAPE, **dropped)
    model = AutoModelForCausalLM.from_config(config).train()
    ids = torch.arange(12)[None]
    without_dropout(model)
    with undropped(model, True):
        first, second = (model(ids).logits for _ in range(2))
    assert torch.equal(first, second)
    assert {name: getattr(model.config, name) for name in dropped if hasattr(config, name)} == {
        name: 0.3 for name in dropped if hasattr(config, name)
    }


def test_the_split_of_a_batch_is_in_the_key_where_dropout_makes_it_matter() -> None:
    split = {"per_device_train_batch_size": 8, "micro_batch_tokens": 512}
    assert keyed({"learning_rate": 0.1, "disable_dropout": True, **split}) == keyed(
        {"learning_rate": 0.1, "disable_dropout": True}
    )
    assert split.items() <= keyed({"disable_dropout": False, **split}).items()
