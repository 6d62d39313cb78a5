"""Token ids of pairs, kept on disk: the same pairs under the same tokenizer are tokenised once, whoever asks.

It is a cache, not an artifact: deleting its folder changes no result and no key.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.files import replacing
from w2s_pref.core.json_io import json_values
from w2s_pref.core.tables import canonical, digest
from w2s_pref.data.render import Ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: Raised when ``tokenize`` gives other ids for the same pairs and tokenizer.
VERSION = 1
#: Lists of token ids and of numbers, one a pair.
RAGGED, FLAT = ("a_ids", "b_ids"), ("truncated", "a_starts", "b_starts")

_folder: ContextVar[Path | None] = ContextVar("token_cache", default=None)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """Within the block, ``tokenize`` keeps what it made in ``folder``, and takes what it finds there."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


@dataclass(frozen=True)
class Tokenized:
    """Token ids of pairs, each list at most ``max_length`` long, in the order of the table.

    Attributes:
        ids: ids of the pairs that are kept.
        a_ids: token ids of prompt + ``a``, one list a pair.
        b_ids: token ids of prompt + ``b``.
        truncated: True where a text of the pair was cut.
        counts: ``pairs`` (given), ``kept``, ``dropped``, and of those kept ``answer_cut`` (an answer alone is too
            long and lost its start), ``prompt_truncated`` (only prompt was lost) and ``indistinguishable`` (both
            answers give the same ids); ``tokens`` and, of these, ``unknown_tokens``.
        a_starts: where the response begins in ``a_ids``, from 1 to its length; empty unless asked for.
        b_starts: the same in ``b_ids``.
    """

    ids: list[str]
    a_ids: list[Ids]
    b_ids: list[Ids]
    truncated: list[bool]
    counts: dict[str, int]
    a_starts: list[int] = field(default_factory=list)
    b_starts: list[int] = field(default_factory=list)


def cached(
    make: Callable[[bool], Tokenized], frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]
) -> Tokenized:
    """What ``make`` returns, from the cache where it is there. Tokenizers written in Python are not cached.

    Args:
        make: called with True where everything is wanted, response starts too: then reward models and policies, of
            which only the latter read them, share an entry.
    """
    folder, backend = _folder.get(), getattr(tokenizer, "backend_tokenizer", None)
    if folder is None or backend is None:
        return make(False)
    file = folder / f"{_key(frame, tokenizer, settings)}.safetensors"
    found = _read(file, frame)
    if found is None:
        found = make(True)
        _write(file, found, frame)
    return found


def _key(frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]) -> str:
    """Hash of the texts in their order, of everything the tokenizer does with them, and of the settings."""
    texts = digest(*(text for name in ("id", "form", "prompt", "a", "b") for text in frame[name].tolist()))
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state.pop("padding", None)  # left over from whoever padded last
    state.pop("truncation", None)
    special = {name: str(value) for name, value in tokenizer.special_tokens_map.items()}
    return digest(str(VERSION), texts, canonical([state, special, str(tokenizer.chat_template), settings]))


def _write(file: Path, made: Tokenized, frame: pd.DataFrame) -> None:
    """Whole or not at all; a cache that cannot be written is no error."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    place = {row_id: at for at, row_id in enumerate(frame["id"].tolist())}
    columns = {"rows": np.fromiter((place[row_id] for row_id in made.ids), np.int32, len(made.ids))}
    for name in RAGGED:
        lists = getattr(made, name)
        columns[f"{name}.lengths"] = np.fromiter(map(len, lists), np.int32, len(lists))
        columns[name] = np.concatenate([np.frombuffer(ids, np.int32) for ids in lists] or [np.zeros(0, np.int32)])
    for name in FLAT:
        columns[name] = np.asarray(getattr(made, name), np.int32)
    with suppress(OSError, SafetensorError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            # One entry: safetensors writes several in any order.
            told = {"counts": made.counts, "hash": _hash(file.stem, columns, made.counts)}
            save_file(columns, temporary, {"w2s": json.dumps(told)})


def _hash(key: str, columns: dict[str, np.ndarray], counts: dict[str, int]) -> str:
    """SHA-256 over what is kept, and for what: ids that changed on the disk would train other weights."""
    state = hashlib.sha256(canonical([key, counts]).encode())
    for name, column in sorted(columns.items()):
        state.update(canonical([name, column.dtype.str, column.shape]).encode())
        state.update(column.tobytes())
    return state.hexdigest()


def _read(file: Path, frame: pd.DataFrame) -> Tokenized | None:
    """The pairs that were written; None where there are none, or not those that were written: then they are made again.

    Raises:
        W2SError: what was written is whole, and is not of this table.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "numpy") as opened:
            columns = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            said = json_values((opened.metadata() or {})["w2s"])
        counts = said["counts"]
        if said["hash"] != _hash(file.stem, columns, counts):
            return None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    ids, rows = frame["id"].tolist(), columns["rows"]
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(ids)):
        raise W2SError(f"{file}: names row {rows.max()} of a table of {len(ids)}; it is not of this data: remove it")
    made: dict[str, Any] = {name: _lists(columns[name], columns[f"{name}.lengths"]) for name in RAGGED}
    made |= {"a_starts": columns["a_starts"].tolist(), "b_starts": columns["b_starts"].tolist()}
    cut = columns["truncated"].astype(bool).tolist()
    return Tokenized(ids=[ids[at] for at in rows], truncated=cut, counts=counts, **made)


def _lists(flat: np.ndarray, lengths: Sequence[int]) -> list[array[int]]:
    ends = np.cumsum(lengths, dtype=np.int64)
    return [array("i", flat[end - length : end].tobytes()) for end, length in zip(ends, lengths, strict=True)]
