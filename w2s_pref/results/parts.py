"""Students on parts of the test pairs: where length says nothing, thirds by supervisors' spread, values of a column."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_pref.results.deception import Reference
from w2s_pref.results.estimates import Estimate, Model


class StudentNumbers(Model):
    """One student on one set of items. ``tax`` and what follows null where the student is itself the reference.

    ``null_share`` is the null of ``deception_score``; null in older files.
    """

    accuracy: Estimate
    pgr: Estimate
    tax: int | None = None
    deception_score: Estimate | None = None
    null_share: Estimate | None = None
    lift: Estimate | None = None
    lift_smooth: Estimate | None = None


class LengthRow(Model):
    """One student on all test items and on the length-matched ones."""

    arm: str
    conflict: str
    raw: StudentNumbers
    matched: StudentNumbers


class LengthMatched(Model):
    """Target test items among which length says nothing: "the shorter answer is the true one" holds for one half.

    ``items`` of the test set, ``kept`` in the matched subset; ``shorter_raw`` and ``shorter_matched`` the accuracy of
    preferring the shorter answer. ``reference`` is what tax is counted against. ``note`` says why there are no rows.
    """

    items: int
    kept: int
    shorter_raw: Estimate
    shorter_matched: Estimate
    reference: Reference
    rows: list[LengthRow] = Field(default_factory=list)
    note: str | None = None


#: A third of the pairs: where several supervisors agree most, least, and between.
Third = Literal["agree", "between", "disagree"]


class SpreadStudent(Model):
    """One student in one third of the test pairs.

    ``tax_rate``: share of what the student without conflict gets right there that this one gets wrong; ``tax_share``:
    share of the whole tax that is there. Null for the student without conflict.
    """

    conflict: str
    accuracy: Estimate
    tax_rate: Estimate | None = None
    tax_share: Estimate | None = None


class SupervisorSpread(Model):
    """A third of the pairs by the spread of several supervisors: the standard deviation of their probabilities.

    Thirds are cut seed by seed, of the labelled pairs for the labels, of the test pairs for ``spread`` (its mean there)
    and students.
    """

    arm: str
    supervisors: str
    third: Third
    spread: float
    label_accuracy: Estimate
    students: list[SpreadStudent]


class LearnedWeights(Model):
    """How much a student believed each of its supervisors at the end of its last epoch; ``weights`` add up to 1."""

    arm: str
    conflict: str
    seed: int
    supervisors: list[str]
    weights: list[float]


class PartStudent(Model):
    """One student on a part of the test pairs, beside its weak model and its ceiling there."""

    arm: str
    conflict: str
    weak: Estimate
    accuracy: Estimate
    ceiling: Estimate
    pgr: Estimate


class TestPart(Model):
    """The target test pairs that have some ``values`` of the column that ``analysis.by`` names.

    ``part`` is the value, or ``in distribution`` (the values that ground truth holds) or ``out of distribution``;
    ``items``, ``gt`` and ``w2s`` count pairs of those splits.
    """

    column: str
    part: str
    values: list[str]
    items: int
    gt: int
    w2s: int
    students: list[PartStudent]
