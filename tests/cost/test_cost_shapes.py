"""Shapes of models from their configurations: parameters and FLOPs by hand."""

from __future__ import annotations

import pytest

from w2s_pref.models.info import ModelFacts
from w2s_pref.models.spec import ModelSpec
from w2s_pref.planning.cost.shapes import PUBLISHED, Shape, published, shape


def absent(path: str) -> ModelFacts:
    """What planning knows of a hub model that is not here."""
    return ModelFacts(ModelSpec(path=path), None, None, {}, "hash", "tokenizer", None)


#: Parameters as the authors give them, in millions.
SAID = {
    "openai-community/gpt2": 124.4,
    "openai-community/gpt2-xl": 1557.6,
    "facebook/opt-125m": 125.2,
    "facebook/opt-350m": 331.2,
    "facebook/opt-6.7b": 6658.5,
    "Qwen/Qwen2.5-0.5B": 494.0,
    "Qwen/Qwen2.5-7B": 7615.6,
    "mistralai/Mistral-7B-v0.1": 7241.7,
}


@pytest.mark.parametrize("path", SAID)
def test_parameters_are_within_one_percent_of_what_the_authors_give(path: str) -> None:
    found = shape(absent(path))
    assert found is not None
    assert found.parameters / 1e6 == pytest.approx(SAID[path], rel=0.01)


def test_every_published_model_has_a_shape_and_others_have_none() -> None:
    assert all(shape(absent(path)) for path in PUBLISHED)
    assert shape(absent("someone/else")) is None
    assert published("someone/else") == {}


def test_flops_by_hand() -> None:
    tiny = Shape(hidden=4, layers=2, vocabulary=10, backbone=100, parameters=140, positions=None)
    # 3 tokens × (2 × 100 + 4 × 2 layers × 4 wide × 5 tokens of context) + 2 positions × 2 × 4 × 10
    assert tiny.forward_flops(3, 5, 2) == 3 * (200 + 160) + 160


def test_a_gated_layer_has_three_matrices_and_grouped_keys_are_smaller() -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 32,
    }
    found = shape(ModelFacts(ModelSpec(path="x"), None, None, config, "h", "t", None))
    assert found is not None
    assert found.backbone == 8 * 8 * 2 + 8 * 4 * 2 + 3 * 8 * 16
    assert found.parameters == found.backbone + 32 * 8
