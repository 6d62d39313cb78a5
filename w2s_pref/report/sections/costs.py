"""What each way of supervising costs: tokens of the student's training and of its supervision, and seconds."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.report.draw.format import count, duration
from w2s_pref.results.preferences import Results
from w2s_pref.results.trainings import ArmCost

COLUMNS: Final[tuple[Column[ArmCost], ...]] = (
    Column("Arm", lambda one: one.arm),
    Column("Tokens, student", lambda one: count(round(one.student_tokens)), short="Student"),
    Column("Tokens, supervision", lambda one: count(round(one.supervision_tokens)), short="Supervision"),
    Column("Tokens, written", lambda one: count(round(one.written_tokens)), short="Written"),
    Column("By the clock", lambda one: duration(one.seconds), short="Clock"),
    Column("Processor time", lambda one: _processor(one.processor_seconds), short="Processor"),
)
GUIDE: Final = Guide(
    "Of the student without conflict and all that was built for it, a mean over the seeds. Tokens went through a "
    "model, in the student's training (its fine-tuned start and reference included), or in what supervises it: the "
    "supervisors' own trainings, the pairs they score, relabel or refine. Written: tokens of arguments, drawn one by "
    "one. What arms share counts in each of them. Times are of building it, whatever ran beside it.",
    "A way that is better at the tokens of another one. Processor time can be compared within a run of one machine; "
    "time by the clock only where nothing else ran.",
)


def section(results: Results) -> Section | None:
    """A row an arm; none of one arm alone, or of chains of reward models alone."""
    if not results.costs:
        return None
    title = "What each way of supervising costs"
    table = Table("Tokens through models, and time.", COLUMNS, [("", results.costs)], GUIDE, title=title)
    return Section("costs", title, [table], "Costs")


def _processor(seconds: float | None) -> str:
    return "not measured" if seconds is None else duration(seconds)
