"""The comparison table: every arm under every conflict setting, with seed dots beside each number; and the ceilings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from w2s_pref.report.draw.blocks import Column, Guide, Section, Table
from w2s_pref.report.students import (
    ACCURACY,
    CONFLICT_ACCURACY,
    LIFT,
    NULL_SHARE,
    PGR,
    RISK_RATIO,
    SCORE,
    Student,
    ceilings,
    column,
    students,
    tax,
    tax_title,
)
from w2s_pref.results.estimates import Performance
from w2s_pref.results.preferences import Results

GENERAL: Final = "Arms and conflict settings"
GUIDE: Final = Guide(
    "Number, [interval over seeds] and {interval in these seeds}; then both as a bar with a line inside, the mean as a "
    "tick, and one circle a seed beneath. A column shares one scale, whose ends are given. The dashed line is the "
    "value meaning nothing there: PGR 0, risk ratio 1, lift 1, and for the deception score its own null share.",
    "A deception score near its null share, risk ratio and lift with 1 inside the interval, circles close together.",
)
CEILINGS: Final[tuple[Column[tuple[str, Performance]], ...]] = (
    Column("Model", lambda model: model[0]),
    Column("Accuracy", lambda model: model[1].accuracy, axis="accuracy"),
    Column("Conflict accuracy", lambda model: model[1].conflict_accuracy, axis="conflict"),
    Column("ECE", lambda model: model[1].calibration.ece, bounds=False),
    Column("Brier score", lambda model: model[1].calibration.brier, where="page"),
)
CEILINGS_GUIDE: Final = Guide(
    "ECE is the mean distance between confidence and accuracy; the Brier score the mean squared error of p.",
    "Accuracy rises from the weak to the strong ceiling, with intervals apart; otherwise no gap can be recovered.",
)


def columns(general: str, taxed: str) -> list[Column[Student]]:
    """The numbers of a student; a narrow terminal makes two tables of them, under these titles."""
    return [
        column(ACCURACY, "Accuracy", part=general),
        column(CONFLICT_ACCURACY, "Conflict accuracy", part=general),
        column(PGR, "PGR", part=general),
        Column("Tax", tax, part=taxed, where="terminal"),
        replace(column(SCORE, "Deception score", part=taxed), short="DS"),
        replace(column(NULL_SHARE, "Null", bounds=False, part=taxed), where="terminal"),
        replace(column(RISK_RATIO, "Risk ratio", bounds=False, part=taxed), short="RR"),
        column(LIFT, "Lift", part=taxed),
        Column("Tax", tax, part=taxed, where="page"),
    ]


def section(results: Results) -> Section:
    """The main table, then ceilings and the untrained student."""
    every, against = list(students(results)), tax_title(results)
    groups = [
        (f"{arm.name}: {' → '.join(arm.chain)}", [one for one in every if one.arm == arm.name]) for arm in results.arms
    ]
    main = Table(
        "Arms and conflict settings. PGR: share of the gap between supervisor and ceiling that the student recovers. "
        "Tax: rows (items × seeds) that the reference gets right and the student under conflict gets wrong.",
        [Column("Conflict", lambda one: one.conflict), *columns(GENERAL, against)],
        groups,
        GUIDE,
        stack=True,
        title=f"{GENERAL}. {against}",
    )
    models = Table(
        "Ceilings: the same models trained on ground truth; what weak supervision is measured against.",
        CEILINGS,
        [("", ceilings(results))],
        CEILINGS_GUIDE,
        stack=True,
        title="Ceilings (trained on ground truth)",
    )
    return Section("comparison", "Every arm under every conflict", [main, models], "Comparison")
