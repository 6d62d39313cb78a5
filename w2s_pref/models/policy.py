"""Load and save policies: causal language models with a tokenizer whose pad is its own, whole or as LoRA adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, set_seed

from w2s_pref.core.errors import W2SError
from w2s_pref.models import quantized
from w2s_pref.models.load import (
    UNREADABLE,
    _base_options,
    _short,
    _unloadable,
    device,
    load_tokenizer,
    pin_pad,
    placed,
)
from w2s_pref.models.saved_folder import tidy
from w2s_pref.models.spec import ModelSpec, resolve


def load_policy(spec: ModelSpec, base: Path, seed: int) -> tuple[PreTrainedModel, Any]:
    """A policy before training, and its tokenizer; random weights (from_config) are drawn from ``seed``.

    Raises:
        W2SError: it cannot be loaded, is no language model, or is to train with a frozen backbone.
    """
    if spec.freeze_backbone:
        raise W2SError(f"model {spec.path!r}: freeze_backbone leaves a policy nothing to train; use lora instead")
    folder = resolve(spec.path, base)
    path = str(folder or spec.path)
    hub: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    if folder is None:
        hub["revision"] = spec.revision
    tokenizer = load_tokenizer(path, spec.pad_token, **hub)
    set_seed(seed)
    try:
        model = _weights(spec, path, hub)
    except UNREADABLE as error:
        raise W2SError(_unloadable(path, error)) from error
    _fit_tokenizer(model, tokenizer)
    return model, tokenizer


def _weights(spec: ModelSpec, path: str, hub: dict[str, Any]) -> PreTrainedModel:
    dtype = getattr(torch, spec.dtype)
    if spec.from_config is not None:
        config = AutoConfig.from_pretrained(path, **spec.from_config, **hub)
        config.validate()
        return AutoModelForCausalLM.from_config(config, dtype=dtype)
    return _whole(path, dtype=dtype, **hub, **quantized.loading(spec.quantization, device()))


def _whole(path: str | Path, **options: Any) -> PreTrainedModel:
    """A causal language model whose every weight comes from the folder."""
    model, info = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, output_loading_info=True, **options)
    if info["missing_keys"]:  # a reward model, say: its language head would be random numbers
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise W2SError(f"model {str(path)!r} is no language model: it has no weights for {missing}")
    return model


def _fit_tokenizer(model: PreTrainedModel, tokenizer: Any) -> None:
    """Room for every token of the tokenizer, and its pad in both configurations.

    A new token gets the mean of the old ones (Hewitt 2021), which is the same every time: an adapter is saved without
    its base, and random rows of the head would give every text other log-probabilities when it is loaded again.
    """
    old = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > old:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            for weight in (layer.weight, getattr(layer, "bias", None)):
                if weight is not None:
                    weight.data[old:] = weight.data[:old].mean(dim=0)
    pin_pad(model, tokenizer)
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def load_saved_policy(
    folder: str | Path, trust_remote_code: bool = False, trainable: bool = False
) -> tuple[PreTrainedModel, Any]:
    """Load a policy that was saved: a full model folder, or a LoRA adapter folder.

    Args:
        trainable: load it to train it further (an adapter goes on being trained, its base stays as it is): in training
            mode and on the CPU, as the trainers want it. Otherwise it comes in evaluation mode, on the device.

    Raises:
        W2SError: no folder of a language model, or an adapter whose base model is gone.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise W2SError(f"model {str(folder)!r}: no such folder")
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    try:
        if (folder / "adapter_config.json").is_file():
            model = _load_adapter(folder, tokenizer, trust_remote_code, trainable)
        else:
            model = _whole(folder, trust_remote_code=trust_remote_code)
            _fit_tokenizer(model, tokenizer)
    except UNREADABLE as error:
        raise W2SError(f"model {str(folder)!r} could not be loaded: {_short(error)}") from error
    return (model.train() if trainable else placed(model.eval())), tokenizer


def _load_adapter(folder: Path, tokenizer: Any, trust_remote_code: bool, trainable: bool) -> Any:
    from peft import PeftModel

    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = _whole(
        config["base_model_name_or_path"],
        revision=config.get("revision"),
        trust_remote_code=trust_remote_code,
        **_base_options(folder),
    )
    _fit_tokenizer(base, tokenizer)
    return PeftModel.from_pretrained(base, folder, is_trainable=trainable)


def save_policy(model: Any, tokenizer: Any, folder: Path, base_path: str) -> None:
    """Save a policy as safetensors and JSON; of an adapter only the adapter, which then names ``base_path``."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    tidy(model, folder, base_path)
