"""A folder that holds an adapter (PEFT): a model of a recipe as others are, its weights added to those of its base.

Nothing of it stays apart: what trains, scores or is a reference is one whole model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.hashes import remembered_hash
from w2s_pref.core.tables import canonical
from w2s_pref.models.spec import TOKENIZER_FILES, hub_snapshot, resolve

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
#: Adapters on adapters on adapters: further ones are taken for a circle.
DEEPEST = 8
#: Parts of names of weights that peft shares between layers, or wrote under other names: their files may lack them.
SHARED = ("vblora_vector_bank", "tinylora_v", "unilora_theta_d", "lora_magnitude_vector")
#: What an adapter's configuration says about where it was and how it was used last, and nothing about its weights.
NOT_CONTENT = {"base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version", "task_type"}


def is_adapter(folder: Path | None) -> bool:
    """Whether the folder holds an adapter."""
    return folder is not None and (folder / CONFIG).is_file()


def config_of(folder: Path) -> dict[str, Any]:
    """What the adapter says of itself.

    Raises:
        W2SError: it is damaged, pickled, or of a kind that cannot be added to weights.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise W2SError(f"{folder / CONFIG}: is not readable JSON ({error}); copy or download it again") from error
    if not isinstance(config, dict):
        raise W2SError(f"{folder / CONFIG}: should hold a JSON object; copy or download it again")
    if not (folder / WEIGHTS).is_file():
        raise W2SError(
            f"{folder}: has no {WEIGHTS} (pickled .bin files are not read); save the adapter with peft again"
        )
    if str(config.get("peft_type")) in {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING"}:
        raise W2SError(
            f"{folder}: an adapter of kind {config['peft_type']} puts tokens in front of a text and has no weights to "
            "add to its base; take LoRA or another kind that peft can merge"
        )
    return config


def base_of(folder: Path) -> Path:
    """The folder of the model that an adapter belongs to: as it is written, or beside the adapter, or in the hub cache.

    Raises:
        W2SError: it is not at hand.
    """
    said = config_of(folder)
    name = str(said.get("base_model_name_or_path") or "")
    try:
        found = resolve(name, folder) if name else None
    except W2SError:
        found = None
    found = found or (hub_snapshot(name, said.get("revision")) if name else None)
    if found is None:
        where = f"over {name!r}, which is neither a folder here nor in the local hub cache" if name else "over no base"
        raise W2SError(
            f"model {str(folder)!r} is an adapter {where}; download or copy the base model here, and write its path "
            f"into {CONFIG}, base_model_name_or_path"
        )
    return found


def content(folder: Path) -> list[str]:
    """What decides an adapter, for a model's hash: its settings and its weights."""
    config = {key: value for key, value in config_of(folder).items() if key not in NOT_CONTENT}
    return ["adapter", canonical(config), remembered_hash(folder / WEIGHTS)]


def layers_of(folder: Path) -> list[Path]:
    """The whole model that a folder holds; of an adapter, the model below and the adapters in the order of adding.

    Raises:
        W2SError: a base is not at hand, or adapters name each other.
    """
    layers = [folder]
    while is_adapter(layers[0]):
        layers.insert(0, base_of(layers[0]))
        if len(layers) > DEEPEST:
            raise W2SError(f"model {str(folder)!r}: more than {DEEPEST} adapters stand on one another, or in a circle")
    return layers


def tokenizer_folder(folder: Path) -> Path:
    """Where a model's tokenizer is: in its folder, or, of an adapter that was saved without one, in its base's."""
    while is_adapter(folder) and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        folder = base_of(folder)
    return folder


def read_layers(
    layers: list[Path], read: Callable[[Path], tuple[PreTrainedModel, set[str]]], fit: Callable[[Any, Path], None]
) -> tuple[PreTrainedModel, set[str]]:
    """The whole model with every adapter added to its weights, and the parameters that neither of them holds.

    Args:
        read: folder of the whole model → the model, and the parameters that its files lack.
        fit: gives the model room for the tokens of a folder's tokenizer, which an adapter may have been trained with.
    """
    model, missing = read(layers[0])
    for folder in layers[1:]:
        fit(model, tokenizer_folder(folder))
        model, held = _with(model, folder)
        missing -= held
    return model, missing


def _with(model: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, set[str]]:
    """The model with one adapter added, every weight to be trained again; the whole parameters that the adapter holds.

    Raises:
        W2SError: adapter and model do not belong together.
    """
    from peft import PeftConfig, PeftModel, load_peft_weights, set_peft_model_state_dict

    config_of(folder)
    config = PeftConfig.from_pretrained(str(folder))
    config.task_type = None  # a language model's adapter may start a reward model, as the language model itself may
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if lacking := sorted(set(getattr(config, "modules_to_save", None) or ()) - names - {"classifier", "score"}):
        raise W2SError(f"model {str(folder)!r}: the adapter holds {lacking[0]!r}, which its base model does not have")
    config.modules_to_save = sorted(set(getattr(config, "modules_to_save", None) or ()) & names) or None
    parameters = {name for name, _ in model.named_parameters()}
    wrapped: Any = PeftModel(model, config)
    weights = load_peft_weights(str(folder), device="cpu")
    held = {name.removeprefix("base_model.model.") for name in weights} & parameters
    result = set_peft_model_state_dict(wrapped, weights)
    if result.unexpected_keys:
        raise W2SError(
            f"model {str(folder)!r}: the adapter has weights for {result.unexpected_keys[0]!r} and others, which its "
            "base model does not have as this kind of model (an adapter of a reward model starts no policy)"
        )
    check_held(wrapped, folder)
    whole = wrapped.merge_and_unload()
    whole.requires_grad_(True)
    return whole, held


def check_held(adapted: Any, folder: Path) -> None:
    """Refuse an adapter whose file is not all of it: peft would draw the rest anew, or leave it out.

    Raises:
        W2SError: the file lacks weights that the adapter has on this base, or holds some for layers that are not there.
    """
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, "pt") as file:
        given = set(file.keys())
    asked = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    lacking, foreign = asked - given, {name for name in given - asked if ".lora_" in name}
    for names, what in ((lacking, "lacks"), (foreign, "has weights that its base model has no layer for:")):
        if odd := sorted(name for name in names if not any(part in name for part in SHARED)):
            raise W2SError(
                f"model {str(folder)!r}: {WEIGHTS} {what} {', '.join(odd[:3])} and {len(odd):,} in all; copy it again, "
                f"and see that base_model_name_or_path in {CONFIG} is the model that it was trained on"
            )
