"""Load models by a recipe's word or from a folder, reward models among them; a tokenizer has a pad of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import readable
from w2s_pref.models import frozen, quantized
from w2s_pref.models.adapters import check_held, is_adapter, layers_of, read_layers, tokenizer_folder
from w2s_pref.models.spec import ModelSpec, how_to_get, hub_snapshot, resolve

#: What transformers raises for model folders it cannot make sense of.
UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError, StrictDataclassError)

#: Reads a model from a path, with options of ``from_pretrained``.
Reader: TypeAlias = Callable[..., PreTrainedModel]
#: Gives a model room for every token of a tokenizer.
Fit: TypeAlias = Callable[[PreTrainedModel, PreTrainedTokenizerBase], None]


def load_tokenizer(path: str | Path, pad_token: str | None = None, **options: Any) -> PreTrainedTokenizerBase:
    """Load a tokenizer whose pad token is its own.

    Raises:
        W2SError: it cannot be found, or it has no pad token (or pad equals eos, which makes a text and the same text
            plus eos score the same).
    """
    try:
        with readable(Path(path)):
            tokenizer = _tokenizer(path, **options)
    except UNREADABLE as error:
        raise W2SError(unloadable(str(path), error)) from error
    if pad_token is not None:
        tokenizer.add_special_tokens({"pad_token": pad_token})
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        raise W2SError(
            f"model {str(path)!r}: its tokenizer has no pad token of its own (pad is {tokenizer.pad_token!r}, eos is "
            f"{tokenizer.eos_token!r}); set pad_token for this model in the recipe: an unused token of its vocabulary, "
            "or a new one such as '<|pad|>'"
        )
    return tokenizer


def _tokenizer(path: str | Path, **options: Any) -> PreTrainedTokenizerBase:
    """A tokenizer as its files say; that of the base, where an adapter was saved without one."""
    return AutoTokenizer.from_pretrained(tokenizer_folder(Path(path)) if is_adapter(Path(path)) else path, **options)


def load_spec(
    spec: ModelSpec, base: Path, seed: int, auto: Any, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, set[str]]:
    """A model as a recipe names it, its tokenizer, and the parameters that its files lack.

    Random weights (``from_config``) are drawn from ``seed``, and the files lack all of them.

    Args:
        auto: the class of transformers that says which head it has (``AutoModelForCausalLM`` …).
        options: for its configuration, such as ``num_labels``.

    Raises:
        W2SError: it cannot be found or read.
    """
    folder = _folder(spec, base, weights=spec.from_config is None)
    path, hub = str(folder or spec.path), _hub_options(spec, folder)
    tokenizer = load_tokenizer(path, spec.pad_token, **hub)
    set_seed(seed)
    try:
        with readable(Path(path)):
            model, missing = _weights(spec, path, auto, {**hub, **options})
    except UNREADABLE as error:
        raise W2SError(unloadable(path, error)) from error
    return model, tokenizer, missing


def spec_tokenizer(spec: ModelSpec, base: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model as a recipe names it: what ``load_spec`` returns, without the weights.

    Raises:
        W2SError: it cannot be found or read.
    """
    folder = _folder(spec, base, weights=False)
    return load_tokenizer(str(folder or spec.path), spec.pad_token, **_hub_options(spec, folder))


def _hub_options(spec: ModelSpec, folder: Path | None) -> dict[str, Any]:
    """What ``from_pretrained`` is told of a model's source; a folder has no revision."""
    trusted: dict[str, Any] = {"trust_remote_code": spec.trust_remote_code}
    return trusted if folder is not None else {**trusted, "revision": spec.revision}


def _folder(spec: ModelSpec, base: Path, weights: bool) -> Path | None:
    """A model's folder; None for a hub model, which transformers looks up by itself, unless it is an adapter."""
    folder = resolve(spec.path, base, weights)
    cached = hub_snapshot(spec.path, spec.revision) if folder is None else None
    return cached if is_adapter(cached) else folder


