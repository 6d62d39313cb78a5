"""One cell: accuracies, AUROC, gap recovered on both, agreement, error inheritance, calibration."""

from __future__ import annotations

from typing import Any

from w2s_pref.analysis.lab.answers import Answers, estimate
from w2s_pref.analysis.preferences.generalization import agreement, inheritance, recovered
from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.analysis.stats.calibration import Calibrated, calibration
from w2s_pref.results.lab import Cell, Estimate

ROLES = ("weak", "student", "ceiling")


def analyse_cell(answers: Answers, entry: dict[str, Any]) -> Cell:
    """Everything about one comparison on one task.

    Args:
        answers: of the task's test items.
        entry: ``study, task, chain, method`` and the names of ``weak``, ``student`` and ``ceiling``.
    """
    credits = {role: answers.credit(entry[role]) for role in ROLES}
    accuracy = {role: answers.accuracy(entry[role]) for role in ROLES}
    auroc = {role: answers.auroc(entry[role]) for role in ROLES}
    pgr = recovered(credits["weak"], credits["student"], credits["ceiling"], answers.draw)
    same = agreement(credits["weak"], credits["student"], answers.draw)
    errors = inheritance(credits["weak"], credits["student"], answers.draw)
    calibrated = {role: _calibration(answers, entry[role]) for role in ROLES}
    floor, area = accuracy["weak"].interval(), area_gap(auroc)
    return Cell(
        **{name: entry[name] for name in ("study", "task", "chain", "method", *ROLES)},
        items=len(answers.ids),
        seeds=len(answers.seeds),
        accuracy=_all(accuracy),
        auroc=_all(auroc),
        ece=_all({role: found.ece for role, found in calibrated.items()}),
        brier=_all({role: found.brier for role, found in calibrated.items()}),
        gap=estimate(pgr.gap),
        pgr=Estimate(estimate=None) if pgr.note else estimate(pgr.stat),
        pgr_fieller=None if pgr.note else pgr.fieller,
        pgr_auroc=Estimate(estimate=None) if area is None else estimate(area),
        agreement=_all(same),
        inheritance=_all(errors),
        note=pgr.note,
        weak_at_chance=floor is None or floor[0] <= 0.5,
    )


def area_gap(auroc: dict[str, Stat]) -> Stat | None:
    """PGR on AUROC; None where the ceiling's lead over the weak model is not resolved."""
    gap = auroc["ceiling"] - auroc["weak"]
    interval = gap.interval()
    if interval is None or interval[0] <= 0:
        return None
    return (auroc["student"] - auroc["weak"]).combine(gap, divide)


def _all(stats: dict[str, Stat]) -> dict[str, Estimate]:
    return {name: estimate(stat) for name, stat in stats.items()}


def _calibration(answers: Answers, name: str) -> Calibrated:
    """ECE and Brier of the probability given to the true label."""
    true = answers.delta(name) + 0.5
    return calibration(true, answers.delta(name), answers.draw)
