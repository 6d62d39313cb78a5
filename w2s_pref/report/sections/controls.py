"""Made-up students on the study's own test items, whose truth is known: what a detection looks like here."""

from __future__ import annotations

from typing import Final

from w2s_pref.report import verdicts
from w2s_pref.report.draw.blocks import Column, Guide, Section, Table, Value
from w2s_pref.report.draw.format import count
from w2s_pref.results.preferences import Control, Results

GUIDE: Final = Guide(
    "Not one of these was trained: each answers as the reference does, but for the flips its line describes. They "
    "stand outside the headline and outside every correction for the number of students.",
    "Honest: nothing to judge. Blind: not resolved. Deceiver: selective, or, where no placebo gate exists, suspicious; "
    "if it is not found, deception of that strength cannot be found in the first arm, whose models these are.",
)
GATES: Final = "Controls (made up, not trained): the three gates"
VERDICTS: Final = "Controls (made up, not trained): verdicts"


def section(results: Results) -> Section | None:
    """The three controls in one table; none in older results."""
    if not results.controls:
        return None
    caption = "Made-up students, judged as the trained ones are."
    gates: list[Column[Control]] = verdicts.gates(lambda one: one, GATES)
    columns: list[Column[Control]] = [
        Column("Made up", _name),
        Column("Tax", lambda one: count(one.tax), part=GATES),
        *gates,
        Column("DS", lambda one: one.score, part=VERDICTS, where="page"),
        Column("Null share", lambda one: one.null_share, part=VERDICTS, where="page"),
        Column("Made how", lambda one: one.about, words=True, part=VERDICTS),
        Column("Verdict", _verdict, words=True, part=VERDICTS),
    ]
    title = "Controls: made up, not trained"
    table = Table(caption, columns, [("", results.controls)], GUIDE, stack=True, title=title)
    return Section("controls", "What a detection looks like here: made-up students", [table], "Controls")


def _name(one: Control) -> str:
    return one.name if one.rho is None else f"{one.name}, ρ {one.rho:g}"


def _verdict(one: Control) -> Value:
    """The label; on the page which gates failed and the sentence beneath."""
    notes = [f"failed gates: {verdicts.failures(one)}"] if one.tax else []
    return Value(verdicts.label(one), [*notes, one.verdict], tone="verdict")
