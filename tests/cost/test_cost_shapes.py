"""Shapes of models from their configurations: parameters and FLOPs by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from w2s_pref.models.info import ModelFacts
from w2s_pref.models.shapes import PUBLISHED, Shape, backbone_parameters, published, shape
from w2s_pref.models.spec import ModelSpec


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
    tiny = Shape(hidden=4, layers=2, vocabulary=10, backbone=100, stored=120, parameters=140, positions=None)
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


SIZES = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 160, "vocab_size": 512, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
OLDER = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 512, "n_positions": 64}
WIDE, MIXED = {**SIZES, "head_dim": 32}, {**SIZES, "num_local_experts": 4}
LATENT = {"q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 24}
ROUTED = {"n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1}
#: Tiny configurations by family: without experts, and with four of them, of which a token takes two.
DENSE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(["llama", "mistral", "qwen2", "phi", "phi3", "olmo", "granite", "cohere", "stablelm"], SIZES),
    **dict.fromkeys(["starcoder2", "nemotron", "smollm3", "olmo2"], SIZES),
    **dict.fromkeys(["qwen3", "gemma", "gemma2", "gemma3_text", "glm"], WIDE),
    **dict.fromkeys(["gpt2", "gpt_bigcode"], OLDER),
    "gptj": {**OLDER, "rotary_dim": 8},
    "falcon": {name: SIZES[name] for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")},
    "mpt": {"d_model": 64, "n_layers": 3, "n_heads": 4, "vocab_size": 512, "max_seq_len": 64},
}
EXPERTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(["mixtral", "phimoe", "granitemoe"], MIXED),
    "olmoe": {**SIZES, "num_experts": 4},
    "qwen2_moe": {
        **SIZES, "num_experts": 4, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48,
        "decoder_sparse_step": 1, "mlp_only_layers": [1],
    },
    "qwen3_moe": {**WIDE, "num_experts": 4, "moe_intermediate_size": 32, "decoder_sparse_step": 2},
    "deepseek_v3": {**SIZES, **LATENT, **ROUTED, "moe_intermediate_size": 32},
    "glm4_moe": {**SIZES, **ROUTED, "head_dim": 16, "moe_intermediate_size": 32},
}  # fmt: skip


def built(family: str, folder: Path, **sizes: Any) -> tuple[Shape, PreTrainedModel]:
    """The shape that a family's config.json gives, and the model without memory for its weights."""
    config = AutoConfig.for_model(family, **sizes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.save_pretrained(folder)
    said = json.loads((folder / "config.json").read_text())
    found = shape(ModelFacts(ModelSpec(path="x"), None, None, said, "h", "t", None))
    assert found is not None
    return found, model


def matrices(model: PreTrainedModel) -> int:
    """Parameters without biases and norms."""
    return sum(weight.numel() for weight in model.parameters() if weight.dim() > 1)


@pytest.mark.parametrize("family", [*DENSE, *EXPERTS])
def test_parameters_of_a_configuration_are_those_of_its_model(tmp_path: Path, family: str) -> None:
    sizes = {**EXPERTS[family], "num_experts_per_tok": 2} if family in EXPERTS else DENSE[family]
    found, model = built(family, tmp_path, **sizes)
    assert found.parameters == matrices(model)
    assert found.parameters == pytest.approx(model.num_parameters(), rel=0.03)
    outside = [each for name, each in model.named_parameters() if _outside(name) and each.dim() > 1]
    assert found.stored == matrices(model) - sum(map(torch.numel, outside))  # tied ones are named once
    assert (found.backbone < found.stored) == (family in EXPERTS)


def _outside(name: str) -> bool:
    """Of the embeddings or the language head."""
    return any(part in name for part in ("embed_tokens", "word_embeddings", "wte", "wpe", "lm_head"))


@pytest.mark.parametrize("family", EXPERTS)
def test_a_token_costs_the_experts_that_it_takes(tmp_path: Path, family: str) -> None:
    """As in a model that has no others, but for the router."""
    found, _ = built(family, tmp_path, **{**EXPERTS[family], "num_experts_per_tok": 2})
    fewer = {name: 2 if value == 4 and "experts" in name else value for name, value in EXPERTS[family].items()}
    alone, _ = built(family, tmp_path, **fewer, num_experts_per_tok=2)
    assert alone.backbone == alone.stored
    sparse = {"qwen2_moe": 2, "qwen3_moe": 1, "deepseek_v3": 2, "glm4_moe": 2}.get(family, 3)
    assert found.backbone == alone.stored + sparse * 2 * found.hidden


def test_matched_compute_counts_the_experts_that_a_token_takes() -> None:
    config = AutoConfig.for_model("mixtral", **EXPERTS["mixtral"], num_experts_per_tok=2).to_dict()
    for parameters in (10**6, None):
        facts = ModelFacts(ModelSpec(path="x"), None, parameters, config, "h", "t", None)
        found = shape(facts)
        assert found is not None
        assert backbone_parameters(facts) == found.backbone < found.stored
    dense = {"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 10}
    facts = ModelFacts(ModelSpec(path="x"), None, 1000, dense, "h", "t", None)
    assert backbone_parameters(facts) == 1000 - 8 * 10
