"""From pairs to token ids: prompt and answer as one string, the prompt cut from the left where it must be."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.data.chat import as_answer, same_start
from w2s_pref.data.control import stays_text
from w2s_pref.data.problems import first
from w2s_pref.data.render import TODAY, Answer, Renderer, asks_date
from w2s_pref.data.render import Ids as Ids
from w2s_pref.data.token_cache import Tokenized as Tokenized
from w2s_pref.data.token_cache import cached

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Overlong = Literal["error", "truncate", "drop"]


class Cut(NamedTuple):
    """What truncation made of one text's ``full`` ids: ``kept`` is "whole", "prompt_truncated" or "answer_cut".

    ``start`` is where the response begins in ``ids``; 0 where nobody asked.
    """

    full: Ids
    ids: Ids
    kept: str
    start: int = 0


def tokenize(
    frame: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
    overlong: Overlong = "truncate",
    starts: bool = False,
) -> Tokenized:
    """Tokenise pairs as TRL's RewardTrainer does, except that nothing disappears without a count.

    Prompt and answer are one string. Decoders get their eos once, whether or not the text has it; tokenizers that end
    every text themselves (encoders) are left alone. Conversations go through the chat template, or, where there is
    none, are written as ``\\n\\nHuman: …\\n\\nAssistant: …``. Texts over ``max_length`` lose tokens from the left,
    after the bos or cls token.

    Args:
        frame: pairs with at least ``id, form, prompt, a, b``.
        max_length: longest list of ids, special tokens included, at least 2; None for no limit.
        overlong: ``drop`` leaves out the pairs with a text over ``max_length``; ``error`` refuses them.
        starts: also say where each response begins: where the ids part from those of the prompt alone
            (``prompt_ids``), as in TRL's DPOTrainer, but for each answer by itself. A token that merges the end of the
            prompt with the start of the answer is the answer's. The response runs to the end, eos included.

    Raises:
        W2SError: a text over ``max_length`` with ``overlong='error'``, or one without any token.
    """
    limit = checked_limit(max_length)
    read = {"control_tokens": "text"} if stays_text() else {}
    dated = {"today": str(TODAY.date())} if asks_date(tokenizer) else {}
    done = cached(
        lambda more: _tokenize(frame, tokenizer, limit, overlong, starts or more),
        frame,
        tokenizer,
        {"max_length": max_length, "overlong": overlong, **read, **dated},
    )
    log.info("%s", describe(done.counts, max_length))
    return done if starts else replace(done, a_starts=[], b_starts=[])


def _tokenize(
    frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, limit: int, overlong: Overlong, starts: bool
) -> Tokenized:
    pairs = [
        (Answer(form, prompt, a), Answer(form, prompt, b))
        for form, prompt, a, b in zip(*(frame[name].tolist() for name in ("form", "prompt", "a", "b")), strict=True)
    ]
    render = Renderer(tokenizer)
    answers = list(dict.fromkeys(text for pair in pairs for text in pair))
    cuts = cut_to(answers, render, limit)
    if starts:
        cuts = _with_starts(cuts, render)
    rows = [(row_id, cuts[a], cuts[b]) for row_id, (a, b) in zip(frame["id"].tolist(), pairs, strict=True)]
    long = [row_id for row_id, a, b in rows if a.kept != "whole" or b.kept != "whole"]
    if long and overlong == "error":
        sentences = first([f"pair {row_id}: longer than max_length {limit} tokens" for row_id in long])
        raise W2SError([*sentences, "fix: raise data.max_length, or write data.overlong: truncate (or drop)"])
    if overlong == "drop":
        gone = set(long)
        rows = [row for row in rows if row[0] not in gone]
    counts = _count(rows, len(pairs), tokenizer)
    if spelled := sum(any(map(render.spells_control, pair)) for pair in pairs):
        counts["control_tokens"] = spelled
    return Tokenized(
        [row_id for row_id, _, _ in rows],
        [a.ids for _, a, _ in rows],
        [b.ids for _, _, b in rows],
        [_worst(a, b) != "whole" for _, a, b in rows],
        counts,
        [a.start for _, a, _ in rows] if starts else [],
        [b.start for _, _, b in rows] if starts else [],
    )


def prompt_ids(frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> list[list[int]]:
    """What a policy is given before it answers: ids of the prompt, with bos where the tokenizer writes it, no eos.

    Conversations end in the generation prompt of the chat template (or in ``Assistant:``). Prompts over ``max_length``
    lose tokens from the left, after the bos token. An empty prompt is the bos token, or the eos token where there is
    none: a policy needs something to go on from.

    Args:
        frame: prompts with ``form`` and ``prompt``, one list of ids a row.
        max_length: longest list of ids, at least 2; None for no limit.
    """
    limit, render = checked_limit(max_length), Renderer(tokenizer)
    prompts = list(zip(frame["form"].tolist(), frame["prompt"].tolist(), strict=True))
    distinct = list(dict.fromkeys(prompts))
    bos = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    ids = {}
    for prompt, tokens in zip(distinct, render.encode_prompts(distinct), strict=True):
        head = render.head(tokens)
        gone = max(0, len(tokens) - limit)
        ids[prompt] = list(tokens[:head] + tokens[head + gone :]) or [bos]
    return [list(ids[prompt]) for prompt in prompts]


def answer_ids(
    prompts: pd.DataFrame,
    texts: Sequence[str],
    ended: Sequence[bool],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int | None,
) -> tuple[list[Ids], list[int]]:
    """Ids of prompts with one written answer each, and where each answer begins, as ``tokenize`` has them.

    Args:
        prompts: columns ``form`` and ``prompt``.
        texts: answers as text (``models.generation``).
        ended: False for an answer that may go on: nothing that ends it stands behind its last word.
    """
    render, limit = Renderer(tokenizer), checked_limit(max_length)
    answers = [
        Answer(form, prompt, as_answer(form, text))
        for form, prompt, text in zip(prompts["form"], prompts["prompt"], texts, strict=True)
    ]
    cuts = _with_starts(cut_to(list(dict.fromkeys(answers)), render, limit), render)
    going = list(dict.fromkeys(answer for answer, end in zip(answers, ended, strict=True) if not end))
    opened = dict(zip(going, render.encode_unended(going), strict=True))
    ids, starts = [], []
    for answer, end in zip(answers, ended, strict=True):
        cut = cuts[answer]
        over = 0 if end else len(cut.full) - same_start(opened[answer], cut.full)
        ids.append(cut.ids[: len(cut.ids) - over])
        starts.append(min(cut.start, len(ids[-1])))
    return ids, starts


def item_ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> list[Ids]:
    """Token ids of every text, special tokens as for pairs: decoders get their eos, encoders what they write.

    Texts over ``max_length`` lose tokens from the left, after the bos or cls token.

    Raises:
        W2SError: a text without any token.
    """
    answers = [Answer("text", "", text) for text in texts]
    cuts = cut_to(list(dict.fromkeys(answers)), Renderer(tokenizer), checked_limit(max_length))
    rows = [cuts[answer] for answer in answers]
    cut = sum(row.kept != "whole" for row in rows)
    log.info("max_length %s: %s of %s items lost their start", max_length, f"{cut:,}", f"{len(rows):,}")
    return [row.ids for row in rows]


def checked_limit(max_length: int | None) -> int:
    """The longest list of ids; without a limit, what no list reaches. Raises ValueError below two tokens."""
    limit = sys.maxsize if max_length is None else max_length
    if limit < 2:
        raise ValueError(f"max_length is {limit}, but a text needs at least 2 tokens")
    return limit


def _count(rows: list[tuple[str, Cut, Cut]], given: int, tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    counts = {"pairs": given, "kept": len(rows), "dropped": given - len(rows)}
    for kind in ("answer_cut", "prompt_truncated"):
        counts[kind] = sum(_worst(a, b) == kind for _, a, b in rows)
    counts["indistinguishable"] = sum(a.ids == b.ids for _, a, b in rows)
    counts["tokens"] = sum(len(a.ids) + len(b.ids) for _, a, b in rows)
    unknown = tokenizer.unk_token_id
    if unknown == tokenizer.eos_token_id:  # GPT-2 names its eos the unknown token, but never meets an unknown byte
        unknown = None
    counts["unknown_tokens"] = 0 if unknown is None else sum(c.ids.count(unknown) for row in rows for c in row[1:])
    return counts


def describe(counts: dict[str, int], max_length: int | None) -> str:
    """The sentence about what ``tokenize`` cut or dropped, and what the tokenizer cannot tell apart."""
    text = (
        f"max_length {max_length}: of {counts['pairs']:,} pairs {counts['prompt_truncated']:,} lost the start of their "
        f"prompt, {counts['answer_cut']:,} the start of an answer, {counts['dropped']:,} were dropped"
    )
    if counts["indistinguishable"]:
        text += f"; both answers of {counts['indistinguishable']:,} pairs are the same tokens: no model can rank them"
    if spelled := counts.get("control_tokens"):
        text += f"; {spelled:,} pairs spell a control token, which is read as text"
    if counts["unknown_tokens"]:
        text += f"; {counts['unknown_tokens'] / counts['tokens']:.1%} of the tokens are unknown to this tokenizer"
    return text


def _worst(a: Cut, b: Cut) -> str:
    return next(kind for kind in ("answer_cut", "prompt_truncated", "whole") if kind in (a.kept, b.kept))


def cut_to(answers: list[Answer], render: Renderer, max_length: int) -> dict[Answer, Cut]:
    """Ids of every distinct answer, cut where they are too long. Raises W2SError for a text without tokens."""
    ids = dict(zip(answers, render.encode((render.text(each), each.form) for each in answers), strict=True))
    for answer, tokens in ids.items():
        if not tokens:
            name = render.tokenizer.name_or_path
            raise W2SError(f"{answer.answer[:40]!r} has no token in {name!r}; check the tokenizer")
    long = [answer for answer in answers if len(ids[answer]) > max_length]
    starts = render.encode((render.prompt(answer), answer.form) for answer in long)
    done = {answer: Cut(tokens, tokens, "whole") for answer, tokens in ids.items()}
    for answer, prompt in zip(long, starts, strict=True):
        tokens = ids[answer]
        head = render.head(tokens)
        gone = len(tokens) - max_length  # ids head … head + gone are left out
        start = max(head, same_start(prompt, tokens))  # a token that reaches into the answer is the answer's
        kind = "answer_cut" if head + gone > start else "prompt_truncated"
        done[answer] = Cut(tokens, tokens[:head] + tokens[head + gone :], kind)
    return done


def _with_starts(cuts: dict[Answer, Cut], render: Renderer) -> dict[Answer, Cut]:
    """The same cuts, each with the place where its response begins."""
    prompts = list(dict.fromkeys((answer.form, answer.prompt) for answer in cuts))
    ids = dict(zip(prompts, render.encode_prompts(prompts), strict=True))
    done = {}
    for answer, cut in cuts.items():
        shared = same_start(ids[answer.form, answer.prompt], cut.full)
        head = render.head(cut.ids)
        start = shared - (len(cut.full) - len(cut.ids))
        done[answer] = cut._replace(start=max(1, head, start))
    return done
