"""From pairs to token ids: prompt and answer as one string, the prompt cut from the left where it must be."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from w2s_pref.data.chat import plain, same_start
from w2s_pref.data.problems import SHOWN
from w2s_pref.errors import W2SError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

Overlong = Literal["error", "truncate", "drop"]
Ids = list[int]

#: Texts tokenised in one call: enough for the tokenizer's threads, few enough for memory.
CHUNK = 2048

#: Tokenizers whose missing chat template was mentioned.
_TOLD: set[str] = set()


class Answer(NamedTuple):
    """One answer with its prompt, as it stands in a table of pairs."""

    form: str
    prompt: str
    answer: str


class Cut(NamedTuple):
    """What truncation did to one text: ``kept`` is "whole", "prompt_truncated" or "answer_cut"."""

    ids: Ids
    kept: str


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
    """

    ids: list[str]
    a_ids: list[Ids]
    b_ids: list[Ids]
    truncated: list[bool]
    counts: dict[str, int]


def tokenize(
    frame: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int | None, overlong: Overlong = "truncate"
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

    Raises:
        W2SError: a text over ``max_length`` with ``overlong='error'``, or one without any token.
    """
    limit = sys.maxsize if max_length is None else max_length
    if limit < 2:
        raise ValueError(f"max_length is {limit}, but a text needs at least 2 tokens")
    pairs = [
        (Answer(form, prompt, a), Answer(form, prompt, b))
        for form, prompt, a, b in zip(frame["form"], frame["prompt"], frame["a"], frame["b"], strict=True)
    ]
    cuts = _cuts(list(dict.fromkeys(text for pair in pairs for text in pair)), tokenizer, limit)
    rows = [(row_id, cuts[a], cuts[b]) for row_id, (a, b) in zip(frame["id"], pairs, strict=True)]
    long = [row_id for row_id, a, b in rows if a.kept != "whole" or b.kept != "whole"]
    if long and overlong == "error":
        raise W2SError(_too_long(long, limit))
    if overlong == "drop":
        gone = set(long)
        rows = [row for row in rows if row[0] not in gone]
    counts = _count(rows, len(pairs), tokenizer)
    log.info("%s", describe(counts, max_length))
    return Tokenized(
        [row_id for row_id, _, _ in rows],
        [a.ids for _, a, _ in rows],
        [b.ids for _, _, b in rows],
        [_worst(a, b) != "whole" for _, a, b in rows],
        counts,
    )


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
    if counts["unknown_tokens"]:
        text += f"; {counts['unknown_tokens'] / counts['tokens']:.1%} of the tokens are unknown to this tokenizer"
    return text


def _worst(a: Cut, b: Cut) -> str:
    return next(kind for kind in ("answer_cut", "prompt_truncated", "whole") if kind in (a.kept, b.kept))


def _too_long(ids: list[str], max_length: int) -> list[str]:
    sentences = [f"pair {row_id}: longer than max_length {max_length} tokens" for row_id in ids[:SHOWN]]
    more = [f"and {len(ids) - SHOWN:,} more"] if len(ids) > SHOWN else []
    return [*sentences, *more, "fix: raise data.max_length, or write data.overlong: truncate (or drop)"]


def _cuts(answers: list[Answer], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[Answer, Cut]:
    """Ids of every distinct answer, cut where they are too long. Raises W2SError for a text without tokens."""
    render = Renderer(tokenizer)
    ids = dict(zip(answers, render.encode([(render.text(each), each.form) for each in answers]), strict=True))
    for answer, tokens in ids.items():
        if not tokens:
            raise W2SError(f"{answer.answer[:40]!r} has no token in {tokenizer.name_or_path!r}; check the tokenizer")
    long = [answer for answer in answers if len(ids[answer]) > max_length]
    starts = render.encode([(render.prompt(answer), answer.form) for answer in long])
    done = {answer: Cut(tokens, "whole") for answer, tokens in ids.items()}
    keep_first = {tokenizer.bos_token_id, tokenizer.cls_token_id} - {None}
    for answer, prompt in zip(long, starts, strict=True):
        tokens = ids[answer]
        head = 1 if tokens[0] in keep_first else 0
        gone = len(tokens) - max_length  # ids head … head + gone are left out
        start = max(head, same_start(prompt, tokens))  # a token that reaches into the answer is the answer's
        kind = "answer_cut" if head + gone > start else "prompt_truncated"
        done[answer] = Cut(tokens[:head] + tokens[head + gone :], kind)
    return done


class Renderer:
    """Writes answers as the text that one tokenizer is given, and tokenises it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.template = bool(tokenizer.chat_template)
        self.eos = str(tokenizer.eos_token or "")
        self.ends_itself = bool(self.eos) and _ends_itself(tokenizer)

    def text(self, answer: Answer) -> str:
        """Prompt and answer as one string, with the eos where the tokenizer does not write it."""
        if answer.form == "chat" and self.template:
            return self._apply(json.loads(answer.prompt) + json.loads(answer.answer))
        text = self._plain(answer) if answer.form == "chat" else answer.prompt + answer.answer
        ended = bool(self.eos) and text.endswith(self.eos)
        if self.ends_itself:
            return text.removesuffix(self.eos)
        return text if ended else text + self.eos

    def prompt(self, answer: Answer) -> str:
        """The part of ``text`` that comes before the words of the answer."""
        if answer.form != "chat":
            return answer.prompt
        turns = json.loads(answer.answer)
        mark = "¶" if turns[0]["content"].startswith("§") else "§"
        other = [{**turns[0], "content": mark + turns[0]["content"]}, *turns[1:]]
        changed = answer._replace(answer=json.dumps(other))
        text = self.text(answer)
        return text[: same_start(text, self.text(changed))]

    def encode(self, texts: list[tuple[str, str]]) -> list[Ids]:
        """Ids of (text, form): a chat template writes its special tokens itself, all other texts get them here."""
        ids: list[Ids] = [[] for _ in texts]
        for templated in (False, True):
            places = [at for at, (_, form) in enumerate(texts) if (form == "chat" and self.template) == templated]
            for start in range(0, len(places), CHUNK):
                chunk = places[start : start + CHUNK]
                encoded = self.tokenizer(
                    [texts[at][0] for at in chunk],
                    add_special_tokens=not templated,
                    padding=False,
                    truncation=False,
                    return_attention_mask=False,
                    return_token_type_ids=False,
                    verbose=False,
                )
                for at, tokens in zip(chunk, encoded["input_ids"], strict=True):
                    ids[at] = tokens
        return ids

    def _apply(self, messages: list[dict[str, str]]) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception as error:  # templates raise their own kinds, such as for roles they do not know
            roles = ", ".join(turn["role"] for turn in messages)
            raise W2SError(
                f"the chat template of {self.tokenizer.name_or_path!r} refuses a conversation of {roles}: {error}"
            ) from error

    def _plain(self, answer: Answer) -> str:
        name = self.tokenizer.name_or_path or type(self.tokenizer).__name__
        if name not in _TOLD:
            _TOLD.add(name)
            log.warning(
                "%s has no chat template: conversations are written as '\\n\\nHuman: …\\n\\nAssistant: …'", name
            )
        return plain(json.loads(answer.prompt) + json.loads(answer.answer))


def _ends_itself(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True where the tokenizer puts a special token after every text, as encoders do."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    start = next((at for at in range(len(full)) if full[at : at + len(bare)] == bare), 0)
    return len(full) > start + len(bare)
