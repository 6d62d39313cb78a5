"""A folder with an adapter as a model of a recipe: what it scores as, what its key is made of, what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_pairs, make_tokenizer, save_tiny
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from w2s_pref.core.errors import W2SError
from w2s_pref.models.adapters import layers_of
from w2s_pref.models.info import facts
from w2s_pref.models.load import load_base, load_saved
from w2s_pref.models.policies import load_policy, load_saved_policy
from w2s_pref.models.scoring import logprob_pairs, score_pairs
from w2s_pref.models.spec import ModelSpec

#: Merged weights are rounded once more than a sum of two products, in every layer.
ROUNDING = 1e-5
HERE = Path()


def save_adapter(
    folder: Path, base: Path, reward: bool = False, seed: int = 1, tokenizer: bool = True, below: Any = None
) -> Any:
    """A saved adapter with random weights, and the model that it is a part of."""
    kind = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    torch.manual_seed(seed)
    model = below or kind.from_pretrained(base, **({"num_labels": 1, "pad_token_id": 100} if reward else {}))
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False,
        task_type="SEQ_CLS" if reward else "CAUSAL_LM",
    )  # fmt: skip
    adapted = get_peft_model(model, config).eval()
    adapted.save_pretrained(folder)
    said = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**said, "base_model_name_or_path": str(base)}))
    if tokenizer:
        make_tokenizer().save_pretrained(folder)
    return adapted


def logps(model: Any) -> torch.Tensor:
    return torch.tensor(logprob_pairs(model, make_tokenizer(), make_pairs(8))[["logp_a", "logp_b"]].to_numpy())


def rewards(model: Any) -> torch.Tensor:
    return torch.tensor(score_pairs(model, make_tokenizer(), make_pairs(8))[["score_a", "score_b"]].to_numpy())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "base")


def test_a_policy_starts_from_an_adapter(tmp_path: Path, base: Path) -> None:
    adapted = save_adapter(tmp_path / "adapter", base)
    plain = logps(load_policy(ModelSpec(path=str(base)), HERE, 0)[0])
    model, tokenizer = load_policy(ModelSpec(path=str(tmp_path / "adapter")), HERE, 0)
    assert (logps(model) - logps(adapted)).abs().max() < ROUNDING * logps(adapted).abs().max()
    assert (logps(model) - plain).abs().max() > 1e-2
    assert not isinstance(model, PeftModel)
    assert not hasattr(model, "peft_config")
    assert all(each.requires_grad for each in model.parameters())
    assert tokenizer.pad_token_id == model.config.pad_token_id == 100


def test_a_reward_model_starts_from_adapters_of_either_kind(tmp_path: Path, base: Path) -> None:
    """Over a language model's the head is new; a reward model's brings its own."""
    save_adapter(tmp_path / "policy", base)
    model, _ = load_base(ModelSpec(path=str(tmp_path / "policy")), HERE, 3)
    whole, _ = load_base(ModelSpec(path=str(base)), HERE, 3)
    assert model.new_weights == {"score.weight"}
    assert torch.equal(model.score.weight, whole.score.weight)
    assert not torch.equal(model.model.layers[0].self_attn.q_proj.weight, whole.model.layers[0].self_attn.q_proj.weight)
    adapted = save_adapter(tmp_path / "reward", base, reward=True)
    model, _ = load_base(ModelSpec(path=str(tmp_path / "reward")), HERE, 3)
    assert model.new_weights == set()
    assert (rewards(model) - rewards(adapted)).abs().max() < ROUNDING
    assert (rewards(load_saved(tmp_path / "reward")[0]) - rewards(adapted)).abs().max() < ROUNDING


def test_an_adapter_without_a_tokenizer_has_that_of_its_base(tmp_path: Path, base: Path) -> None:
    save_adapter(tmp_path / "adapter", base, tokenizer=False)
    spec = ModelSpec(path=str(tmp_path / "adapter"))
    assert facts(spec, HERE).tokenizer_hash == facts(ModelSpec(path=str(base)), HERE).tokenizer_hash
    assert load_policy(spec, HERE, 0)[1].get_vocab() == make_tokenizer().get_vocab()
    assert load_saved_policy(tmp_path / "adapter")[1].get_vocab() == make_tokenizer().get_vocab()


def test_an_adapter_stands_on_an_adapter(tmp_path: Path, base: Path) -> None:
    """As when a student with LoRA starts from a folder that holds an adapter."""
    save_adapter(tmp_path / "first", base)
    below, _ = load_policy(ModelSpec(path=str(tmp_path / "first")), HERE, 0)
    adapted = save_adapter(tmp_path / "second", tmp_path / "first", seed=2, below=below)
    assert layers_of(tmp_path / "second") == [base, tmp_path / "first", tmp_path / "second"]
    for model, _ in (
        load_policy(ModelSpec(path=str(tmp_path / "second")), HERE, 0),
        load_saved_policy(tmp_path / "second"),
    ):
        assert (logps(model) - logps(adapted)).abs().max() < ROUNDING * logps(adapted).abs().max()


def test_the_hash_is_of_content(tmp_path: Path, base: Path) -> None:
    def of(name: str) -> str:
        return facts(ModelSpec(path=str(tmp_path / name)), HERE).hash

    save_adapter(tmp_path / "adapter", base)
    found = of("adapter")
    assert found != of("base")
    shutil.copytree(tmp_path / "adapter", tmp_path / "copy" / "adapter")
    shutil.copytree(base, tmp_path / "copy" / "base")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "copy/adapter/adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "../base"})
    )
    assert of("copy/adapter") == found
    (tmp_path / "copy/adapter/adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": "../base", "lora_alpha": 99})
    )
    assert of("copy/adapter") != found
    save_adapter(tmp_path / "adapter", base, seed=5)
    other = of("adapter")
    assert other != found
    save_tiny(base, seed=9)
    assert of("adapter") not in (found, other)


def test_what_cannot_be_added_is_refused(tmp_path: Path, base: Path) -> None:
    save_adapter(tmp_path / "reward", base, reward=True)
    here, spec = tmp_path / "reward", ModelSpec(path=str(tmp_path / "reward"))
    with pytest.raises(W2SError, match=r"weights for .*score.*an adapter of a reward model starts no policy"):
        load_policy(spec, HERE, 0)
    with pytest.raises(W2SError, match="is an adapter, which has no random weights; drop from_config"):
        facts(ModelSpec(path=str(here), from_config={"hidden_size": 8}), HERE)
    quantized = ModelSpec(path=str(here), lora={"r": 2}, quantization={"load_in_4bit": True})
    with pytest.raises(W2SError, match="drop quantization, or make a whole model of it first"):
        facts(quantized, HERE)
    config = json.loads((here / "adapter_config.json").read_text())

    def says(**changes: Any) -> None:
        (here / "adapter_config.json").write_text(json.dumps({**config, **changes}))

    says(peft_type="PREFIX_TUNING")
    with pytest.raises(W2SError, match="kind PREFIX_TUNING puts tokens in front of a text"):
        facts(spec, HERE)
    says(base_model_name_or_path=".")
    with pytest.raises(W2SError, match="more than 8 adapters stand on one another, or in a circle"):
        facts(spec, HERE)
    says(base_model_name_or_path=None)
    with pytest.raises(W2SError, match="is an adapter over no base"):
        facts(spec, HERE)
    (here / "adapter_config.json").write_text("[")
    with pytest.raises(W2SError, match=r"adapter_config\.json: is not readable JSON"):
        facts(spec, HERE)
    (here / "adapter_model.safetensors").unlink()
    says()
    with pytest.raises(W2SError, match=r"has no adapter_model\.safetensors"):
        facts(spec, HERE)


def test_a_base_that_is_gone_is_named(tmp_path: Path, base: Path) -> None:
    save_adapter(tmp_path / "adapter", base)
    os.rename(base, tmp_path / "elsewhere")
    sentence = f"is an adapter over '{base}', which is neither a folder here nor in the local hub cache; download or "
    for read in (
        lambda: facts(ModelSpec(path=str(tmp_path / "adapter")), HERE),
        lambda: load_policy(ModelSpec(path=str(tmp_path / "adapter")), HERE, 0),
        lambda: load_saved_policy(tmp_path / "adapter"),
    ):
        with pytest.raises(W2SError, match=sentence):
            read()


def without(file: Path, *parts: str) -> None:
    """The same file without the weights whose names hold one of ``parts``."""
    kept = {name: value for name, value in load_file(file).items() if not any(part in name for part in parts)}
    save_file(kept, file, {"format": "pt"})


def test_layers_that_a_folder_lacks_are_not_random_numbers(base: Path) -> None:
    without(base / "model.safetensors", "layers.1.self_attn.q_proj")
    with pytest.raises(
        W2SError, match=r"its files lack weights .* model\.layers\.1\.self_attn\.q_proj\.weight and 1 in"
    ):
        load_base(ModelSpec(path=str(base)), HERE, 0)
    assert "score.weight" in load_base(ModelSpec(path=str(base), from_config={}), HERE, 0)[0].new_weights


@pytest.mark.parametrize("reward", [False, True])
def test_an_adapter_that_is_not_whole_is_refused(tmp_path: Path, base: Path, reward: bool) -> None:
    save_adapter(tmp_path / "adapter", base, reward=reward)
    without(tmp_path / "adapter" / "adapter_model.safetensors", "layers.1")
    spec = ModelSpec(path=str(tmp_path / "adapter"))
    start, saved = (load_base, load_saved) if reward else (load_policy, load_saved_policy)
    with pytest.raises(W2SError, match=r"adapter_model\.safetensors lacks .*layers\.1"):
        start(spec, HERE, 0)
    with pytest.raises(W2SError, match=r"adapter_model\.safetensors lacks .*layers\.1"):
        saved(tmp_path / "adapter")


def test_an_adapter_of_a_deeper_model_is_refused(tmp_path: Path, base: Path) -> None:
    save_adapter(tmp_path / "adapter", base)
    without(base / "model.safetensors", "layers.1")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1, "layer_types": None}))
    with pytest.raises(W2SError, match=r"has no layer for: .*layers"):
        load_saved_policy(tmp_path / "adapter")
