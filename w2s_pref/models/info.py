"""Facts about a model read from its small files: parameters, hash, revision, pad token. No weights are loaded."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError, file_hash
from w2s_pref.core.files import readable
from w2s_pref.core.hashes import remembered_hash
from w2s_pref.core.json_io import read_json
from w2s_pref.core.tables import canonical, digest
from w2s_pref.models import adapters, gguf
from w2s_pref.models.positions import context
from w2s_pref.models.spec import TOKENIZER_FILES, ModelSpec, hub_snapshot, resolve
from w2s_pref.models.tokenizer_file import tokenizer_file


@dataclass(frozen=True)
class ModelFacts:
    """What planning knows of a model.

    ``folder`` is None for a hub model that is not in the local cache: then ``parameters`` is None and ``hash`` stands
    for the name and revision only. ``precision`` says in what form a GGUF file holds the weights, such as "GGUF Q4_1".
    """

    spec: ModelSpec
    folder: Path | None
    parameters: int | None
    config: dict[str, Any]
    hash: str
    tokenizer_hash: str
    revision: str | None
    vocabulary_hash: str = ""
    precision: str | None = None

    @property
    def tokenizer_folder(self) -> Path | None:
        """Where the files of its tokenizer are."""
        return None if self.folder is None else adapters.tokenizer_folder(self.folder)

    @property
    def context(self) -> int | None:
        """Tokens that it reads and writes together at most, by its configuration; None where that names no number."""
        return context(self.config)


def facts(spec: ModelSpec, base: Path) -> ModelFacts:
    """Read a model's configuration, parameter count and content hash.

    Raises:
        W2SError: a local folder without config.json, without whole weights, without a tokenizer or its pad token; an
            adapter whose base is not at hand; files that this user may not read.
    """
    folder = resolve(spec.path, base)
    revision = spec.revision
    if folder is None:
        folder = hub_snapshot(spec.path, spec.revision)
        revision = folder.name if folder is not None else spec.revision
    if folder is None:
        name = digest("hub", spec.path, spec.revision or "main")
        return ModelFacts(spec, None, None, {}, name, name, revision, "unknown")
    with readable(folder):
        return _facts(spec, folder, revision)


def _facts(spec: ModelSpec, folder: Path, revision: str | None) -> ModelFacts:
    whole, *added = adapters.layers_of(folder)
    if added:
        _check_adapter(spec)
    config, tokens = _config(spec, whole), adapters.tokenizer_folder(folder)
    opened = gguf.source(whole)
    count: int | None
    if opened is not None and spec.from_config is None:
        # By the file and how it is opened: what this version of a library writes into the folder may differ.
        content = digest("gguf", str(opened["version"]), opened["sha256"], *_added(added))
        count = int(opened["parameters"])
        tokenizer = content if not added else _tokenizer_hash(spec, tokens)
    else:
        content, count = _weights(spec, whole, config, added)
        tokenizer = _tokenizer_hash(spec, tokens)
    check_pad(spec, tokens)
    precision = None if opened is None or spec.from_config is not None else f"GGUF {opened['precision']}"
    file = tokenizer_file(tokens)
    vocabulary = tokenizer if file is None else file.vocabulary
    return ModelFacts(spec, folder, count, config, content, tokenizer, revision, vocabulary, precision)


def _weights(spec: ModelSpec, whole: Path, config: dict[str, Any], added: list[Path]) -> tuple[str, int | None]:
    """Hash of configuration, weights and adapters, and how many values the weights are; None for random ones."""
    weights = sorted(whole.glob("*.safetensors"))
    if not weights and spec.from_config is None:
        raise W2SError(
            f"model {spec.path!r}: {whole} has no .safetensors weights (pickled .bin files are not read); "
            "convert them with save_pretrained, or set from_config to start from random weights"
        )
    parts = [canonical(config)] + ([] if spec.from_config is not None else [remembered_hash(path) for path in weights])
    parts += _own_ends(spec, whole, config) + _own_code(spec, whole)
    count = None if spec.from_config is not None else sum(map(_parameters, weights))
    return digest(*parts, *_added(added)), count


def _own_ends(spec: ModelSpec, folder: Path, config: dict[str, Any]) -> list[str]:
    """Tokens that end an answer where generation_config.json names others than config.json does."""
    file = folder / "generation_config.json"
    declared = read_json(file, f"model {spec.path!r}").get("eos_token_id") if file.is_file() else None
    return [] if declared in (None, config.get("eos_token_id")) else ["eos", canonical(declared)]


def _own_code(spec: ModelSpec, folder: Path) -> list[str]:
    """Code of the model's folder, where it may run."""
    return [file_hash(path) for path in sorted(folder.glob("*.py"))] if spec.trust_remote_code else []


def _added(adapted: list[Path]) -> list[str]:
    """What decides adapters, in the order of adding."""
    return [part for each in adapted for part in adapters.content(each)]


