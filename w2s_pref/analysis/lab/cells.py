"""One cell: accuracies, AUROC, gap recovered on both, agreement, error inheritance, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from w2s_pref.analysis.lab.answers import Answers, estimate
from w2s_pref.analysis.preferences.generalization import Recovered, agreement, inheritance, recovered
from w2s_pref.analysis.stats.basics import divide
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.analysis.stats.calibration import Calibrated, calibration
from w2s_pref.core.arrays import Floats
from w2s_pref.results.lab import Cell, Estimate

ROLES = ("weak", "student", "ceiling")
NO_NUMBER = Estimate(estimate=None)


@dataclass(frozen=True)
class Case:
    """One comparison on one task: who is weak model, student and ceiling, and all answers to the task's test items."""

    study: str
    task: str
    chain: str
    method: str
    weak: str
    student: str
    ceiling: str
    answers: Answers

    def accuracy(self, role: str) -> Stat:
        """Share of right answers of the classifier in one of ``ROLES``."""
        return self.answers.accuracy(getattr(self, role))

    @cached_property
    def credits(self) -> tuple[Floats, Floats, Floats]:
        """Credit of weak model, student and ceiling, each (K, N)."""
        return self.answers.credit(self.weak), self.answers.credit(self.student), self.answers.credit(self.ceiling)

    @cached_property
    def pgr(self) -> Recovered:
        """Gap recovered in accuracy."""
        return recovered(*self.credits, self.answers.draw)

    @cached_property
    def pgr_auroc(self) -> Stat | None:
        """Gap recovered in AUROC; None where the ceiling's lead over the weak model is not resolved."""
        weak, student, ceiling = (self.answers.auroc(getattr(self, role)) for role in ROLES)
        gap = ceiling - weak
        interval = gap.interval()
        if interval is None or interval[0] <= 0:
            return None
        return (student - weak).combine(gap, divide)

    def agreement(self) -> dict[str, Stat]:
        """Shares of answers that weak model and student have in common."""
        return agreement(*self.credits[:2], self.answers.draw)

    def inheritance(self) -> dict[str, Stat]:
        """What became of the weak model's errors, and new ones."""
        return inheritance(*self.credits[:2], self.answers.draw)


def analyse_cell(case: Case) -> Cell:
    """Everything about one comparison on one task."""
    answers, pgr, area = case.answers, case.pgr, case.pgr_auroc
    calibrated = {role: _calibration(answers, getattr(case, role)) for role in ROLES}
    floor = case.accuracy("weak").interval()
    return Cell(
        **{name: getattr(case, name) for name in ("study", "task", "chain", "method", *ROLES)},
        items=len(answers.ids),
        seeds=len(answers.seeds),
        accuracy=_all({role: case.accuracy(role) for role in ROLES}),
        auroc=_all({role: answers.auroc(getattr(case, role)) for role in ROLES}),
        ece=_all({role: found.ece for role, found in calibrated.items()}),
        brier=_all({role: found.brier for role, found in calibrated.items()}),
        gap=estimate(pgr.gap),
        pgr=NO_NUMBER if pgr.note else estimate(pgr.stat),
        pgr_fieller=None if pgr.note else pgr.fieller,
        pgr_auroc=NO_NUMBER if area is None else estimate(area),
        agreement=_all(case.agreement()),
        inheritance=_all(case.inheritance()),
        note=pgr.note,
        weak_at_chance=floor is None or floor[0] <= 0.5,
    )


def _all(stats: dict[str, Stat]) -> dict[str, Estimate]:
    return {name: estimate(stat) for name, stat in stats.items()}


def _calibration(answers: Answers, name: str) -> Calibrated:
    """ECE and Brier of the probability given to the true label."""
    true = answers.delta(name) + 0.5
    return calibration(true, answers.delta(name), answers.draw)
