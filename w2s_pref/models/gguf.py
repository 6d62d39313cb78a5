"""GGUF files, as llama.cpp and Ollama keep models: opened once into a model folder that everything else reads.

The folder lies in the local cache under the SHA-256 of the file. ``w2s plan`` needs its small files (configuration and
tokenizer) only; the weights are dequantised, to float32, when the model is first loaded.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import by_umask, own_name, replacing
from w2s_pref.core.hashes import remembered_hash
from w2s_pref.core.paths import cache_root

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAGIC = b"GGUF"
SUFFIX = ".gguf"
#: What the folder says about the file it was opened from.
SOURCE = "gguf.json"
WEIGHTS = "model.safetensors"
#: Stands in every model's key: raised where the same file would be opened into something else.
VERSION = 1
#: What transformers and gguf raise for files they cannot make sense of.
UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError, EOFError, struct.error)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do; Ollama's are named by their hash and have no suffix."""
    try:
        with path.open("rb") as handle:
            return handle.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def opened(file: Path) -> Path:
    """The model folder of a GGUF file: its configuration, tokenizer and ``gguf.json``; not yet its weights.

    Raises:
        W2SError: the package gguf is missing, or transformers cannot read the file or its architecture.
    """
    folder = _folder(file)
    if (folder / SOURCE).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(own_name(folder.name))
    try:
        with _reading(file) as named:
            _write_small_files(named, fresh)
        by_umask(fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was faster
            if not (folder / SOURCE).is_file():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def dequantised(file: Path) -> Path:
    """The model folder of a GGUF file with its weights as float32 in ``model.safetensors``, written on first use.

    Raises:
        W2SError: as ``opened``, or a tensor cannot be dequantised.
    """
    folder = opened(file)
    if not (folder / WEIGHTS).is_file():
        with _reading(file) as named, TemporaryDirectory(dir=folder.parent) as work:
            _float_model(named, folder).save_pretrained(work, max_shard_size="100TB")  # one file: it appears at once
            with replacing(folder / WEIGHTS) as temporary:
                (Path(work) / WEIGHTS).rename(temporary)
    return folder


def source(folder: Path) -> dict[str, Any] | None:
    """What ``gguf.json`` says: ``sha256`` and ``version``, ``parameters``, ``precision``; None for other folders.

    A copy elsewhere is a folder like any other: its weights may have been changed.
    """
    file = folder / SOURCE
    if folder.parent != cache_root() / "gguf" or not file.is_file():
        return None
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return said


def _folder(file: Path) -> Path:
    return cache_root() / "gguf" / f"{remembered_hash(file)}-{VERSION}"


@contextmanager
def _reading(file: Path) -> Iterator[Path]:
    """The file under a name that ends in .gguf, as transformers wants it; what goes wrong is a sentence."""
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise W2SError(f"model {str(file)!r} is a GGUF file, which needs: pip install 'w2s-pref[gguf]'") from error
    with TemporaryDirectory() as work:
        named = Path(work) / f"model{SUFFIX}"
        named.symlink_to(os.path.abspath(file))
        try:
            yield named
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:240] or type(error).__name__
            raise W2SError(f"model {str(file)!r} is a GGUF file that could not be read: {reason}") from error


def _write_small_files(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    config = AutoConfig.from_pretrained(**where)
    with torch.device("meta"):
        config.architectures = [type(AutoModelForCausalLM.from_config(config)).__name__]
    config.dtype, config.name_or_path = torch.float32, ""
    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
    (folder / SOURCE).write_text(json.dumps(_facts(file), indent=1), encoding="utf-8")


def _facts(file: Path) -> dict[str, Any]:
    """The file's hash, how many values it holds, and the type that most of them are stored in, such as Q4_1."""
    import gguf

    values: Counter[str] = Counter()
    for tensor in gguf.GGUFReader(file).tensors:
        values[tensor.tensor_type.name] += int(tensor.n_elements)
    return {
        "sha256": remembered_hash(file),
        "version": VERSION,
        "parameters": values.total(),
        "precision": values.most_common(1)[0][0],
    }


def _float_model(file: Path, folder: Path) -> PreTrainedModel:
    """The model with float32 weights: those that were read, in a model made from the configuration.

    The one that transformers reads counts as quantized and refuses to be saved.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    read, info = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, output_loading_info=True
    )
    if lacking := sorted(info["missing_keys"]):
        raise ValueError(f"it has no weights for {', '.join(lacking[:3])}")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    model.load_state_dict(read.state_dict(), assign=True)
    model.tie_weights()
    return model
