"""What a tokenizer does not know of texts: its share, whether that tells answers apart, and sentences about both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.data.chat import plain
from w2s_pref.models.tokenizer_file import TokenizerFile

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

#: Pairs of a split that are looked at, and characters of each text: shares of tokens need no more.
PAIRS, CHARACTERS = 200, 4000
#: Shares of unknown tokens above which a model cannot read a text, and above which its reading is said to suffer.
UNREADABLE, POOR = 0.2, 0.02
#: A difference between the better and the other answer is said from this share on, where it is no accident: three
#: standard errors over pairs leave one in 370 of equal sets.
UNEQUAL, ERRORS = 0.02, 3.0
#: Tokenizers that spell any text, byte by byte.
BYTEWISE = "those of GPT-2, OPT, Llama, Qwen, Mistral"


class Unknown(NamedTuple):
    """Share of unknown tokens in a split; by how much that of the better answers exceeds the others', and its error."""

    share: float
    unequal: float
    error: float


@dataclass(frozen=True)
class Reader:
    """A tokenizer as its files hold it: ``unknown`` is the id of what it does not know, None where that cannot be."""

    tokenizer: Tokenizer
    size: int
    unknown: int | None


@lru_cache(maxsize=8)
def reader_of(file: TokenizerFile, pad_token: str | None) -> Reader:
    """Read once: it is asked for by every check of every part of the data."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file.path))
    except Exception as error:  # tokenizers raises nothing more special
        raise W2SError(
            f"model {str(file.path.parent)!r} could not be loaded ({file.path.name}: {error}); check its files"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = tokenizer.get_vocab(with_added_tokens=True)
    size = max(ids.values(), default=-1) + 1 + (pad_token is not None and pad_token not in ids)
    return Reader(tokenizer, size, ids.get(file.unknown) if file.unknown is not None else None)


def reader_in_memory(tokenizer: PreTrainedTokenizerBase) -> Reader | None:
    """The same of a tokenizer that is loaded, which stays as it is; None of one that is not a fast one."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    own = Tokenizer.from_str(backend.to_str())
    own.no_truncation()
    own.no_padding()
    unknown = tokenizer.unk_token_id
    # GPT-2 names its eos the unknown token, but never meets an unknown byte.
    return Reader(own, len(tokenizer), None if unknown == tokenizer.eos_token_id else unknown)


def unknown_of(found: Reader, pairs: pd.DataFrame) -> Unknown:
    """What of the first pairs a tokenizer does not know."""
    if found.unknown is None:
        return Unknown(0.0, 0.0, 0.0)
    frame = pairs.head(PAIRS)
    first = frame["truth"] == 1
    chosen, rejected = frame["a"].where(first, frame["b"]), frame["b"].where(first, frame["a"])
    counts = [_counts(found, words(frame["form"], texts)) for texts in (frame["prompt"], chosen, rejected)]
    together = sum(counts)
    shares = [count[:, 0] / np.maximum(count[:, 1], 1) for count in counts[1:]]
    gaps = shares[0] - shares[1]
    error = float(gaps.std(ddof=1) / len(gaps) ** 0.5) if len(gaps) > 1 else float("inf")
    unknown, tokens = np.asarray(together).sum(axis=0)
    return Unknown(float(unknown / max(tokens, 1)), float(gaps.mean()), error)


def _counts(found: Reader, texts: list[str]) -> Floats:
    """(N, 2): unknown tokens and all tokens of each text."""
    encoded = found.tokenizer.encode_batch([text[:CHARACTERS] for text in texts], add_special_tokens=False)
    unknown = -1 if found.unknown is None else found.unknown
    counts = [[each.ids.count(unknown), len(each.ids)] for each in encoded]
    return np.array(counts, dtype=np.float64).reshape(-1, 2)


def words(forms: pd.Series[str], texts: pd.Series[str]) -> list[str]:
    """Texts as models read them, conversations without a template's marks."""
    both = zip(forms.tolist(), texts.tolist(), strict=True)
    return [plain(json.loads(text)) if form == "chat" else text for form, text in both]


def unreadable(who: str, texts: str, unknown: Unknown, able: Sequence[str], go_on: str) -> str:
    """The sentence about a share of unknown tokens above ``POOR``.

    Args:
        able: what of the same recipe can read the texts.
        go_on: how to do it nevertheless.
    """
    said = f"{who}: {unknown.share:.0%} of the tokens of {texts} are unknown to its tokenizer"
    if unknown.share <= UNREADABLE:
        return f"{said}: what it does not know it cannot tell apart"
    others = f"{', '.join(able)} of this recipe can; so can" if able else "Take"
    return (
        f"{said}: it cannot read these texts. {others} a model whose tokenizer spells any text, such as {BYTEWISE}; or "
        f"{go_on}"
    )


def unequal(who: str, texts: str, unknown: Unknown) -> Iterator[str]:
    """The sentence about better and other answers that differ by what is unknown, where they do."""
    if abs(unknown.unequal) > max(UNEQUAL, ERRORS * unknown.error):
        more, less = ("better", "other") if unknown.unequal > 0 else ("other", "better")
        yield (
            f"{who}: of the answers of {texts} the {more} ones have {abs(unknown.unequal):.1%} more unknown tokens "
            f"than the {less} ones: its tokenizer tells them apart by that alone"
        )
