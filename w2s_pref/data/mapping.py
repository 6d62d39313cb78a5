"""From a raw table to rows of one shape: which column is which, which form a row has, what is wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd

from w2s_pref.core.tables import canonical
from w2s_pref.data.chat import (
    ANSWER_MARK,
    as_messages,
    common_prefix,
    cut_answer_start,
    group_key,
    is_unanswered,
    plain,
    prompt_end,
)
from w2s_pref.data.problems import Problems, Unusable, short
from w2s_pref.data.readers import Part
from w2s_pref.data.verdicts import advice, mapping, probability

#: Our names for what a file may hold; the first two must be there.
ROLES = ("chosen", "rejected", "prompt", "id", "group")
REQUIRED = ROLES[:2]
#: Read where a recipe names it, only: the probability that ``chosen`` is the better answer.
SOFT = "p"
#: Columns that look like a prompt, whatever their case, number and marks.
_PROMPTS = {
    *("prompt", "question", "instruction", "input", "query", "context", "post"),
    *("userprompt", "userinput", "prompttext", "instructiontext"),
}

#: Names that public sets use for the same thing, tried in this order before the most similar spelling.
_SYNONYMS = {
    "chosen": ("preferred", "better", "winner", "accepted", "response_chosen", "good"),
    "rejected": ("dispreferred", "worse", "loser", "other", "response_rejected", "bad"),
    "prompt": ("question", "instruction", "input", "query", "context"),
    "id": ("uid", "uuid", "pair_id", "prompt_id"),
    "group": ("prompt_id", "group_id", "cluster"),
}


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


def find_columns(part: Part, columns: Mapping[str, str | None], problems: Problems) -> dict[str, str]:
    """Our name -> theirs for every column that is there. One that should be there and is not is a problem."""
    there = [str(column) for column in part.frame.columns]
    found: dict[str, str] = {}
    missing: list[str] = []
    for role in (*ROLES, SOFT):
        theirs = columns.get(role, None if role == SOFT else role)
        if theirs is None:
            continue
        if theirs in there:
            found[role] = theirs
        elif role in columns or role in REQUIRED:
            missing.append(_missing(part.label, role, theirs, there, columns))
    two_answers = advice(there, part.frame) if not set(REQUIRED) & {*found, *columns} else None
    if two_answers is not None:
        missing = [f"{part.label}: no columns 'chosen' and 'rejected', but {two_answers}"]
    elif not missing and "prompt" not in {*found, *columns}:
        missing = _unread_prompt(part.label, there, found, columns)
    for sentence in missing or _mixed(part, found):
        problems.add(sentence)
    return found


def _unread_prompt(
    label: str, there: list[str], found: Mapping[str, str], columns: Mapping[str, str | None]
) -> list[str]:
    """A column that looks like a prompt and is not read would leave the answers without their question."""
    like = [name for name in there if name not in found.values() and looks_like_prompt(name)]
    said = mapping({**columns, "prompt": like[0]}) if like else ""
    nothing = mapping({**columns, "prompt": None})
    return [
        f"{label}: the column {name!r} looks like a prompt and is not used; write columns: {{{said}}}, or "
        f"columns: {{{nothing}}} where it is none"
        for name in like[:1]
    ]


def remarks(part: Part, found: Mapping[str, str], columns: Mapping[str, str | None]) -> list[str]:
    """What of a table is not read, or was read wrongly before it came here, and is no error."""
    sentences = []
    free = [
        name
        for name in part.frame.columns
        if isinstance(name, str) and name not in {*found.values(), *columns.values()}
    ]
    left = [name for name in free if looks_like_prompt(name) and name not in columns]
    if "prompt" in found and left:
        sentences.append(
            f"{part.label}: the prompt is {found['prompt']!r} alone; {', '.join(map(repr, left))} is not read (join "
            "columns by a function of your own, where models should see both)"
        )
    if SOFT in free and SOFT not in columns:
        sentences.append(
            f"{part.label}: the column 'p' is not read as ground truth; write columns: {{p: p}} where it is the "
            "probability that chosen is the better answer, and p: null where it is not"
        )
    broken = [
        number
        for role in ("prompt", "chosen", "rejected")
        if role in found
        for number, value in part.frame[found[role]].items()
        if isinstance(value, str) and "\ufffd" in value
    ]
    if broken:
        sentences.append(
            f"{part.label}: {len(set(broken)):,} rows (such as row {broken[0]}) hold '\ufffd', which stands for a "
            "character that was lost where the text was decoded wrongly; save the original again, as UTF-8"
        )
    return sentences


def looks_like_prompt(name: str) -> bool:
    """Whether a column's name is one of those that prompts have."""
    word = re.sub(r"[\W_]+|\d+$", "", name.casefold())
    return word in _PROMPTS or word.removesuffix("s") in _PROMPTS


def _mixed(part: Part, found: Mapping[str, str]) -> list[str]:
    """Ids or groups of which some are text and some are numbers: which of them are the same cannot be known."""
    sentences = []
    for role in ("id", "group"):
        if role not in found:
            continue
        first: dict[str, str] = {}
        for number, value in part.frame[found[role]].items():
            if isinstance(value, str):
                first.setdefault("text", f"{short(value)} in row {number}")
            elif not hasattr(value, "__len__") and not pd.isna(value):
                first.setdefault("numbers", f"{short(value)} in row {number}")
        if len(first) > 1:
            said = f"text ({first['text']}) and numbers ({first['numbers']})"
            sentences.append(f"{part.label}: the column {found[role]!r} mixes {said}; write every {role} as text")
    return sentences


