"""The one tokenizer of the ladder: lower-cased words and punctuation, with its own pad, bos, eos and unk."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from w2s_pref.testbed.words import (
    AGENT_KINDS,
    AGENTS,
    ALARMS,
    ANSWERS,
    BASES,
    CALMS,
    DANGEROUS,
    DOSES,
    PROMPTS,
    RELICS,
    SAFE,
    STRONG,
    SURFACES,
    TARGET_KINDS,
    WEAK,
    words,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
MAX_LENGTH = 128
EXTRA = words(
    """i you we it is are was no yes not sorry cannot help cleaning mixing that this with without avoid please
    thanks good bad danger harm harmful harmless helpful and or of on in to at for from , . ! ? : ; - '
    because so very too all any some"""
)
"""Common words that no sentence of the world needs, for answers that are not from it."""


def split(text: str) -> list[str]:
    """Words and punctuation marks of a text, lower-cased, as the tokenizer sees them."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Token -> id; the four special tokens come first."""
    known = [PAD, BOS, EOS, UNK, DANGEROUS, SAFE, STRONG, WEAK]
    known += [*DOSES, *SURFACES, *BASES, *AGENTS, *RELICS, *ALARMS, *CALMS]
    forms = [form for group in (*PROMPTS, *ANSWERS) for form in group]
    known += [*TARGET_KINDS, *AGENT_KINDS]
    known += [word for form in forms for word in split(re.sub(r"\{\w+\}", " ", form))]
    return {word: number for number, word in enumerate(dict.fromkeys([*known, *EXTRA]))}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as the ordinary library class; it adds no special token by itself."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel(vocab=vocabulary(), unk_token=UNK))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), behavior="removed", invert=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNK, model_max_length=MAX_LENGTH
    )
