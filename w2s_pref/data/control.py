"""Text stays text: what data spell like a control token (``<eos>``, ``<|user|>``, ``</think>``) is read as its letters.

A tokenizer cuts its added tokens out of any text, so a user's words could end a text or forge a turn. Here a second
tokenizer, the same but for the names of its control tokens, reads texts that hold such a spelling: what this package or
a chat template writes is given the new names (which hold NUL, and no data do), what the data spell keeps the old ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

#: Stands before a text that the second tokenizer is to read.
MARK = "\0t"

_on: ContextVar[bool] = ContextVar("control_tokens_are_text", default=False)


@contextmanager
def text_stays_text(on: bool = True) -> Iterator[None]:
    """Within the block, texts are tokenised so that data never become a control token."""
    token = _on.set(on)
    try:
        yield
    finally:
        _on.reset(token)


def stays_text() -> bool:
    """Whether data never become a control token here."""
    return _on.get()


def pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """Finds any of these spellings; None where there are none."""
    longest_first = sorted(filter(None, set(names)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


class Control:
    """The control tokens of one tokenizer, and the tokenizer that reads their spelling as text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids = {str(token): int(at) for at, token in tokenizer.added_tokens_decoder.items()}
        self._spelled = pattern(self._ids)
        self._written = pattern([*self._ids, "\0"])

    def held_by(self, text: str) -> bool:
        """Whether a text of the data spells a control token."""
        return self._spelled is not None and self._spelled.search(text) is not None

    def broken(self, text: str) -> str:
        """A text of the data whose spellings no template or tokenizer takes for tokens: NUL after the first sign."""
        if self._spelled is None:
            return text
        return self._spelled.sub(lambda found: f"{found.group()[0]}\0{found.group()[1:]}", text)

    def named(self, text: str) -> str:
        """A text to be read by ``encode``: control tokens get their new names, what was ``broken`` is whole again."""
        assert self._written is not None
        return MARK + self._written.sub(lambda found: self._name(found.group()), text)

    def _name(self, token: str) -> str:
        """The new name of a control token; nothing for a NUL."""
        return "" if token == "\0" else f"\0{self._ids[token]}\0"

    def encode(self, texts: list[str], specials: bool) -> list[list[int]]:
        """Ids of texts that ``named`` made. ``specials``: with those that the tokenizer puts around every text."""
        bare = [text.removeprefix(MARK) for text in texts]
        return [list(each.ids) for each in self._second.encode_batch(bare, add_special_tokens=specials)]

    @cached_property
    def _second(self) -> Tokenizer:
        from tokenizers import Tokenizer

        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        name = self._tokenizer.name_or_path
        if backend is None:
            raise W2SError(f"{name!r} has no fast tokenizer, so data may become control tokens; control_tokens: keep")
        state = json.loads(backend.to_str())
        state["padding"] = state["truncation"] = None
        # The model itself writes what is unknown and, where it falls back to them, bytes, by these names: they stay.
        own = _own_names(state["model"])
        state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in own]
        names = {token["content"]: f"\0{token['id']}\0" for token in state["added_tokens"]}
        for token in state["added_tokens"]:
            token |= {"content": names[token["content"]], "normalized": False}
        _rename(state["model"], names)
        second = Tokenizer.from_str(json.dumps(state))
        if any(second.token_to_id(name) != int(name.strip("\0")) for name in names.values()):
            raise W2SError(
                f"the tokenizer of {name!r} cannot be read without control tokens; write control_tokens: keep"
            )
        return second


def _own_names(model: dict[str, Any]) -> set[str]:
    """Names by which a model writes tokens that stand for no text of their own."""
    unknown = model["vocab"][model["unk_id"]][0] if model.get("unk_id") is not None else model.get("unk_token")
    return {str(unknown), *(f"<0x{byte:02X}>" for byte in range(256))}


def _rename(model: dict[str, Any], names: dict[str, str]) -> None:
    """New names in the model's own vocabulary; a name that merges make stays beside the new one."""
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(piece, piece), score] for piece, score in model["vocab"]]
        return
    merges = model.get("merges") or []
    made = {"".join(pair if isinstance(pair, list) else pair.split(" ")) for pair in merges}
    vocabulary = {names.get(piece, piece): at for piece, at in model["vocab"].items()}
    model["vocab"] = {**{piece: at for piece, at in model["vocab"].items() if piece in made}, **vocabulary}