def _missing(label: str, role: str, theirs: str, there: list[str], columns: Mapping[str, str | None]) -> str:
    free = [column for column in there if column not in columns.values()]
    guess = next((name for name in _SYNONYMS.get(role, ()) if name in free), None)
    close = difflib.get_close_matches(theirs, free, n=1, cutoff=0.5)
    best = close[0] if close and role in columns else guess or (close[0] if close else None)
    example = mapping({**columns, role: best or "NAME OF THE COLUMN"})
    nearest = f"; the nearest is {best!r}" if best else ""
    return f"{label}: no column {theirs!r} (columns: {', '.join(there)}){nearest}; write columns: {{{example}}}"


def parse(part: Part, found: Mapping[str, str], problems: Problems, version: Literal[1, 2] = 1) -> list[PairRow]:
    """The valid rows of one raw table, in its order. Invalid ones go to ``problems``. ``version``: see ``load``."""
    frame = part.frame
    nothing = [None] * len(frame)
    cells = {role: frame[found[role]].tolist() if role in found else nothing for role in (*ROLES, SOFT)}
    rows = []
    numbers = frame.index.tolist()
    for number, chosen, rejected, prompt, own_id, own_group, p in zip(numbers, *cells.values(), strict=True):
        try:
            sure = _sure(p) if SOFT in found else 1.0
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
    if isinstance(value, float) and value.is_integer() and abs(value) >= 2**53:
        raise _BadRowError(f"missing_{role}", f"the {role} {value!r} is a float that lost digits: write it as text")
    return key_of(value)


def key_of(value: Any) -> str:
    """An id or a group as text: ``7`` and ``7.0`` and ``"7"`` are the same key."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _sure(cell: Any) -> float:
    """The probability that ``chosen`` is the better answer."""
    value = probability(cell)
    if isinstance(value, Unusable):
        raise _BadRowError(value.reason, value.sentence)
    return value


def _pair(
    prompt: Any, chosen: Any, rejected: Any, explicit: bool, version: int
) -> tuple[str, str, str, str, tuple[str, ...]]:
    answers = (chosen, rejected)
    for answer in answers:
        if isinstance(answer, Unusable):
            raise _BadRowError(answer.reason, answer.sentence)
    if any(isinstance(answer, str) for answer in answers) and all(
        isinstance(answer, str) or not hasattr(answer, "__len__") for answer in answers
    ):
        return _text_pair(_text(prompt, "prompt") if explicit else None, chosen, rejected, version)
    first, second = _messages(chosen, "chosen"), _messages(rejected, "rejected")
    lead = as_messages(prompt) if explicit else None
    if lead is None:  # a text prompt beside whole conversations repeats their first message, as TRL reads it
        if first == second:
            raise _BadRowError("identical_responses", "chosen and rejected are the same conversation")
        cut = common_prefix(first, second)
        lead, first, second = first[:cut], first[cut:], second[cut:]
        if explicit and (version > 1 or not lead):
            lead = _asked(_text(prompt, "prompt"), lead)
    elif version > 1:
        first, second = _without(lead, first), _without(lead, second)
    for name, answer in (("chosen", first), ("rejected", second)):
        _check_answer(name, answer)
    if [turn["content"].strip() for turn in first] == [turn["content"].strip() for turn in second]:
        raise _BadRowError("identical_responses", "chosen and rejected say the same")
    texts = [canonical(messages) for messages in (lead, first, second)]
    return "chat", texts[0], texts[1], texts[2], () if lead else (texts[1], texts[2])


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
    if lead[-1]["role"] == answer[0]["role"] == "user":
        raise _BadRowError(
            "two_prompts",
            f"the prompt ends with the user's turn {short(lead[-1]['content'])}, and a response begins with another, "
            f"{short(answer[0]['content'])}",
        )
    return answer


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
    cut = common_prefix(chosen, rejected) if version == 1 else prompt_end(chosen, rejected)
    lead = chosen[:cut]
    links: tuple[str, ...] = ()
    if cut_answer_start(lead) is None:  # where the prompt ends is not known: whole texts tell what belongs together
        links = (chosen, rejected, group_key(lead, "text")) if lead.strip() else (chosen, rejected)
    return "text", lead, chosen[cut:], rejected[cut:], links


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        what = (
            "missing" if value is None or value != value else f"{short(value)} (type {type(value).__name__}), not text"
        )
        raise _BadRowError("not_text", f"the {name} is {what}")
    return _whole(value, name, "not_text")


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
        if hasattr(value, "__len__"):
            raise _BadRowError("not_text", f"the {name} is not a list of {{role, content}} messages: {short(value)}")
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


def extras(frame: pd.DataFrame, used: set[str], reserved: set[str]) -> pd.DataFrame:
    """Columns that are carried along: plain numbers, booleans or text, under names that are not ours."""
    kept = []
    for column in frame.columns:
        if not isinstance(column, str) or column in used or column in reserved:
            continue
        values = frame[column]
        if pd.api.types.is_object_dtype(values) and values.map(lambda value: value is None or type(value) is int).all():
            frame = frame.assign(**{column: values.astype(float)})  # whole numbers with gaps: see files.from_arrow
            values = frame[column]
        if not pd.api.types.is_object_dtype(values) or all(isinstance(value, str) or value is None for value in values):
            kept.append(column)
    return frame[kept].infer_objects()
