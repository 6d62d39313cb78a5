"""From a raw table to rows of one shape: which form a row has, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from w2s_pref.core.tables import canonical, cell_text
from w2s_pref.data.chat import (
    ANSWER_MARK,
    as_messages,
    common_prefix,
    cut_answer_start,
    group_key,
    is_unanswered,
    parted_questions,
    plain,
    prompt_end,
    same_start,
)
from w2s_pref.data.columns import ROLES, SOFT
from w2s_pref.data.problems import MissingResponse, Problems, short
from w2s_pref.data.readers import Part
from w2s_pref.data.verdicts import probability

#: A list of messages spelled out in a text: as JSON, or as Python and numpy print one.
_SPELLED = re.compile(r"""\s*\[\s*\{\s*['"](role|content)['"]\s*:.*\}\s*\]\s*""", re.DOTALL)


#: A whole number as pandas writes it into a column that has a gap.
_POINTED = re.compile(r"-?(0|[1-9]\d*)\.0")


class PairRow(NamedTuple):
    """One valid pair.

    ``links`` holds the keys that join rows into groups where there is no prompt to go by; ``p`` is the probability that
    ``chosen`` is the better answer.
    """

    number: int
    id: str | None
    group: str | None
    form: str
    prompt: str
    chosen: str
    rejected: str
    links: tuple[str, ...]
    p: float = 1.0


def parse(part: Part, found: Mapping[str, str], problems: Problems, version: Literal[1, 2] = 2) -> list[PairRow]:
    """The valid rows of one raw table, in its order. Invalid ones go to ``problems``. ``version``: see ``load``."""
    frame = part.frame
    nothing = [None] * len(frame)
    cells = {role: frame[found[role]].tolist() if role in found else nothing for role in (*ROLES, SOFT)}
    cells |= {role: as_numbers(cells[role]) for role in ("id", "group")}
    some = any(isinstance(cell, str) and cell.strip() for cell in cells["prompt"])
    rows = []
    numbers = frame.index.tolist()
    for number, chosen, rejected, prompt, own_id, own_group, p in zip(numbers, *cells.values(), strict=True):
        try:
            sure = _sure(p) if SOFT in found else 1.0
            if some and isinstance(prompt, str) and not prompt.strip():
                raise _BadRowError("empty_prompt", "the prompt is empty, and those of other rows are not")
            form, prompt_text, first, second, links = _pair(prompt, chosen, rejected, "prompt" in found, version)
            row_id = _key(own_id, "id") if "id" in found else None
            group = _key(own_group, "group") if "group" in found else None
        except _BadRowError as bad:
            name = "" if own_id is None else f" (id {short(own_id)})"
            problems.row(bad.reason, f"{part.label}, row {number}{name}: {bad}")
            continue
        rows.append(PairRow(number, row_id, group, form, prompt_text, first, second, links, sure))
    return rows


class _BadRowError(Exception):
    def __init__(self, reason: str, sentence: str) -> None:
        self.reason = reason
        super().__init__(sentence)


def _key(value: Any, role: str) -> str:
    """An id or a group of a row."""
    if isinstance(value, str):
        _whole(value, role, f"missing_{role}")
    elif hasattr(value, "__len__"):
        raise _BadRowError(f"missing_{role}", f"the {role} is {short(value)}, not text or a number")
    if value is None or value != value or value == "":
        raise _BadRowError(f"missing_{role}", f"{role} is empty")
    if isinstance(value, float) and abs(value) >= 2**53:
        raise _BadRowError(f"missing_{role}", f"the {role} {value!r} is a float that lost digits: write it as text")
    return key_of(value)


def key_of(value: Any) -> str:
    """An id or a group as text: ``7``, ``7.0`` and ``"7"`` are the same key."""
    return value if isinstance(value, str) else cell_text(value)


def as_numbers(cells: list[Any]) -> list[Any]:
    """A column of ids or groups; as numbers where it is text such as ``7.0`` throughout.

    So pandas writes whole numbers into a file where the column has a gap. ``1.0`` beside ``1.1`` is no number.
    """
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    if not texts or not all(_POINTED.fullmatch(text) for text in texts):
        return cells
    return [float(cell) if isinstance(cell, str) and cell.strip() else cell for cell in cells]


def _sure(cell: Any) -> float:
    """The probability that ``chosen`` is the better answer."""
    value = probability(cell)
    if isinstance(value, MissingResponse):
        raise _BadRowError(value.reason, value.sentence)
    return value


def _pair(
    prompt: Any, chosen: Any, rejected: Any, explicit: bool, version: int
) -> tuple[str, str, str, str, tuple[str, ...]]:
    answers = (chosen, rejected)
    for answer in answers:
        if isinstance(answer, MissingResponse):
            raise _BadRowError(answer.reason, answer.sentence)
    if any(isinstance(answer, str) for answer in answers) and all(
        isinstance(answer, str) or not hasattr(answer, "__len__") for answer in answers
    ):
        asked = _text(prompt, "prompt") if explicit else None
        _not_spelled(asked, chosen, rejected)
        return _text_pair(asked, chosen, rejected, version)
    first, second = _messages(chosen, "chosen"), _messages(rejected, "rejected")
    lead = as_messages(prompt) if explicit else None
    if lead is None:  # a text prompt beside whole conversations repeats their first message, as TRL reads it
        if first == second:
            raise _BadRowError("identical_responses", "chosen and rejected are the same conversation")
        cut = common_prefix(first, second)
        lead, first, second = first[:cut], first[cut:], second[cut:]
        if explicit and (version > 1 or not lead):
            lead = _asked(_text(prompt, "prompt"), lead)
            if version > 1 and not cut:
                first, second = _without(lead, first), _without(lead, second)
    elif version > 1:
        first, second = _without(lead, first), _without(lead, second)
    for name, answer in (("chosen", first), ("rejected", second)):
        _check_answer(name, answer)
    if version > 1:
        apart = same_start(first, second)
        _one_question("conversations", _asks(first[apart:]), _asks(second[apart:]))
    if [turn["content"].strip() for turn in first] == [turn["content"].strip() for turn in second]:
        raise _BadRowError("identical_responses", "chosen and rejected say the same")
    texts = [canonical(messages) for messages in (lead, first, second)]
    return "chat", texts[0], texts[1], texts[2], () if lead else (texts[1], texts[2])


def _one_question(what: str, first: str | None, second: str | None) -> None:
    """Refuse answers to two questions, where each of them has one behind what they share."""
    if None not in (first, second) and first != second:
        said = f"{short(first)} and {short(second)}"
        raise _BadRowError("other_questions", f"the two {what} part at the user's turn: {said}")


def _asks(answer: list[dict[str, str]]) -> str | None:
    """The question that an answer begins with, behind turns of the system; None where it begins as answers do."""
    turn = next((turn for turn in answer if turn["role"] != "system"), None)
    return turn["content"].strip() if turn is not None and turn["role"] == "user" else None


def _asked(prompt: str, shared: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns before two answers that share some, where the prompt stands beside them as a text."""
    asked = {"role": "user", "content": prompt}
    if not shared:
        return [asked]
    words = prompt.strip()
    if any(words in (turn["content"].strip(), plain([turn]).strip()) for turn in shared):
        return shared
    if words in (plain(shared).strip(), f"{plain(shared)}{ANSWER_MARK}".strip()):
        return shared
    if shared[0]["role"] == "assistant":
        return [asked, *shared]
    raise _BadRowError(
        "two_prompts",
        f"the prompt {short(prompt)} is not among the turns that both conversations share (first: "
        f"{short(shared[0]['content'])})",
    )


def _without(lead: list[dict[str, str]], answer: list[dict[str, str]]) -> list[dict[str, str]]:
    """A conversation without the prompt at its start, which stands in a column of its own."""
    if answer[: len(lead)] == lead:
        return answer[len(lead) :]
    question, asked = _asks(answer), lead[-1]
    if asked["role"] == "user" and question is not None:
        again = question == asked["content"].strip()
        behind = " behind a turn of the system" if answer[0]["role"] == "system" else ""
        begins = f"the same turn once more{behind}" if again else f"another{behind}, {short(question)}"
        raise _BadRowError(
            "two_prompts",
            f"the prompt ends with the user's turn {short(asked['content'])}, and a response begins with {begins}",
        )
    return answer


def _not_spelled(prompt: str | None, chosen: Any, rejected: Any) -> None:
    """Refuse conversations that were saved as what Python prints of them: models would be asked in brackets."""
    spelled = [isinstance(text, str) and _SPELLED.fullmatch(text) for text in (prompt, chosen, rejected)]
    if spelled[0] or (spelled[1] and spelled[2]):
        name, text = ("prompt", prompt) if spelled[0] else ("chosen", chosen)
        raise _BadRowError("spelled_out", f"the {name} is a conversation spelled out as text: {short(text)}")


def _text_pair(
    prompt: str | None, chosen: str, rejected: str, version: int
) -> tuple[str, str, str, str, tuple[str, ...]]:
    for name, answer in (("chosen", chosen), ("rejected", rejected)):
        _text(answer, name)
        if not answer.strip() or (prompt is None and is_unanswered(answer)):
            raise _BadRowError("empty_response", f"the {name} response is empty")
    if chosen.strip() == rejected.strip():
        raise _BadRowError("identical_responses", f"chosen and rejected are the same text {short(chosen)}")
    if prompt is not None:
        return "text", prompt, chosen, rejected, () if prompt.strip() else (chosen, rejected)
    if version > 1:
        _one_question("dialogues", *(parted_questions(chosen, rejected) or (None, None)))
    cut = common_prefix(chosen, rejected) if version == 1 else prompt_end(chosen, rejected)
    lead = chosen[:cut]
    links: tuple[str, ...] = ()
    if cut_answer_start(lead) is None:  # where the prompt ends is not known: whole texts tell what belongs together
        links = (chosen, rejected, group_key(lead, "text")) if lead.strip() else (chosen, rejected)
    return "text", lead, chosen[cut:], rejected[cut:], links


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _BadRowError("not_text", _no_text(value, name))
    return _whole(value, name, "not_text")


def _no_text(value: Any, name: str) -> str:
    for number, turn in enumerate(value if isinstance(value, list | np.ndarray) else (), start=1):
        if isinstance(turn, dict) and "role" in turn and not isinstance(turn.get("content"), str):
            said = short(turn.get("content"))
            return f"turn {number} of the {name}, of {short(turn['role'])}, has the content {said}"
    if hasattr(value, "__len__"):
        return f"the {name} is not a list of {{role, content}} messages: {short(value)}"
    missing = value is None or value != value
    return f"the {name} is {'missing' if missing else f'{short(value)} (type {type(value).__name__}), not text'}"


def _whole(value: str, name: str, reason: str) -> str:
    """The text, without half characters and NUL: tokenizers and files end at these, or fail."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _BadRowError(reason, f"the {name} holds a broken character at position {error.start}") from None
    if "\0" in value:
        raise _BadRowError(reason, f"the {name} holds a NUL character at position {value.index(chr(0))}; remove it")
    return value


def _messages(value: Any, name: str) -> list[dict[str, str]]:
    messages = as_messages(value)
    if messages is None:
        if isinstance(value, str):
            raise _BadRowError("not_text", f"the {name} is text, but the other response is a conversation")
        _text(value, name)
    assert messages is not None
    for turn in messages:
        _text(turn["content"], name)
    return messages


def _check_answer(name: str, answer: list[dict[str, str]]) -> None:
    spoken = [turn["content"] for turn in answer if turn["role"] == "assistant"]
    if not spoken:
        roles = ", ".join(turn["role"] for turn in answer) or "nothing"
        raise _BadRowError("no_assistant_turn", f"the {name} response has no assistant turn (only {roles})")
    if not spoken[-1].strip():
        raise _BadRowError("empty_response", f"the {name} response is empty")
    if answer[-1]["role"] == "user":
        said = short(answer[-1]["content"])
        raise _BadRowError("user_last", f"the {name} response ends with a turn of the user, {said}")
