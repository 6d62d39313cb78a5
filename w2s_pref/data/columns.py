"""Which column of a table is which: found by name, by what a recipe says, or asked for in a sentence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.core.tables import A_FIRST, PAIR_COLUMNS, TRUTH_P
from w2s_pref.data.problems import Problems, short
from w2s_pref.data.readers import Part
from w2s_pref.data.verdicts import VERDICTS, advice, mapping

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

#: Columns that look like what is said before a prompt.
_BEFORE = {"system", "systemprompt", "systemmessage", "history"}

#: Columns that look like an id or a group, whatever their case, number and marks.
_KEYS = {"id": "id", "group": "group", "groupid": "group"}

#: Names that public sets use for the same thing, tried in this order before the most similar spelling.
_SYNONYMS = {
    "chosen": ("preferred", "better", "winner", "accepted", "response_chosen", "good"),
    "rejected": ("dispreferred", "worse", "loser", "other", "response_rejected", "bad"),
    "prompt": ("question", "instruction", "input", "query", "context"),
    "id": ("uid", "uuid", "pair_id", "prompt_id"),
    "group": ("prompt_id", "group_id", "cluster"),
}


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
    for sentence in missing or [*_mixed(part, found), *_doubled(part, found, columns)]:
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
    sentences = list(part.notes)
    free = [
        name
        for name in part.frame.columns
        if isinstance(name, str) and name not in {*found.values(), *columns.values()}
    ]
    left = [name for name in free if (looks_like_prompt(name) or _word(name) in _BEFORE) and name not in columns]
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
    sentences += [*_unread_keys(part.label, free, {*found, *columns}), *_unread_turns(part, found)]
    if "split" in free:
        sentences.append(
            f"{part.label}: the column 'split' is not read, and rows are cut anew; to keep its splits, write each to a "
            "file of its own, and name them as sources (gt, w2s, test)"
        )
    answers = [found[role] for role in REQUIRED if role in found]
    if verdict := advice([*answers, *(name for name in free if name.lower() in VERDICTS)], part.frame):
        sentences.append(
            f"{part.label}: {answers[0]!r} is read as the better answer of every row, but there are {verdict}"
        )
    broken = [
        number
        for role in ("prompt", "chosen", "rejected")
        if role in found
        for number, value in _numbered(part.frame[found[role]])
        if isinstance(value, str) and "\ufffd" in value
    ]
    if broken:
        sentences.append(
            f"{part.label}: {len(set(broken)):,} rows (such as row {broken[0]}) hold '\ufffd', which stands for a "
            "character that was lost where the text was decoded wrongly; save the original again, as UTF-8"
        )
    return sentences


def _unread_keys(label: str, free: list[str], known: Collection[str]) -> list[str]:
    """Columns that are called nearly as ours are, and are not ours."""
    sentences = []
    for name in free:
        role = _KEYS.get(re.sub(r"[\W_]+", "", name.casefold()).removesuffix("s"))
        if role is not None and role not in known:
            sentences.append(
                f"{label}: the column {name!r} is not read as {role}; write columns: {{{mapping({role: name})}}}, or "
                f"{role}: null where it is none"
            )
    return sentences


def _unread_turns(part: Part, found: Mapping[str, str]) -> list[str]:
    """What messages hold beside role and content, such as tool calls, and no model will see."""
    seen: dict[str, int] = {}
    rows = zip(*(part.frame[found[role]].tolist() for role in ("prompt", *REQUIRED) if role in found), strict=True)
    for cells in rows:
        turns = [turn for cell in cells if isinstance(cell, list | np.ndarray) for turn in cell]
        keys = {key for turn in turns if isinstance(turn, dict) for key, value in turn.items() if value is not None}
        for key in sorted(keys - {"role", "content"}):
            seen[key] = seen.get(key, 0) + 1
    return [
        f"{part.label}: messages of {number:,} rows hold {key!r} beside role and content, which models are not shown"
        for key, number in seen.items()
    ]


def _numbered(column: pd.Series[Any]) -> Iterator[tuple[Any, Any]]:
    """Row number and value: ``items`` of a column of texts takes eight times as long."""
    return zip(column.index.tolist(), column.tolist(), strict=True)


def looks_like_prompt(name: str) -> bool:
    """Whether a column's name is one of those that prompts have."""
    word = _word(name)
    return word in _PROMPTS or word.removesuffix("s") in _PROMPTS


