"""Preference forms: prompts that are explicit, implicit or conversations, and what counts as the same prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from w2s_pref.core.tables import digest

S = TypeVar("S", bound=Sequence[Any])
Message = dict[str, str]

#: How a turn is written where a tokenizer has no chat template (and how HH-RLHF writes its dialogues).
SPEAKERS = {"user": "Human", "assistant": "Assistant"}
ANSWER_MARK = "\n\nAssistant:"
USER_MARK = "\n\nHuman:"
_SPACE = re.compile(r"\s+")
_LAST_WORD = re.compile(r"\s*\S+$")


def as_messages(value: Any) -> list[Message] | None:
    """A conversation as plain messages, or None where the value is not a list of {"role", "content"} texts.

    Only role and content are kept: a reward is a function of what was said.
    """
    items = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(items, list) or not items:
        return None
    for item in items:
        if not isinstance(item, dict):
            return None
        if not isinstance(item.get("role"), str) or not isinstance(item.get("content"), str):
            return None
    return [{"role": item["role"], "content": item["content"]} for item in items]


def same_start(first: S, second: S) -> int:
    """How many elements two texts or lists share from the start."""
    low, high = 0, min(len(first), len(second))
    while low < high:  # bisect: slices compare in C, a loop over characters would not
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_prefix(chosen: S, rejected: S) -> int:
    """Length of the shared prompt of two answers, as TRL's ``extract_prompt`` cuts it: text or messages.

    The space before the first difference belongs to the answers; if one answer continues the other, the shorter one
    keeps its last element. Where nothing is shared the length is 0.
    """
    low = same_start(chosen, rejected)
    if low == min(len(chosen), len(rejected)):
        return low - 1
    return low - 1 if low and chosen[low - 1] == " " else low


def prompt_end(chosen: str, rejected: str) -> int:
    """Length of the shared prompt of two texts that hold it: to a dialogue's last "Assistant:", else to a word's end.

    What the answers share beyond it is theirs: a policy that is given half of a word has been told the answer.
    """
    cut = common_prefix(chosen, rejected)
    lead = chosen[:cut]
    dialogue = cut_answer_start(lead)
    if dialogue is not None:
        return len(dialogue)
    broken = lead[-1:].isalnum() and any(text[cut : cut + 1].isalnum() for text in (chosen, rejected))
    return len(_LAST_WORD.sub("", lead)) if broken else cut


def cut_answer_start(prompt: str) -> str | None:
    """An HH dialogue up to and including its last "Assistant:", or None where the text is no such dialogue.

    The shared start of two answers lands in an implicit prompt; what counts as the same prompt ends before it.
    """
    mark = prompt.rfind(ANSWER_MARK)
    if mark < 0 or prompt.find(USER_MARK, mark) >= 0:
        return None
    return prompt[: mark + len(ANSWER_MARK)]


def parted_questions(first: str, second: str) -> tuple[str, str] | None:
    """The questions of the user's turn within which two HH dialogues part; None where they part elsewhere."""
    texts = [f"\n\n{text.lstrip()}" for text in (first, second)]
    shared = texts[0][: same_start(*texts)]
    turn = shared.rfind(USER_MARK)
    if turn < 0 or shared.find(ANSWER_MARK, turn) >= 0:
        return None
    (one, mark, _), (other, other_mark, _) = (text[turn + len(USER_MARK) :].partition(ANSWER_MARK) for text in texts)
    return (one.strip(), other.strip()) if mark and other_mark and one.strip() != other.strip() else None


def is_unanswered(text: str) -> bool:
    """True for an HH dialogue that ends where the answer should start."""
    return text.rstrip().endswith(ANSWER_MARK.strip()) and ANSWER_MARK in text


def plain(messages: Sequence[Message]) -> str:
    """A conversation as text: ``\\n\\nHuman: …\\n\\nAssistant: …``, other roles by their capitalised name."""
    speakers = [SPEAKERS.get(turn["role"], turn["role"].capitalize()) for turn in messages]
    return "".join(f"\n\n{who}: {turn['content']}" for who, turn in zip(speakers, messages, strict=True))


def plain_prompts(prompts: pd.DataFrame) -> list[str]:
    """Every prompt as a person would read it."""
    return [
        plain(json.loads(prompt)) if form == "chat" else str(prompt)
        for form, prompt in zip(prompts["form"], prompts["prompt"], strict=True)
    ]


def as_answers(pairs: pd.DataFrame, side: str) -> tuple[pd.DataFrame, list[str]]:
    """One side of the pairs as prompts and answers in text, the form that reward functions take.

    Of a chat answer with several messages the last is the answer and the others belong to the prompt: the
    conversation stays the same.
    """
    prompts, answers = [], []
    for form, prompt, answer in zip(pairs["form"], pairs["prompt"], pairs[side], strict=True):
        if form == "chat":
            *turns, last = json.loads(answer)
            prompt = json.dumps(json.loads(prompt) + turns, ensure_ascii=False) if turns else prompt
            answer = last["content"]
        prompts.append(prompt)
        answers.append(answer)
    return pd.DataFrame({"form": pairs["form"].tolist(), "prompt": prompts}), answers


def as_answer(form: str, text: str) -> str:
    """What a policy wrote, as a table of pairs has its answers: of a chat one message of the assistant, as JSON."""
    return json.dumps([{"role": "assistant", "content": text}], ensure_ascii=False) if form == "chat" else text


def group_key(prompt: str, form: str) -> str:
    """What makes two prompts the same: 16 hex digits over the text without case, spacing and outer speaker marks.

    A chat with one user turn, the same words as HH text and the bare words all give one key.
    """
    text = plain(json.loads(prompt)) if form == "chat" else cut_answer_start(prompt) or prompt
    words = _SPACE.sub(" ", text.casefold()).strip()
    return digest(words.removeprefix("human:").removesuffix("assistant:").strip())[:16]


def linked_groups(links: Sequence[Sequence[str]]) -> list[str]:
    """Groups for rows without a prompt to go by: rows that share a key, directly or through others, are one group.

    Args:
        links: the keys (texts) of each row, one or more.

    Returns:
        One 16-digit key a row, which does not depend on the order of the rows.
    """
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for keys in links:
        root = find(keys[0])
        for key in keys[1:]:
            other = find(key)
            root, loser = min(root, other), max(root, other)
            parent[loser] = root
    return [digest("linked", find(keys[0]))[:16] for keys in links]
