"""GGUF files as a source of models: the same model as the one they were written from."""

from __future__ import annotations

from pathlib import Path

import gguf_files
import pytest
import torch
from gguf import GGMLQuantizationType
from safetensors import safe_open
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    set_seed,
)

from w2s_pref.core.errors import W2SError
from w2s_pref.models.info import facts
from w2s_pref.models.load import load_base
from w2s_pref.models.policies import load_policy
from w2s_pref.models.spec import ModelSpec, resolve

SIZES = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
TEXT = "the cat sat the cat"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))


def small(kind: str) -> PreTrainedModel:
    """Random weights, biases and norms: a tensor read into the wrong place shows."""
    set_seed(1)
    model: PreTrainedModel
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**SIZES, tie_word_embeddings=False))
    else:
        model = Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, head_dim=16, sliding_window=32))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def written(kind: str, folder: Path, stored: GGMLQuantizationType = GGMLQuantizationType.F32) -> PreTrainedModel:
    model = small(kind)
    gguf_files.write(model, folder / "model.gguf", stored)
    return model


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3"])
def test_a_file_of_float32_is_the_model_it_was_written_from(kind: str, tmp_path: Path) -> None:
    source = written(kind, tmp_path)
    model, tokenizer = load_policy(ModelSpec(path="model.gguf"), tmp_path, seed=0)
    ids = tokenizer(TEXT, return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids[0]) == TEXT
    assert ids.shape[1] == 5  # a word each: the merges were read
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<eos>" if kind == "gemma3" else "<|endoftext|>", "<pad>")
    with torch.no_grad():
        difference = (model.eval()(ids).logits - source(ids).logits).abs().max()
    assert difference < 1e-5


def test_eight_bits_differ_by_their_rounding_only(tmp_path: Path) -> None:
    source = written("llama", tmp_path, GGMLQuantizationType.Q8_0)
    model, _ = load_policy(ModelSpec(path="model.gguf"), tmp_path, seed=0)
    for name, weight in source.state_dict().items():
        read = model.state_dict()[name]
        # A block of 32 is rounded to 127 steps of its largest value, and the step itself to float16.
        step = weight.abs().max() / 127
        assert (read - weight).abs().max() <= (0.5 + 127 * 2**-11) * step
    assert not torch.equal(model.lm_head.weight, source.lm_head.weight)
    assert facts(ModelSpec(path="model.gguf"), tmp_path).precision == "GGUF Q8_0"


def test_weights_are_written_once_when_they_are_first_read(tmp_path: Path) -> None:
    source = written("llama", tmp_path)
    spec = ModelSpec(path="model.gguf")
    known = facts(spec, tmp_path)
    assert known.folder is not None
    assert known.folder.is_relative_to(tmp_path / "cache")
    assert not (known.folder / "model.safetensors").exists()  # planning needs none
    assert known.parameters == sum(p.numel() for p in source.parameters())
    load_base(spec, tmp_path, seed=0)
    weights = known.folder / "model.safetensors"
    with safe_open(weights, "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}  # noqa: SIM118
    when = weights.stat().st_mtime_ns
    load_base(spec, tmp_path, seed=0)
    assert weights.stat().st_mtime_ns == when
    assert AutoModelForCausalLM.from_pretrained(known.folder).config.model_type == "llama"


def test_the_key_follows_the_content_not_the_name(tmp_path: Path) -> None:
    written("llama", tmp_path)
    blob = tmp_path / "sha256-0123"  # as Ollama calls them
    blob.write_bytes((tmp_path / "model.gguf").read_bytes())
    first, second = (facts(ModelSpec(path=name), tmp_path) for name in ("model.gguf", blob.name))
    assert (first.hash, first.tokenizer_hash, first.folder) == (second.hash, second.tokenizer_hash, second.folder)
    written("qwen2", tmp_path)
    assert facts(ModelSpec(path="model.gguf"), tmp_path).hash != first.hash


def test_what_cannot_be_read_is_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(W2SError, match=r"no such file"):
        resolve("gone.gguf", tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(W2SError, match="no GGUF file"):
        resolve("notes.txt", tmp_path)
    with pytest.raises(W2SError, match=r"package 'numpy' has no file 'x\.gguf'"):
        resolve("package:numpy/x.gguf", tmp_path)
    written("llama", tmp_path)
    whole = (tmp_path / "model.gguf").read_bytes()
    for bytes_left in {5, 9, 21, *range(30, 3000, 97), len(whole) // 2}:  # in a number, a text, a list, the weights
        (tmp_path / "half.gguf").write_bytes(whole[:bytes_left])
        with pytest.raises(W2SError, match="could not be read"):
            resolve("half.gguf", tmp_path)
    assert list((tmp_path / "cache" / "gguf").iterdir()) == []