def _check_adapter(spec: ModelSpec) -> None:
    """An adapter is added to the weights of its base before anything else happens.

    Raises:
        W2SError: the recipe asks for weights that nothing can be added to.
    """
    if spec.from_config is not None:
        raise W2SError(f"model {spec.path!r} is an adapter, which has no random weights; drop from_config")
    if spec.quantization is not None:
        raise W2SError(
            f"model {spec.path!r} is an adapter, which is added to weights of 16 or 32 bits; drop quantization, or "
            "make a whole model of it first (`w2s export`, or merge_and_unload of peft) and give that folder's path"
        )


def _config(spec: ModelSpec, folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise W2SError(f"model {spec.path!r}: {folder} has no config.json, so it is not a transformers model folder")
    config = read_json(path, f"model {spec.path!r}")
    if spec.from_config:
        unknown = [key for key in spec.from_config if key not in config and key != "head_dim"]
        if unknown:
            raise W2SError(
                f"model {spec.path!r}: from_config names {', '.join(map(repr, unknown))}, which its config.json "
                f"({config.get('model_type')}) does not have; known: {', '.join(sorted(config))}"
            )
        _check_types(spec, config)
    layers = config.get("num_hidden_layers") or config.get("n_layer")
    if spec.freeze_layers is not None and layers is not None and spec.freeze_layers >= layers:
        raise W2SError(
            f"model {spec.path!r}: freeze_layers is {spec.freeze_layers}, and it has {layers} layers; freeze fewer, or "
            "take freeze_backbone to train a head alone"
        )
    return {**config, **(spec.from_config or {})}


def _check_types(spec: ModelSpec, config: dict[str, Any]) -> None:
    for key, value in (spec.from_config or {}).items():
        old = config.get(key)
        number = isinstance(old, int | float) and isinstance(value, int | float)
        if isinstance(old, int | float | str) and not isinstance(value, type(old)) and not number:
            raise W2SError(
                f"model {spec.path!r}: from_config.{key} is {value!r}, but its config.json has {old!r} there; "
                f"write a value of type {type(old).__name__}"
            )


def _tokenizer_hash(spec: ModelSpec, folder: Path) -> str:
    present = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not present:
        raise W2SError(f"model {spec.path!r}: {folder} has no tokenizer files ({', '.join(TOKENIZER_FILES[:3])}, …)")
    return digest(*[part for path in present for part in (path.name, file_hash(path))])


#: Control tokens of a model whose tokenizer is not here yet.
USUAL_CONTROL = (
    r"<\|[^<>|\s]+\|>|</?s>|<(?:eos|bos|pad|unk|mask)>|\[(?:CLS|SEP|PAD|MASK|UNK|INST|/INST)\]|</?think>|"
    r"<(?:start|end)_of_turn>"
)


def control_tokens(models: Iterable[ModelFacts]) -> re.Pattern[str] | None:
    """Finds what a tokenizer of these models cuts out of texts as a token of its own; None where there is nothing."""
    names: set[str] = set()
    usual = False
    for model in models:
        file = tokenizer_file(model.tokenizer_folder)
        if file is None:
            usual = True
            continue
        names |= set(file.added)
        names |= {model.spec.pad_token} if model.spec.pad_token else set()
    longest_first = [re.escape(name) for name in sorted(names - {""}, key=len, reverse=True)]
    parts = [*longest_first, *([USUAL_CONTROL] if usual else [])]
    return re.compile("|".join(parts)) if parts else None


def _parameters(path: Path) -> int:
    """Number of values in a safetensors file, from its header alone.

    Raises:
        W2SError: the header cannot be read, or the file is shorter or longer than it says.
    """
    try:
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            header = json.loads(handle.read(length))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        whole = 8 + length + max((entry["data_offsets"][1] for entry in tensors), default=0) == path.stat().st_size
        if whole:
            return sum(prod(entry["shape"]) for entry in tensors)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        pass
    raise W2SError(f"{path}: is not a whole safetensors file; copy or download it again")


def check_pad(spec: ModelSpec, folder: Path) -> None:
    """Refuse a tokenizer without a pad token of its own.

    Its configuration answers for most; only where that is silent (a class may have a default) is it loaded.

    Raises:
        W2SError: no pad token, or the same as eos.
    """
    named: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            named |= read_json(folder / name, f"model {spec.path!r}")
    pad, eos, sep = (_text(named.get(key)) for key in ("pad_token", "eos_token", "sep_token"))
    pad, last = spec.pad_token or pad, eos or sep  # an encoder's tokenizer ends with sep and names no eos
    if pad is not None and last is not None and pad != last:
        return
    from w2s_pref.models.load import load_tokenizer

    load_tokenizer(folder, spec.pad_token, trust_remote_code=spec.trust_remote_code)


def _text(token: Any) -> str | None:
    """A special token as text: files hold either that or a mapping with ``content``."""
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) else None
