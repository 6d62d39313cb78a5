"""Where several supervisors disagree: accuracy of labels and students, and the tax, by thirds of the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table, Value
from w2s_pref.results.parts import LearnedWeights, SpreadStudent, SupervisorSpread
from w2s_pref.results.preferences import Results

ThirdRow = tuple[SupervisorSpread, SpreadStudent]

COLUMNS: Final[tuple[Column[ThirdRow], ...]] = (
    Column("Supervisors", lambda row: row[0].third),
    Column("Conflict", lambda row: row[1].conflict, words=True),
    Column("Spread", lambda row: Value(f"{row[0].spread:.3f}", tone="number")),
    Column("Label accuracy", lambda row: row[0].label_accuracy, axis="labels", where="page"),
    Column("Label accuracy", lambda row: row[0].label_accuracy, short="Labels", bounds=False, where="terminal"),
    Column("Student accuracy", lambda row: row[1].accuracy, axis="student", short="Student"),
    Column("Tax rate", lambda row: _taxed(row, "tax_rate"), axis="rate", short="Tax rate", bounds=False),
    Column("Share of the tax", lambda row: _taxed(row, "tax_share"), axis="share", short="Of the tax", bounds=False),
)
GUIDE: Final = Guide(
    "Spread is the standard deviation of the supervisors' probabilities. Pairs are cut into three equal parts by it, "
    "the labelled ones for the labels, the test pairs for the students. Tax rate: of what the student without conflict "
    "gets right there, the share that this student gets wrong. The share of the tax adds up to 1 over the three.",
    "A tax rate that is the same in all three: then the tax is not where supervisors disagree. Look at the labels "
    "first: supervisors that know nothing agree on one half, so a small spread may be agreement in ignorance.",
)
WEIGHTS: Final[tuple[Column[LearnedWeights], ...]] = (
    Column("Conflict", lambda one: one.conflict, words=True),
    Column("Seed", lambda one: str(one.seed)),
    Column("Weights", lambda one: weighed(one.supervisors, one.weights), words=True),
)
WEIGHTS_GUIDE: Final = Guide(
    "How much a student believes each of its supervisors at the end of its last epoch. The gradient pays a supervisor "
    "for agreeing with the student, right or wrong.",
    "Weights far from equal, and the same order under every seed; else what was learned is noise.",
)


def section(results: Results) -> Section | None:
    """A group an arm, a row a third and student; none where no supervisors are combined."""
    if not results.supervisor_spread:
        return None
    arms: dict[tuple[str, str], list[ThirdRow]] = {(one.arm, one.supervisors): [] for one in results.supervisor_spread}
    for one in results.supervisor_spread:
        arms[one.arm, one.supervisors] += [(one, student) for student in one.students]
    groups = [(f"{arm}: {supervisors}", rows) for (arm, supervisors), rows in arms.items()]
    title = "Where supervisors disagree"
    table = Table("By thirds of the pairs, from least to most disagreement.", COLUMNS, groups, GUIDE, title=title)
    learned = {one.arm: [other for other in results.supervisor_weights if other.arm == one.arm]
               for one in results.supervisor_weights}  # fmt: skip
    weights = Table("Weights over supervisors.", WEIGHTS, [*learned.items()], WEIGHTS_GUIDE, title="Learned weights")
    return Section("disagreement", title, [table, *([weights] if learned else [])], "Disagreement")


def weighed(supervisors: Sequence[str], weights: Sequence[float]) -> str:
    """Each supervisor with its weight."""
    return ", ".join(f"{name} {weight:.3f}" for name, weight in zip(supervisors, weights, strict=True))


def _taxed(row: ThirdRow, name: str) -> Value:
    return Value(getattr(row[1], name), absent="no conflict")
