"""QLoRA: `quantization` reaches bitsandbytes by transformers' own names, is in the key, or is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from conftest import make_pairs, save_tiny
from pydantic import ValidationError

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import tokenize
from w2s_pref.models import quantized
from w2s_pref.models.info import facts
from w2s_pref.models.load import load_base, load_saved
from w2s_pref.models.policies import load_policy, load_saved_policy, save_policy
from w2s_pref.models.spec import ModelSpec
from w2s_pref.stages.model_stage import model_payload
from w2s_pref.studies.recipe import training_problems

FOUR_BITS = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj"]}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"quantization": FOUR_BITS}, "weights of 4 or 8 bits cannot be trained; add lora"),
        ({"lora": LORA, "quantization": {"load_in_4bits": True}}, "no such argument; did you mean 'load_in_4bit'"),
        ({"lora": LORA, "quantization": {"bnb_4bit_quant_type": "nf4"}}, "or nothing is quantized"),
    ],
    ids=["without lora", "a name bitsandbytes would ignore", "nothing quantized"],
)
def test_what_cannot_be_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelSpec(path="ladder/xs", **keys)


def test_a_plan_asks_for_bfloat16() -> None:
    """Where it is planned bitsandbytes may be absent: what is wrong with the recipe is said all the same."""
    models = {"strong": ModelSpec(path="ladder/xs", lora=LORA, quantization=FOUR_BITS)}
    said = ["models.strong.quantization: trains under bfloat16 only; set training.bf16: true"]
    assert training_problems(models, {}, "reward") == training_problems(models, {"bf16": False}, "reward") == said
    assert training_problems(models, {"bf16": True}, "reward") == []
    own = {"strong": models["strong"].model_copy(update={"training": {"bf16": True}})}
    assert training_problems(own, {}, "reward") == []


def test_quantization_is_in_the_key_only_where_it_is_set() -> None:
    """Keys of everything that was built before stay what they were."""
    plain, four = (
        model_payload(facts(ModelSpec(path="ladder/xxs", lora=LORA, quantization=value), Path()))
        for value in (None, FOUR_BITS)
    )
    assert "quantization" not in plain
    assert four == {**plain, "quantization": FOUR_BITS}


def test_without_bitsandbytes_a_sentence_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    with pytest.raises(W2SError, match="quantization needs bitsandbytes"):
        quantized.require(FOUR_BITS)
    with pytest.raises(W2SError, match="pip install 'w2s-pref"):
        load_base(ModelSpec(path="ladder/xxs", lora=LORA, quantization=FOUR_BITS), Path(), 0)


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed: pip install 'w2s-pref[qlora]'")
    save_tiny(tmp_path / "base", hidden=64, layers=1)
    return ModelSpec(path=str(tmp_path / "base"), lora=LORA, quantization=FOUR_BITS)


def test_a_reward_model_trains_in_4_bits(tmp_path: Path, spec: ModelSpec) -> None:
    """The base stays in 4 bits, adapter and head learn, and what was saved scores as what was trained."""
    from w2s_pref.models.scoring import score_pairs
    from w2s_pref.training.arguments import DEFAULTS
    from w2s_pref.training.fit import FitJob, fit
    from w2s_pref.training.reward import Loss

    model, tokenizer = load_base(spec, Path(), 0)
    pairs = make_pairs(16)
    tokens = tokenize(pairs, tokenizer, max_length=32, overlong="truncate")
    columns = {"p": [1.0] * 16, "sign": [0.0] * 16}
    arguments = {**DEFAULTS, "batch_size": 8, "learning_rate": 1e-2, "bf16": True}
    job = FitJob(
        tokens.a_ids, tokens.b_ids, columns, Loss(), arguments=arguments, seed=0, lora=spec.lora, base_path=spec.path
    )
    (tmp_path / "work").mkdir()
    before = score_pairs(model, tokenizer, pairs, max_length=32, overlong="truncate")
    fit(model, tokenizer, job, tmp_path / "work", tmp_path / "saved")
    loaded, tokenizer = load_saved(tmp_path / "saved")
    after = score_pairs(loaded, tokenizer, pairs, max_length=32, overlong="truncate")
    assert loaded.is_loaded_in_4bit
    assert type(loaded.base_model.model.model.layers[0].self_attn.k_proj).__name__ == "Linear4bit"
    assert np.isfinite(after["score_a"]).all()
    assert (after["score_a"] - before["score_a"]).abs().max() > 1e-3


def is_four_bits(module: object) -> bool:
    return type(module).__name__ == "Linear4bit"


def test_layers_that_were_read_pass_gradients_on(tmp_path: Path, spec: ModelSpec) -> None:
    """Read without gradients first, as the check of layouts does; below the last layer adapters learn all the same."""
    import torch
    from peft import LoraConfig, get_peft_model

    model, _ = load_policy(spec, Path(), 0)
    packing = [vars(module).get("support_avx512bf16_for_cpu") for module in model.modules() if is_four_bits(module)]
    assert set(packing) == {False}  # where the processor has no such instructions, it is all that can be seen
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA))
    ids = torch.arange(12)[None]
    with torch.no_grad():
        adapted.eval()(ids)
    adapted.train()(ids, labels=ids).loss.backward()
    gradients = [weight.grad for name, weight in adapted.named_parameters() if "lora_B" in name]
    assert len(gradients) == 2
    assert all(float(each.abs().max()) > 0 for each in gradients)


def test_no_layer_packs_itself() -> None:
    """The attribute of bitsandbytes' layers that says whether they may."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].support_avx512bf16_for_cpu = True
    assert quantized.trainable(model)[1].support_avx512bf16_for_cpu is False
    assert not hasattr(model[0], "support_avx512bf16_for_cpu")


def test_a_policy_is_loaded_in_4_bits_again(tmp_path: Path, spec: ModelSpec) -> None:
    """Its log-probabilities are those of the quantized base, not of the whole one."""
    import torch
    from peft import LoraConfig, get_peft_model

    model, tokenizer = load_policy(spec, Path(), 0)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **LORA))
    save_policy(adapted, tokenizer, tmp_path / "saved", spec.path)
    loaded, _ = load_saved_policy(tmp_path / "saved")
    ids = torch.arange(12)[None]
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, adapted.eval()(ids).logits, atol=1e-5)
