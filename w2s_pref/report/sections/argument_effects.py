"""Judges of arguments: accuracy with and without transcripts, the nulls beside it, and what the arguments are like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from w2s_pref.report.draw.blocks import Column, Content, Guide, Points, Section, Table, Value
from w2s_pref.results.preferences import ArgumentEffect, Results


def _null(name: str) -> Callable[[ArgumentEffect], Content]:
    """A comparison with a null; a supervisor that is one itself has none."""
    return lambda one: Value(getattr(one, name), absent="none")


COLUMNS: Final[tuple[Column[ArgumentEffect], ...]] = (
    Column("Supervisor", lambda one: one.supervisor),
    Column("Judge", lambda one: f"{one.judge}, {one.protocol}", words=True, where="page"),
    Column("Naive", lambda one: one.naive, axis="accuracy", bounds=False),
    Column("With transcripts", lambda one: one.argued, axis="accuracy", where="page"),
    Column("Gain", lambda one: one.gain, axis="gain", neutral=0.0),
    Column("Gain, shuffled", _null("shuffled_gain"), axis="gain", neutral=0.0, short="Shuffled", bounds=False),
    Column("Gain, blank", _null("blank_gain"), axis="gain", neutral=0.0, short="Blank", bounds=False),
    Column("Beyond shuffled", _null("beyond_shuffled"), axis="gain", neutral=0.0, short="Beyond", bounds=False),
    Column("Same choice", _null("same_choice"), axis="same", where="page"),
)
GUIDE: Final = Guide(
    "Accuracies of the judge on the test items. Gain is with transcripts minus without. Two nulls stand beside it: "
    "transcripts of other pairs (shuffled), and as many words without content (blank). Beyond shuffled: with the right "
    "transcripts minus with those of other pairs. Same choice: how often both lead to the same answer.",
    "A gain that shuffled or blank transcripts bring as well: then it is not what was argued that helps. Same choice "
    "near 1: the judge hardly reads the transcripts.",
)
_SAID: Final = {
    "empty": "{:.0%} of the pairs have an empty argument",
    "same": "for {:.0%} the arguments of both sides are the same words",
    "unended": "for {:.0%} an argument was cut off at max_new_tokens",
    "unparseable": "the judge names neither A nor B (less than half of the probability) in {:.0%}",
    "same_when_swapped": "it chooses the same answer in {:.0%} when A and B change places",
}
#: Said even where it is nothing.
_JUDGED: Final = ("unparseable", "same_when_swapped")


def section(results: Results) -> Section | None:
    """A row a supervisor; none without judges of arguments."""
    if not results.argument_effects:
        return None
    title = "Judges of arguments"
    table = Table("What arguments bring a judge.", COLUMNS, [("", results.argument_effects)], GUIDE, title=title)
    said = [f"{one.supervisor}: {'; '.join(_said(one))}." for one in results.argument_effects if _said(one)]
    return Section("arguments", title, [table, *([Points(said)] if said else [])], "Judges")


def _said(one: ArgumentEffect) -> list[str]:
    """What is to be known of the arguments, and of a judge that is asked."""
    there = {name: share for name, share in one.about.items() if share or name in _JUDGED}
    told = [text.format(there[name]) for name, text in _SAID.items() if name in there]
    cut = int(one.about.get("transcript_cut", 0))
    return told + [f"{cut:,} pairs lost the start of their transcript, which was too long"] * bool(cut)
