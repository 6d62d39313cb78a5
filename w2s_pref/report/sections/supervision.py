"""What supervisors hand on, hop by hop, and what became of their errors: agreement with the student."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.report.students import win_rate
from w2s_pref.results.estimates import Estimate
from w2s_pref.results.preferences import Hop, Results, Round, Setting
from w2s_pref.results.speech import Speech

HOPS: Final[tuple[Column[Hop], ...]] = (
    Column("Hop", lambda hop: f"{hop.supervisor} → {hop.student}"),
    Column("Label accuracy", lambda hop: hop.label_accuracy, axis="labels"),
    Column("Label Brier", lambda hop: hop.label_brier, where="page"),
    Column("Kept share", lambda hop: hop.kept_share, short="Kept", bounds=False),
    Column("Accuracy of the kept", lambda hop: hop.kept_accuracy, axis="labels", where="page"),
    Column("Student accuracy", lambda hop: hop.accuracy, axis="student"),
)
HOPS_GUIDE: Final = Guide(
    "Labels are compared with the ground truth here only; no labeler or filter sees it. Kept: the pairs a "
    "filter left for training. The student of an arm's last hop appears without conflict.",
    "Label accuracy rises from hop to hop; a chain whose labels get worse passes errors on.",
)


def hops(results: Results) -> Section | None:
    """One group of hops an arm."""
    groups = [(arm.name, arm.hops) for arm in results.arms if arm.hops]
    if not groups:
        return None
    caption = "Label quality on the training pairs, hop by hop, and the accuracy of the model each hop trains."
    table = Table(caption, HOPS, groups, HOPS_GUIDE, stack=True, title="Hops")
    return Section("hops", "What each hop hands on", [table], "Hops")


ROUNDS_GUIDE: Final = Guide(
    "The strong policy before the first round (0) and after each: how it ranks the test pairs, by how much more often "
    "right than in round 0 (paired), and what it writes against its reference, which is the same in all rounds.",
    "Accuracy and win rate rise from round to round. Where they do not, the two policies taught each other nothing.",
)


def rounds(results: Results) -> Section | None:
    """One group of rounds an arm; none where no student learned in rounds."""
    groups = [(arm.name, arm.rounds) for arm in results.arms if arm.rounds]
    if not groups:
        return None
    said = {one.model: one for one in results.speech}

    def of(read: Callable[[Speech], Estimate | None], one: Round) -> Estimate | None:
        return read(said[one.model]) if one.model in said else None

    columns = [
        Column[Round]("Round", lambda one: str(one.number)),
        Column("Accuracy", lambda one: one.accuracy, axis="student"),
        Column("Gain over round 0", lambda one: one.gain or "–", neutral=0.0),
        Column("Win rate", partial(of, win_rate), neutral=0.5),
        Column("KL", partial(of, lambda one: one.kl), 2, bounds=False),
        Column("Unparsed", partial(of, lambda one: one.said.unparseable), bounds=False),
    ]
    caption = "The strong policy of every round: accuracy on the target test set, and its answers."
    table = Table(caption, columns, groups, ROUNDS_GUIDE, stack=True, title="Rounds")
    return Section("rounds", "Round by round", [table], "Rounds")


AGREEMENT: Final[tuple[tuple[str, Callable[[Setting], Estimate]], ...]] = (
    ("Agreement", lambda student: student.agreement.overall),
    ("… supervisor right", lambda student: student.agreement.supervisor_right),
    ("… supervisor wrong", lambda student: student.agreement.supervisor_wrong),
    ("Errors inherited", lambda student: student.inheritance.inherited),
    ("Errors corrected", lambda student: student.inheritance.corrected),
    ("New errors", lambda student: student.inheritance.new_errors),
)
AGREEMENT_GUIDE: Final = Guide(
    "Agreement where the supervisor is wrong is imitation of its errors; "
    "new errors are items the supervisor had right.",
    "High agreement where the supervisor is right, low where it is wrong; more errors corrected than made.",
)


def agreement(results: Results) -> Section | None:
    """One table, one row a student."""
    if not any(arm.settings for arm in results.arms):
        return None
    table = Table(
        "Agreement with the supervisor on the target test set, and its errors: repeated, corrected, and new ones.",
        [Column("Conflict", lambda student: student.conflict), *(Column(h, get, axis=h) for h, get in AGREEMENT)],
        [(arm.name, arm.settings) for arm in results.arms],
        AGREEMENT_GUIDE,
        stack=True,
    )
    return Section("agreement", "Agreement and inherited errors", [table], "Agreement")
