"""What a tokenizer.json says, parsed once for all models whose files are the same bytes, as a family's are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from w2s_pref.core.errors import file_hash
from w2s_pref.core.json_io import read_json
from w2s_pref.core.tables import canonical, digest


@dataclass(frozen=True)
class _Bytes:
    """A file, equal to every other of the same content."""

    path: Path = field(compare=False)
    content: str


@dataclass(frozen=True)
class TokenizerFile(_Bytes):
    """What a tokenizer.json says; equal where the bytes are.

    ``content``: SHA-256 of its bytes. ``vocabulary``: hash of its tokens and their ids, which models of one family
    share, whatever else their tokenizer files say. ``added``: tokens that it cuts out of texts. ``unknown``: what it
    writes for what it does not know.
    """

    vocabulary: str
    added: tuple[str, ...]
    unknown: str | None


def tokenizer_file(folder: Path | None) -> TokenizerFile | None:
    """The tokenizer.json of a folder, parsed once while it stays the same; None where there is none.

    Raises:
        W2SError: it is not JSON, or not an object.
    """
    file = None if folder is None else folder / "tokenizer.json"
    if file is None or not file.is_file():
        return None
    state = file.stat()
    return replace(_parsed(_Bytes(file, _content(file, (state.st_mtime_ns, state.st_size)))), path=file)


@lru_cache(maxsize=64)
def _content(file: Path, _state: tuple[int, int]) -> str:
    return file_hash(file)


@lru_cache(maxsize=64)
def _parsed(file: _Bytes) -> TokenizerFile:
    content = read_json(file.path, f"tokenizer {file.path.parent}")
    added, model = content.get("added_tokens") or [], content.get("model") or {}
    tokens = [[each.get("id"), each.get("content")] for each in added]
    unknown = model.get("unk_token") or None
    if model.get("type") == "Unigram" and model.get("unk_id") is not None:
        unknown = str(model["vocab"][model["unk_id"]][0])
    names = tuple(str(each.get("content")) for each in added)
    return TokenizerFile(file.path, file.content, digest(canonical([model.get("vocab"), tokens])), names, unknown)
