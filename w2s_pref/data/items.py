"""Items to token ids: the whole text of each, cut from the left where it is too long; no item is dropped."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from w2s_pref.data.render import Answer, Ids, Renderer
from w2s_pref.data.tokens import checked_limit, cut_to

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)


def item_ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> list[Ids]:
    """Token ids of every text, special tokens as for pairs: decoders get their eos, encoders what they write.

    Texts over ``max_length`` lose tokens from the left, after the bos or cls token.

    Raises:
        W2SError: a text without any token.
    """
    answers = [Answer("text", "", text) for text in texts]
    cuts = cut_to(list(dict.fromkeys(answers)), Renderer(tokenizer), checked_limit(max_length))
    rows = [cuts[answer] for answer in answers]
    short = sum(row.kept != "whole" for row in rows)
    log.info("max_length %s: %s of %s items lost their start", max_length, f"{short:,}", f"{len(rows):,}")
    return [row.ids for row in rows]
