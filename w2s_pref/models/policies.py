"""Policies: causal language models by a recipe's word or from a folder, and saved again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.errors import W2SError
from w2s_pref.models import frozen
from w2s_pref.models.adapters import is_adapter
from w2s_pref.models.load import clean_saved_folder, grow, load_folder, load_spec, pin_pad, placed
from w2s_pref.models.spec import ModelSpec


def load_policy(spec: ModelSpec, base: Path, seed: int) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A policy before training, and its tokenizer; random weights (from_config) are drawn from ``seed``.

    Raises:
        W2SError: it cannot be loaded, is no language model, or is to train with a frozen backbone.
    """
    if spec.freeze_backbone:
        raise W2SError(f"model {spec.path!r}: freeze_backbone leaves a policy nothing to train; use lora instead")
    model, tokenizer, missing = load_spec(spec, base, seed, AutoModelForCausalLM)
    if spec.from_config is None:
        _refuse_missing(model.config.name_or_path, missing)
    _fit_policy_vocabulary(model, tokenizer)
    if spec.freeze_layers is not None:
        frozen.freeze(model, spec.freeze_layers)
    return model, tokenizer


def _refuse_missing(path: str | Path, missing: set[str]) -> None:
    """Every weight must come from the folder: of a reward model, say, the language head would be random numbers."""
    if missing:
        raise W2SError(
            f"model {str(path)!r} is no language model: it has no weights for {', '.join(sorted(missing)[:3])}"
        )


def _fit_policy_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Room for every token of the tokenizer, and its pad in both configurations.

    A new token gets the mean of the old ones (Hewitt 2021), which is the same every time: an adapter is saved without
    its base, and random rows of the head would give every text other log-probabilities when it is loaded again.
    """
    grow(model, len(tokenizer))
    pin_pad(model, tokenizer)
    if model.generation_config is not None:
        model.generation_config.pad_token_id = tokenizer.pad_token_id


def load_saved_policy(
    folder: str | Path, trust_remote_code: bool = False, trainable: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a policy that was saved: a full model folder, or a LoRA adapter folder.

    Args:
        trainable: load it to train it further (an adapter goes on being trained, its base stays as it is): in training
            mode and on the CPU, as the trainers want it. Otherwise it comes in evaluation mode, on the device.

    Raises:
        W2SError: no folder of a language model, or an adapter whose base model is gone.
    """
    model, tokenizer = load_folder(
        folder, trust_remote_code, _read_policy, _read_policy, _fit_policy_vocabulary, trainable
    )
    if not is_adapter(Path(folder)):
        _fit_policy_vocabulary(model, tokenizer)
    return (model.train() if trainable else placed(model.eval())), tokenizer


def _read_policy(path: Path, **options: Any) -> PreTrainedModel:
    model, info = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, output_loading_info=True, **options)
    _refuse_missing(path, set(info["missing_keys"]))
    return model


def save_policy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, base_path: str) -> None:
    """Save a policy as safetensors and JSON; of an adapter only the adapter, which then names ``base_path``."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    clean_saved_folder(model, folder, base_path)
