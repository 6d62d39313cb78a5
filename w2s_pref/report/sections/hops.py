"""Each step of each chain: how good the supervisor's labels were, what was kept, and what the next model made of it."""

from __future__ import annotations

from w2s_pref.report.draw.blocks import Cell, Guide, Section, Table, TableGroup
from w2s_pref.report.draw.format import plain
from w2s_pref.report.draw.plot import Range, estimate_cell
from w2s_pref.report.sections.comparison import ends, spread
from w2s_pref.results.preferences import Hop, Results


def section(results: Results) -> Section | None:
    """One group of hops an arm."""
    hops = [hop for arm in results.arms for hop in arm.hops]
    if not hops:
        return None
    labels = spread(value for hop in hops for value in (hop.label_accuracy, hop.kept_accuracy))
    students = spread(hop.accuracy for hop in hops)
    groups = [
        TableGroup(plain(arm.name), [_row(hop, labels, students) for hop in arm.hops])
        for arm in results.arms
        if arm.hops
    ]
    table = Table(
        "Label quality on the training pairs, hop by hop, and the accuracy of the model each hop trains.",
        ("Hop", "Label accuracy", "Label Brier", "Kept share", "Accuracy of the kept", "Student accuracy"),
        groups,
        Guide(
            "Labels are compared with the ground truth here only; no labeler or filter sees it. Kept: the pairs a "
            "filter left for training. The student of an arm's last hop appears without conflict.",
            "Label accuracy rises from hop to hop; a chain whose labels get worse passes errors on.",
        ),
        stack=True,
        subhead=("dots from … to", ends(labels, 3), "", "", ends(labels, 3), ends(students, 3)),
    )
    return Section("hops", "What each hop hands on", [table], "Hops")


def _row(hop: Hop, labels: Range | None, students: Range | None) -> list[Cell]:
    name = f"{plain(hop.supervisor)} → {plain(hop.student)}"
    return [
        name,
        estimate_cell(hop.label_accuracy, 3, scale=labels, name=f"Label accuracy, {name}"),
        estimate_cell(hop.label_brier, 3),
        estimate_cell(hop.kept_share, 3),
        estimate_cell(hop.kept_accuracy, 3, scale=labels, name=f"Accuracy of kept labels, {name}"),
        estimate_cell(hop.accuracy, 3, scale=students, name=f"Student accuracy, {name}"),
    ]
