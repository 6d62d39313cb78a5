"""What a recipe says about one model, and where its files are. No torch here: `w2s plan` reads this."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import PathText, local_path
from w2s_pref.core.references import did_you_mean
from w2s_pref.core.strict import Section
from w2s_pref.models import gguf, quantized

#: Files of a model folder that a tokenizer is made of.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "chat_template.jinja",
)


#: How a new head of a classifier starts: at zero (every answer ½), at small normal numbers drawn from the seed, or as
#: the rows of the language model's own head for the words "0" and "1" (decoders).
Head = Literal["zeros", "normal", "unembedding"]


class ModelSpec(Section):
    """One model of a recipe.

    ``path`` is a hub id, a folder, a GGUF file, ``ladder/NAME`` (shipped with the package) or ``package:NAME/PATH`` (a
    folder or GGUF file inside an installed Python package). The other keys are optional.
    """

    path: PathText = Field(description="hub id, folder, GGUF file, ladder/NAME, or package:NAME/PATH")
    revision: str | None = Field(None, description="hub revision (commit, tag or branch)")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="dtype of the weights")
    trust_remote_code: bool = Field(False, description="run Python code that comes with the model")
    pad_token: str | None = Field(None, description="token to pad with; added to the vocabulary if it is not there")
    lora: dict[str, Any] | None = Field(None, description="peft.LoraConfig arguments by their own names")
    quantization: dict[str, Any] | None = Field(
        None, description="QLoRA: transformers.BitsAndBytesConfig arguments by their own names; needs lora"
    )
    freeze_backbone: bool = Field(False, description="train only newly added weights (linear probe)")
    freeze_layers: int | None = Field(
        None, ge=1, description="embeddings and this many first layers stay as they are; what is behind them is trained"
    )
    from_config: dict[str, Any] | None = Field(
        None, description="random weights: the configuration at path with these fields changed"
    )
    training: dict[str, Any] = Field(default_factory=dict, description="training arguments of this model only")

    @model_validator(mode="after")
    def _go_together(self) -> ModelSpec:
        if self.lora is not None and self.from_config is not None:
            raise ValueError("lora and from_config: an adapter does not hold the random weights under it; drop one")
        if self.lora is not None and self.freeze_backbone:
            raise ValueError("lora and freeze_backbone: an adapter changes the backbone; drop one")
        if self.from_config is not None and self.freeze_backbone:
            raise ValueError("freeze_backbone and from_config: the frozen backbone would stay random; drop one")
        if self.freeze_layers is not None and self.freeze_backbone:
            raise ValueError("freeze_layers and freeze_backbone: the second freezes all layers; drop one")
        if self.freeze_layers is not None and self.from_config is not None:
            raise ValueError("freeze_layers and from_config: the frozen layers would stay random; drop one")
        if self.freeze_layers is not None and {"modules_to_save", "trainable_token_indices"} & (self.lora or {}).keys():
            raise ValueError("freeze_layers: an adapter that trains whole modules may change what is frozen; drop one")
        if self.quantization is not None:
            if self.lora is None:
                raise ValueError("quantization: weights of 4 or 8 bits cannot be trained; add lora")
            if wrong := quantized.problems(self.quantization):
                raise ValueError("; ".join(wrong))
        return self


def resolve(path: str, base: Path, weights: bool = False) -> Path | None:
    """The local folder a model path means, or None where it is a hub id.

    Args:
        weights: they will be read: a GGUF file's are dequantised now, if they were not before.

    Raises:
        W2SError: the path names a ladder rung, a package folder or a local folder that does not exist, or a file that
            is no GGUF file.
    """
    found = _found(path, base)
    if found is None or found.is_dir():
        return found
    if not gguf.is_gguf(found):
        raise W2SError(f"model {path!r} is a file and no GGUF file; give a model folder or a GGUF file")
    return gguf.dequantised(found) if weights else gguf.opened(found)


def _found(path: str, base: Path) -> Path | None:
    if path.startswith("ladder/"):
        return _ladder(path.removeprefix("ladder/"))
    if path.startswith("package:"):
        return _package(path.removeprefix("package:"))
    local = local_path(path, "model")
    for candidate in (base / local, local):
        if candidate.exists():
            return candidate.resolve()
    if path.endswith(gguf.SUFFIX):
        raise W2SError(f"model {path!r}: no such file{_looked_and_mend(path, local, base)}")
    if path.startswith((".", "/", "~")) or path.count("/") > 1:
        raise W2SError(f"model {path!r}: no such folder{_looked_and_mend(path, local, base)}")
    if path == "ladder":
        raise W2SError(f"model 'ladder': which of them? write ladder/NAME, one of {', '.join(_rungs())}")
    return None


def _looked_and_mend(path: str, local: Path, base: Path) -> str:
    """Where a missing model was looked for, and what to do about it."""
    looked = "" if local.is_absolute() else f" (looked in {base} and the working directory)"
    beside = [name for folder in ((base / local).parent, local.parent) for name in _names(folder)]
    if near := did_you_mean(local.name, [name for name in beside if not name.startswith(".")]):
        return f"{looked}{near}"
    if local.parent.parts[-2:] == ("runs", "models"):
        return f"{looked}; `bash scripts/get_models.sh runs/models` fetches the small models that recipes name so"
    return f"{looked}; give the path of a model's folder or GGUF file, a hub id (OWNER/NAME) or ladder/NAME"


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # not there, no folder, or closed to this user: it has no name to offer
        return []


def _rungs() -> tuple[str, ...]:
    from w2s_pref.testbed import ladder

    return ladder.RUNGS


def _ladder(name: str) -> Path:
    from w2s_pref.testbed import ladder

    if name not in ladder.RUNGS:
        raise W2SError(f"model 'ladder/{name}': the shipped ladder has {', '.join(ladder.RUNGS)}")
    return ladder.path(name)


def _package(name: str) -> Path:
    module, _, folder = name.partition("/")
    try:
        found = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):  # a part before a dot is missing, or the name is empty
        found = None
    if found is None or not found.submodule_search_locations:
        raise W2SError(f"model 'package:{name}': no Python package {module!r} is installed here; pip install it first")
    path = Path(next(iter(found.submodule_search_locations))) / folder
    if not path.exists():
        what = "file" if folder.endswith(gguf.SUFFIX) else "folder"
        raise W2SError(f"model 'package:{name}': package {module!r} has no {what} {folder!r}")
    return path


def hub_snapshot(path: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the local cache, or None where it was never downloaded. Never uses the network."""
    from w2s_pref.core.hub import go_offline_if_unreachable

    go_offline_if_unreachable()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, FileNotFoundError):
        return None


def how_to_get(path: str) -> str:
    """The sentence that says how to have a hub model where there is no network."""
    return (
        f"model {path!r} is neither a local folder nor in the local hub cache, and the hub could not be asked; "
        f"on a machine with network run `hf download {path}`, copy the folder here and give its path"
    )
