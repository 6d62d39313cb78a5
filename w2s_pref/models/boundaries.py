"""Where an answer begins and ends: the room of its prompt, the ids that end it, and the text that it adds."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import pandas as pd
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from w2s_pref.core.errors import W2SError
from w2s_pref.data.tokens import prompt_ids

log = logging.getLogger(__name__)

Ids = list[int]


def prompt_room(model: PreTrainedModel | PretrainedConfig, max_length: int | None, max_new_tokens: int) -> int | None:
    """How many tokens a prompt may have before ``model`` (or its configuration); None where nothing limits it.

    Raises:
        W2SError: fewer than two.
    """
    config = getattr(model, "config", model)
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    limits = [limit for limit in (max_length, context) if limit is not None]
    if not limits:
        return None
    room = int(min(limits)) - max_new_tokens
    if room < 2:
        raise W2SError(
            f"answers of up to {max_new_tokens} tokens leave {max(0, room)} of {min(limits)} for the prompt; lower "
            "max_new_tokens (max_completion_length), or raise data.max_length where the model allows more"
        )
    return room


def fit_prompts(prompts: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, room: int | None) -> tuple[list[Ids], int]:
    """Ids of every prompt, at most ``room`` of them, and how many prompts lost their start."""
    ids = prompt_ids(prompts, tokenizer, None)
    long = [row for row, tokens in enumerate(ids) if room is not None and len(tokens) > room]
    if long:
        for row, tokens in zip(long, prompt_ids(prompts.iloc[long], tokenizer, room), strict=True):
            ids[row] = tokens
        log.warning("%s of %s prompts lost their start to leave room for an answer", len(long), len(ids))
    return ids, len(long)


def eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, forms: Iterable[str]) -> list[int]:
    """Every id that ends an answer: the tokenizer's eos, those the model declares, and what closes a turn of a chat.

    Args:
        forms: of the prompts. Policies learn to end a message as the chat template does, which need not be the eos.
    """
    declared = getattr(model.generation_config, "eos_token_id", None)
    more = [] if declared is None else [declared] if isinstance(declared, int) else list(declared)
    turn = turn_end(tokenizer) if "chat" in set(forms) else None
    return sorted({tokenizer.eos_token_id, turn, *more} - {None})


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The control token that a chat template puts behind a message of the assistant; None where it puts none there."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "§"}]
    try:
        behind = str(tokenizer.apply_chat_template(turns, tokenize=False)).rpartition("§")[2].lstrip()
    except Exception:  # templates raise their own kinds; what they refuse is said where real messages are written
        return None
    names = {str(token): int(number) for number, token in tokenizer.added_tokens_decoder.items()}
    return next(
        (names[name] for name in sorted(names, key=len, reverse=True) if name and behind.startswith(name)), None
    )


def cut_at_end(ids: Ids, ends: Sequence[int]) -> Ids:
    """The ids up to and with the first that ends an answer."""
    first = next((at for at, token in enumerate(ids) if token in ends), len(ids) - 1)
    return ids[: first + 1]


def answer_texts(
    tokenizer: PreTrainedTokenizerBase, forms: Sequence[str], prompts: Sequence[Ids], answers: Sequence[Ids]
) -> list[str]:
    """The text of each answer: what it adds to the text of its prompt, so that prompt + text reads as it was written.

    Word-level and SentencePiece tokenizers drop the space before the first word when an answer is decoded by itself;
    decoded behind its prompt it is there. Where the two do not fit together (a character whose bytes are shared by
    prompt and answer) the answer is decoded by itself. Special tokens are left out. In a chat the space around a
    message belongs to the template and is taken away.
    """
    whole = _decode(tokenizer, [start + ids for start, ids in zip(prompts, answers, strict=True)])
    before = _decode(tokenizer, prompts)
    alone = _decode(tokenizer, answers)
    texts = [
        both[len(start) :] if both.startswith(start) else by_itself
        for both, start, by_itself in zip(whole, before, alone, strict=True)
    ]
    return [text.strip() if form == "chat" else text for form, text in zip(forms, texts, strict=True)]


def _decode(tokenizer: PreTrainedTokenizerBase, sequences: Sequence[Ids]) -> list[str]:
    return [
        str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)) for ids in sequences
    ]