def _weights(spec: ModelSpec, path: str, auto: Any, options: dict[str, Any]) -> tuple[PreTrainedModel, set[str]]:
    dtype = getattr(torch, spec.dtype)
    if spec.from_config is not None:
        config = AutoConfig.from_pretrained(path, **spec.from_config, **options)
        config.validate()
        model = auto.from_config(config, dtype=dtype)
        return model, {name for name, _ in model.named_parameters()}
    options |= quantized.loading(spec.quantization, device())

    def read(path: str | Path) -> tuple[PreTrainedModel, set[str]]:
        model, info = auto.from_pretrained(path, dtype=dtype, output_loading_info=True, use_safetensors=True, **options)
        return quantized.trainable(model), set(info["missing_keys"])

    if not is_adapter(Path(path)):
        return read(path)

    def fit(model: PreTrainedModel, tokens: Path) -> None:
        grow(model, len(_tokenizer(tokens, trust_remote_code=spec.trust_remote_code)))

    return read_layers(layers_of(Path(path)), read, fit)


def load_base(
    spec: ModelSpec, base: Path, seed: int, outputs: int = 1
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A reward model before training, and its tokenizer: base weights, new head drawn from ``seed``.

    Its attribute ``new_weights`` names the parameters that do not come from the checkpoint. ``outputs`` is 2 for a
    classifier.
    """
    model, tokenizer, fresh = load_spec(spec, base, seed, AutoModelForSequenceClassification, num_labels=outputs)
    if spec.from_config is None:
        _refuse_lost(model, fresh)
    fit_vocabulary(model, tokenizer)
    model.new_weights = fresh
    if spec.freeze_backbone:
        _freeze(model, fresh)
    if spec.freeze_layers is not None:
        frozen.freeze(model, spec.freeze_layers)
    return model, tokenizer


def _refuse_lost(model: PreTrainedModel, fresh: set[str]) -> None:
    """A new head is to be learned; layers that a damaged folder lacks would be random numbers under it."""
    lost = [name for name in sorted(fresh) if name.startswith(f"{model.base_model_prefix}.") and ".pooler." not in name]
    if lost:
        raise W2SError(
            f"model {model.config.name_or_path!r}: its files lack weights that its configuration names, "
            f"{', '.join(lost[:3])} and {len(lost):,} in all; copy or download it again, or mend its config.json"
        )


def _freeze(model: PreTrainedModel, fresh: set[str]) -> None:
    """Train only what did not come from the checkpoint, i.e. the head (and a pooler the checkpoint lacks)."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in fresh)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise W2SError("freeze_backbone: the checkpoint already holds a head, so nothing would be trained")


def fit_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Room for every token of the tokenizer, and its pad in the configuration; rows of new tokens are random."""
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    pin_pad(model, tokenizer)


def grow(model: PreTrainedModel, tokens: int) -> None:
    """Room for so many tokens; rows of new ones are the mean of the old ones."""
    old = model.get_input_embeddings().num_embeddings
    if tokens <= old:
        return
    model.resize_token_embeddings(tokens, mean_resizing=False)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        for weight in (getattr(layer, "weight", None), getattr(layer, "bias", None)):
            if weight is not None:
                weight.data[old:] = weight.data[:old].mean(dim=0)


def pin_pad(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the model find the last real token with the tokenizer's own pad."""
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def load_saved(
    folder: str | Path, trust_remote_code: bool = False, outputs: int = 1
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a reward model that was saved (or a classifier, with 2 ``outputs``): a full model folder, or an adapter's.

    Raises:
        W2SError: not a model folder, another number of outputs, or an adapter whose base model is gone.
    """

    def whole(path: Path, **options: Any) -> PreTrainedModel:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            path, use_safetensors=True, output_loading_info=True, **options
        )
        if info["missing_keys"]:  # a language model, say: its head would be random numbers
            missing = ", ".join(sorted(info["missing_keys"])[:3])
            what = "reward model" if outputs == 1 else "classifier"
            raise W2SError(f"model {str(path)!r} is no saved {what}: it has no weights for {missing}")
        return model

    def under_adapter(path: Path, **options: Any) -> PreTrainedModel:
        return AutoModelForSequenceClassification.from_pretrained(
            path, use_safetensors=True, num_labels=outputs, **options
        )

    model, tokenizer = load_folder(folder, trust_remote_code, whole, under_adapter, fit_vocabulary)
    if model.config.num_labels != outputs:
        needed = "a reward model has one" if outputs == 1 else f"a classifier has {outputs}"
        raise W2SError(f"model {str(folder)!r} has {model.config.num_labels} outputs; {needed}")
    pin_pad(model, tokenizer)
    return placed(model.eval()), tokenizer


def load_folder(
    folder: str | Path, trust_remote_code: bool, whole: Reader, under_adapter: Reader, fit: Fit, trainable: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model that was saved, read as ``whole``, or as an adapter on its base, which is read as ``under_adapter``.

    Args:
        fit: gives a base room for the tokens that an adapter was trained with.
        trainable: an adapter goes on being trained.

    Raises:
        W2SError: no such folder, or its files, or those of the adapter's base, cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise W2SError(f"model {str(folder)!r}: no such folder")
    tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    try:
        with readable(folder):
            if not is_adapter(folder):
                return whole(folder, trust_remote_code=trust_remote_code), tokenizer
            options = {"trust_remote_code": trust_remote_code, **_base_options(folder)}
            return _under(folder, lambda path: under_adapter(path, **options), fit, tokenizer, trainable), tokenizer
    except UNREADABLE as error:
        raise W2SError(f"model {str(folder)!r} could not be loaded: {_short(error)}") from error


def _under(
    folder: Path, read: Reader, fit: Fit, tokenizer: PreTrainedTokenizerBase, trainable: bool
) -> PreTrainedModel:
    """An adapter on the model that it was made for, which stays apart from it."""
    from peft import PeftModel

    layers = layers_of(folder)[:-1]
    base, _ = read_layers(layers, lambda at: (read(at), set()), lambda model, at: grow(model, len(_tokenizer(at))))
    fit(base, tokenizer)
    quantized.trainable(base)
    adapted: PreTrainedModel = PeftModel.from_pretrained(base, folder, is_trainable=trainable)
    check_held(adapted, folder)
    return adapted


def _base_options(folder: Path) -> dict[str, Any]:
    """Dtype and quantization that the base model had in training; adapters of other tools do not say, so float32."""
    file = folder / "base.json"
    said: dict[str, Any] = {"dtype": "float32"}
    if file.is_file():
        said = json.loads(file.read_text(encoding="utf-8"))
    return {"dtype": getattr(torch, said["dtype"]), **quantized.loading(said.get("quantization"), device())}


def clean_saved_folder(model: PreTrainedModel, folder: Path, base_path: str) -> None:
    """Remove pickle and README that libraries leave; let an adapter name its base's path, dtype, quantization."""
    for name in ("training_args.bin", "README.md"):
        (folder / name).unlink(missing_ok=True)
    adapter = folder / "adapter_config.json"
    if adapter.is_file() and base_path:
        config = json.loads(adapter.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base_path
        adapter.write_text(json.dumps(config, indent=2), encoding="utf-8")
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        base = {"dtype": dtype} | ({"quantization": given} if (given := quantized.of_model(model)) else {})
        (folder / "base.json").write_text(json.dumps(base), encoding="utf-8")


def placed(model: PreTrainedModel) -> PreTrainedModel:
    """The model on its device; weights of 8 bits stay where they were made, which is there already."""
    return model if getattr(model, "is_loaded_in_8bit", False) else model.to(device())


def device() -> str:
    """Where models of this process live."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def unloadable(path: str, error: Exception) -> str:
    """What to do about a model that cannot be loaded: a folder is damaged, a hub id is out of reach."""
    if Path(path).is_dir():
        return f"model {path!r} could not be loaded: {_short(error)}; check its files, and from_config where it is set"
    return f"{how_to_get(path)} ({_short(error)})"


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:240] or type(error).__name__
