"""The tokenizer of the chess models: a word a piece on its square, a word a square, a letter, and four marks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import chess

from w2s_pref.studies.chess.notation import EN_PASSANT, END, PIECES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
MAX_LENGTH = 256
"""Longest text; a position with its move has at most 43 tokens, a game two or three a half-move."""

_WORDS = rf"[{PIECES}][a-h][1-8]|[a-h][1-8]|{EN_PASSANT}|{PAD}|{BOS}|{EOS}|\S"
"""A piece before a bare square: no UCI move has a piece's letter before a square, so the two never mix."""


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Token -> id. Letters are castling rights (``K``, ``q``) or what a pawn becomes (``q``)."""
    known = [PAD, BOS, EOS, UNK, END, EN_PASSANT, *chess.SQUARE_NAMES, *"KQkqrbn"]
    for piece in PIECES:
        known += [piece + square for square in chess.SQUARE_NAMES if piece not in "Pp" or square[1] not in "18"]
    return {word: number for number, word in enumerate(known)}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer as the ordinary library class; it adds no special token itself and joins words without spaces."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel(vocab=vocabulary(), unk_token=UNK))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=PAD, bos_token=BOS, eos_token=EOS, unk_token=UNK, model_max_length=MAX_LENGTH
    )
