"""Pairs that a model of the recipe cannot tell apart: after truncation, both texts are the same tokens to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import compress

import pandas as pd

from w2s_pref.data.config import DataConfig
from w2s_pref.data.control import text_stays_text
from w2s_pref.models.info import ModelFacts
from w2s_pref.models.unknown import Reader, words
from w2s_pref.studies.preferences.texts import reader

#: Tokens of a text that are not its own: what a tokenizer puts before and behind it, and one to spare.
AROUND = 3


def equal_pairs(frame: pd.DataFrame, models: Mapping[str, ModelFacts], data: DataConfig) -> dict[str, set[str]]:
    """Model -> ids of the pairs that are equal to it. Of models that are not here nothing is known.

    Only pairs that may be equal are tokenised whole: those whose last words are the same tokens, and that have as many
    words (a tokenizer may not know some) or answers that may both be too long.
    """
    found: dict[str, set[str]] = {}
    by_tokenizer: dict[tuple[str, str | None], set[str]] = {}
    for name, facts in models.items():
        same = (facts.tokenizer_hash, facts.spec.pad_token)
        if same not in by_tokenizer:
            by_tokenizer[same] = _equal(frame, facts, data)
        found[name] = by_tokenizer[same]
    return {name: ids for name, ids in found.items() if ids}


def _equal(frame: pd.DataFrame, facts: ModelFacts, data: DataConfig) -> set[str]:
    light = reader(facts)
    if light is None:
        return set()
    maybe = frame
    for may_be_equal in (_alike, _same_last_words, _same_end):
        kept = list(may_be_equal(maybe, light, data.max_length))
        maybe = maybe[pd.Series(kept, index=maybe.index, dtype=bool)]
    if not len(maybe):
        return set()
    from w2s_pref.data.tokens import tokenize
    from w2s_pref.models.load import load_tokenizer

    options = {"trust_remote_code": facts.spec.trust_remote_code}
    tokenizer = load_tokenizer(facts.folder or facts.spec.path, facts.spec.pad_token, **options)
    with text_stays_text(data.text_stays_text):
        done = tokenize(maybe, tokenizer, data.max_length, "truncate")
    return set(compress(done.ids, (a == b for a, b in zip(done.a_ids, done.b_ids, strict=True))))


def _alike(frame: pd.DataFrame, _light: Reader, limit: int) -> Iterator[bool]:
    """Pairs that may be equal, by their length alone: no token is shorter than a byte."""
    for a, b in zip(frame["a"].tolist(), frame["b"].tolist(), strict=True):
        long = min(len(a.encode()), len(b.encode())) >= limit - AROUND
        yield long or len(a.split()) == len(b.split())


def _same_last_words(frame: pd.DataFrame, light: Reader, limit: int) -> Iterator[bool]:
    """Pairs whose answers' last words, as far as no cut reaches, are the same tokens: texts are cut at blanks first."""
    sides = [words(frame["form"], answers) for answers in (frame["a"], frame["b"])]
    other = [_last_other(a, b, limit - AROUND) for a, b in zip(*sides, strict=True)]
    distinct = list({word for pair in other if pair is not None for word in pair})
    read = light.tokenizer.encode_batch([f" {word}" for word in distinct], add_special_tokens=False)
    ids = {word: each.ids for word, each in zip(distinct, read, strict=True)}
    return (pair is None or ids[pair[0]] == ids[pair[1]] for pair in other)


def _last_other(a: str, b: str, kept: int) -> tuple[str, str] | None:
    """The last words in which two answers differ, counted from their ends; None where a cut may reach them.

    No token is shorter than a byte, so that of ``kept`` tokens the last ``kept`` bytes are left. Not looked at are the
    first word, which stands behind a prompt, perhaps without a blank, and whatever stands before a line break.
    """
    for first, second in zip(_words_back(a), _words_back(b), strict=False):
        if first[0] != second[0]:
            behind = max(len(text[at:].encode()) for text, (_, at) in ((a, first), (b, second)))
            return (first[0], second[0]) if behind <= kept else None
    return None


def _words_back(text: str) -> Iterator[tuple[str, int]]:
    """Words between blanks from the last one on, each with the place of the blank before it."""
    end = len(text.rstrip())
    while (start := text.rfind(" ", 0, end)) > 0:
        word = text[start + 1 : end]
        if len(word.split()) > 1:
            return
        if word:
            yield word, start
        end = start


def _same_end(frame: pd.DataFrame, light: Reader, limit: int) -> Iterator[bool]:
    """Pairs whose texts end in the same tokens, as far as truncation may keep them."""
    keep = max(1, limit - AROUND)
    texts = [
        [prompt + answer for prompt, answer in zip(words(frame["form"], frame["prompt"]), answers, strict=True)]
        for answers in (words(frame["form"], frame["a"]), words(frame["form"], frame["b"]))
    ]
    ends = [[each.ids[-keep:] for each in light.tokenizer.encode_batch(side)] for side in texts]
    return (a == b for a, b in zip(*ends, strict=True))
