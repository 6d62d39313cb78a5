"""A saved model as a folder of its own, which plain transformers reads as it was trained and scored here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from w2s_pref.core.errors import W2SError
from w2s_pref.data.render import pinned

#: Files of a stored model that are about its training, not of the model.
NOT_MODEL = {"manifest.json", "history.json"}
#: Beside the model: which student of which run it is, and the objective that it was taught.
FACTS = "w2s.json"


def write_standalone(model: Path, place: Path, ends: bool, max_length: int | None, link: bool) -> None:
    """Put a saved model's weights, configuration and tokenizer into the new folder ``place``.

    Args:
        model: folder of a whole model or of an adapter, as training saved it.
        ends: the tokenizer ends every text with its eos, as reward models are trained; a policy goes on from a prompt.
        max_length: longest text in tokens; the tokenizer cuts longer ones from the left when asked to truncate.
        link: weights become hard links where the file system has them, so that they take no room twice.
    """
    place.mkdir(parents=True)
    for file in sorted(model.iterdir()):
        if not file.is_file() or file.name in NOT_MODEL or file.suffix == ".parquet":
            continue
        if link and file.suffix == ".safetensors":
            link_or_copy(file, place / file.name)
        else:
            shutil.copyfile(file, place / file.name)
    _tell_tokenizer(place, ends, max_length)


def link_or_copy(file: Path, place: Path) -> None:
    """The same file under another name; a copy on another file system, or on one without links."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


def _tell_tokenizer(folder: Path, ends: bool, max_length: int | None) -> None:
    """What training did to every text beside the tokenizer's own doing, written into the tokenizer."""
    file = folder / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    config |= {"truncation_side": "left", "model_input_names": ["input_ids", "attention_mask"]}
    if max_length is not None:
        config["model_max_length"] = max_length
    for template in folder.glob("*.jinja"):
        template.write_text(pinned(template.read_text(encoding="utf-8")), encoding="utf-8")
    if isinstance(config.get("chat_template"), str):
        config["chat_template"] = pinned(config["chat_template"])
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
    eos = config.get("eos_token")
    if ends and eos:
        _end_texts(folder / "tokenizer.json", eos if isinstance(eos, str) else eos["content"])


def _end_texts(file: Path, eos: str) -> None:
    """Write the eos behind every text, unless the tokenizer puts a token of its own there."""
    from tokenizers import Tokenizer, processors

    if not file.is_file():
        raise W2SError(f"{file.parent}: no tokenizer.json, so this tokenizer cannot be told to end texts with {eos!r}")
    tokenizer = Tokenizer.from_file(str(file))
    bare, full = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    if full[-len(bare) :] != bare:  # as encoders do
        return
    number = tokenizer.token_to_id(eos)
    end = processors.TemplateProcessing(f"$A {eos}", f"$A $B {eos}", [(eos, number)])
    own = tokenizer.post_processor
    tokenizer.post_processor = end if own is None else processors.Sequence([own, end])
    tokenizer.save(str(file))


def merge_adapter(folder: Path, policy: bool) -> None:
    """Turn an adapter's folder into one of a whole model: its weights are added to those of its base.

    Raises:
        W2SError: the base model is gone.
    """
    from w2s_pref.models.load import load_saved
    from w2s_pref.models.policies import load_saved_policy

    model, _ = (load_saved_policy if policy else load_saved)(folder)
    whole: Any = model
    whole.merge_and_unload().save_pretrained(folder)
    for name in ("adapter_config.json", "adapter_model.safetensors", "base.json"):
        (folder / name).unlink(missing_ok=True)
