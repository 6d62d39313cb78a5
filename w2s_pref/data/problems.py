"""Collects what is wrong with a data set, so that a person mends ten things at once instead of one at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from w2s_pref.core.errors import W2SError

#: Sentences shown before "and N more".
SHOWN = 10

#: Reason of a bad row -> what to do about it, said once at the end.
FIXES = {
    "empty_response": "write the missing response, or remove the row",
    "identical_responses": "a pair needs two different responses: remove the row",
    "not_text": "every prompt and response is text, or a list of {role, content} messages",
    "empty_prompt": "write the missing prompt, or remove the row; pairs that have none stand in a file of their own",
    "no_verdict": "say which of the two responses is preferred, or remove the row",
    "no_assistant_turn": "each response needs a message with role 'assistant' that says something",
    "user_last": "a response ends with what the assistant says: take the user's last turn out, or remove the row",
    "spelled_out": "save the lists of {role, content} messages themselves (JSONL, Parquet), or in CSV as JSON that "
    "begins with [{",
    "two_prompts": "give the prompt once: take its turns out of the responses, or, where the turns that both responses "
    "share hold all of it, leave the column out by columns: {prompt: null}",
    "other_questions": "chosen and rejected are two answers to one question: pair answers that share what came before "
    "them, or remove the row",
    "missing_id": "give every row an id, or write columns: {id: null} to use content ids",
    "missing_group": "give every row a group, or write columns: {group: null} to group by prompt",
}


def short(value: object, width: int = 40) -> str:
    """A value as it may stand in a sentence: its repr, cut to ``width`` characters."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def first(sentences: list[str]) -> list[str]:
    """The first ten sentences, and how many more there are."""
    more = len(sentences) - SHOWN
    return sentences[:SHOWN] + ([f"and {more:,} more"] if more > 0 else [])


@dataclass(frozen=True)
class MissingResponse:
    """Stands in the place of a response where a reader knows why there is none: a key of ``FIXES``, a sentence."""

    reason: str
    sentence: str


@dataclass
class Problems:
    """Problems found so far. With ``on_bad_row='drop'`` bad rows are only counted, by reason."""

    on_bad_row: Literal["error", "drop"] = "error"
    sentences: list[str] = field(default_factory=list)
    total: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    reasons: set[str] = field(default_factory=set)

    def add(self, sentence: str) -> None:
        """A problem with the source as a whole: always an error."""
        self.total += 1
        if len(self.sentences) < SHOWN:
            self.sentences.append(sentence)

    def row(self, reason: str, sentence: str) -> None:
        """A problem of one row: an error, or one more dropped row."""
        if self.on_bad_row == "drop":
            self.dropped[reason] += 1
            return
        self.reasons.add(reason)
        self.add(sentence)

    def check(self) -> None:
        """Raise everything collected.

        Raises:
            W2SError: up to ten sentences, "and N more", and how to mend each kind.
        """
        if not self.total:
            return
        more = self.total - len(self.sentences)
        tail = [f"and {more:,} more problem{'s' if more > 1 else ''} of this data set"] if more else []
        tail += [f"fix: {FIXES[reason]}" for reason in FIXES if reason in self.reasons]
        if self.reasons:
            tail.append("or write on_bad_row: drop in the source to leave such rows out, counted")
        raise W2SError(self.sentences + tail)