def _word(name: str) -> str:
    return re.sub(r"[\W_]+|\d+$", "", name.casefold())


def _mixed(part: Part, found: Mapping[str, str]) -> list[str]:
    """Ids or groups of which some are text and some are numbers: which of them are the same cannot be known."""
    sentences = []
    for role in ("id", "group"):
        if role not in found:
            continue
        first: dict[str, str] = {}
        for number, value in _numbered(part.frame[found[role]]):
            if isinstance(value, str):
                first.setdefault("text", f"{short(value)} in row {number}")
            elif not hasattr(value, "__len__") and not pd.isna(value):
                first.setdefault("numbers", f"{short(value)} in row {number}")
        if len(first) > 1:
            said = f"text ({first['text']}) and numbers ({first['numbers']})"
            sentences.append(f"{part.label}: the column {found[role]!r} mixes {said}; write every {role} as text")
    return sentences


def _doubled(part: Part, found: Mapping[str, str], columns: Mapping[str, str | None]) -> list[str]:
    """A prompt that both answers repeat: joined with them, models would read it twice."""
    if "prompt" not in found:
        return []
    cells = zip(*(part.frame[found[role]].tolist() for role in ("prompt", *REQUIRED)), strict=True)
    texts = [row for row in cells if all(isinstance(cell, str) for cell in row)]
    again = [prompt for prompt, *answers in texts if _words(prompt) and all(_repeats(one, prompt) for one in answers)]
    if 2 * len(again) <= len(part.frame):
        return []
    nothing = mapping({**columns, "prompt": None})
    return [
        f"{part.label}: both answers repeat the prompt in {len(again):,} of {len(part.frame):,} rows, such as "
        f"{short(again[0])}, and models would read it twice; write columns: {{{nothing}}}"
    ]


def _words(text: str) -> str:
    """A text without the marks that a dialogue begins with and a prompt ends with."""
    return text.strip().removeprefix("Human:").removesuffix("Assistant:").strip()


def _repeats(answer: str, prompt: str) -> bool:
    return answer.strip().removeprefix("Human:").lstrip().startswith(_words(prompt))


def _missing(label: str, role: str, theirs: str, there: list[str], columns: Mapping[str, str | None]) -> str:
    free = [column for column in there if column not in columns.values()]
    guess = next((name for name in _SYNONYMS.get(role, ()) if name in free), None)
    close = difflib.get_close_matches(theirs, free, n=1, cutoff=0.5)
    best = close[0] if close and role in columns else guess or (close[0] if close else None)
    example = mapping({**columns, role: best or "NAME OF THE COLUMN"})
    nearest = f"; the nearest is {best!r}" if best else ""
    return f"{label}: no column {theirs!r} (columns: {', '.join(there)}){nearest}; write columns: {{{example}}}"


def extras(frame: pd.DataFrame, used: set[str], reserved: set[str]) -> pd.DataFrame:
    """Columns that are carried along: plain numbers, booleans or text, under names that are not ours."""
    kept: dict[str, pd.Series[Any]] = {}
    for column in frame.columns:
        if not isinstance(column, str) or column in used or column in reserved:
            continue
        values = frame[column]
        if pd.api.types.is_object_dtype(values):
            values = _plain(values)
        if not pd.api.types.is_object_dtype(values) or any(_all_of(kind, values) for kind in (str, bool)):
            kept[column] = values
    return pd.DataFrame(kept, index=frame.index)


def _plain(values: pd.Series[Any]) -> pd.Series[Any]:
    """Objects as what they are: whole numbers with gaps (see ``files.from_arrow``) as floats, or text where these lose.

    Truth values with gaps stay objects.
    """
    if values.isna().any() and values.map(lambda value: value is None or type(value) is int).all():
        exact = values.dropna().map(lambda value: abs(value) <= 2**53).all()
        values = values.astype(float) if exact else values.map(str, na_action="ignore")
    return values.infer_objects()


def _all_of(kind: type, values: pd.Series[Any]) -> bool:
    return all(value is None or isinstance(value, kind) for value in values.tolist())


def own_columns(pairs: pd.DataFrame, taken: Collection[str]) -> pd.DataFrame:
    """What pairs hold beyond their texts and truth; a name that is ``taken`` where they are shown is ``pairs.NAME``."""
    own = pairs.drop(columns=[*PAIR_COLUMNS, TRUTH_P, A_FIRST], errors="ignore")
    return own.rename(columns={name: f"pairs.{name}" for name in own.columns if name in taken})
