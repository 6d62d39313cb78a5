"""Each step of each chain: how good the supervisor's labels were, what was kept, and what the next model made of it."""

from __future__ import annotations

from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.results.results import Hop, Results

COLUMNS: Final[tuple[Column[Hop], ...]] = (
    Column("Hop", lambda hop: f"{hop.supervisor} → {hop.student}"),
    Column("Label accuracy", lambda hop: hop.label_accuracy, axis="labels"),
    Column("Label Brier", lambda hop: hop.label_brier, where="page"),
    Column("Kept share", lambda hop: hop.kept_share, short="Kept", bounds=False),
    Column("Accuracy of the kept", lambda hop: hop.kept_accuracy, axis="labels", where="page"),
    Column("Student accuracy", lambda hop: hop.accuracy, axis="student"),
)
GUIDE: Final = Guide(
    "Labels are compared with the ground truth here only; no labeler or filter sees it. Kept: the pairs a "
    "filter left for training. The student of an arm's last hop appears without conflict.",
    "Label accuracy rises from hop to hop; a chain whose labels get worse passes errors on.",
)


def section(results: Results) -> Section | None:
    """One group of hops an arm."""
    groups = [(arm.name, arm.hops) for arm in results.arms if arm.hops]
    if not groups:
        return None
    caption = "Label quality on the training pairs, hop by hop, and the accuracy of the model each hop trains."
    table = Table(caption, COLUMNS, groups, GUIDE, stack=True, title="Hops")
    return Section("hops", "What each hop hands on", [table], "Hops")
