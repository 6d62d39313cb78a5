"""Cells of ``coverage.py`` that count verdicts: false "selective", power, and families of students after Holm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.gates import Gates
from w2s_pref.analysis.deception.measures import Options
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.families import LEVEL, holm, moderate
from w2s_pref.organisms.organisms import NOT_SELECTIVE, ORGANISMS, PLACEBO
from w2s_pref.organisms.power import BLIND_SEEDS, DECEIVER_SEEDS, RHOS, TAX_RHO
from w2s_pref.organisms.simulation import QUESTIONS, ROLES, Case, panel_of, simulate
from w2s_pref.organisms.worlds import world
from w2s_pref.results.deception import GATES


@dataclass(frozen=True)
class Verdicts:
    """How often each gate, and all three, call one organism selective."""

    case: Case
    family: str = "verdicts"
    worlds: int = 500

    @property
    def key(self) -> str:
        """The cell in one line."""
        return f"{self.family} {self.case}"

    def run(self, worlds: range) -> dict[str, Any]:
        """Hits of every question, of ``runs``."""
        tally = simulate(self.case, worlds)
        return {name: {"hits": tally.hits[name], "runs": tally.runs} for name in QUESTIONS}

    def about(self) -> dict[str, Any]:
        """Fields of the cell, for the file."""
        return asdict(self)


@dataclass(frozen=True)
class Students:
    """Studies of many students on the same items; some deceive, the others are blind.

    With one seed the placebo is an unrelated weak model, else the other seeds' weak models. Fewer resamples could not
    show a p that stands after Holm: it is at least 1 / (resamples + 1).
    """

    seeds: int
    deceivers: int = 0
    rho: float = 0.0
    students: int = 16
    items: int = 1000
    resamples: int = 1000
    worlds: int = 200
    family: str = "families"

    @property
    def key(self) -> str:
        """The cell in one line."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items() if name != "worlds")

    def about(self) -> dict[str, Any]:
        """Fields of the cell, for the file."""
        return asdict(self)

    def run(self, worlds: range) -> dict[str, Any]:
        """Studies with a blind student called selective, alone and after Holm; share of the deceivers found by both."""
        hits: Counter[str] = Counter()
        for number in worlds:
            gates = self._gates(number)
            alone = [each.code == "selective" for each in gates]
            kept = [q is not None and q <= LEVEL for q in adjusted(gates)]
            for name, found in (("alone", alone), ("Holm", kept)):
                hits[f"a blind student, {name}"] += any(found[self.deceivers :])
                hits[f"deceivers found, {name}"] += sum(found[: self.deceivers])
        runs = {"a blind student": len(worlds), "deceivers found": len(worlds) * self.deceivers}
        names = [name for name in hits if runs[name.partition(",")[0]]]
        return {name: {"hits": hits[name], "runs": runs[name.partition(",")[0]]} for name in names}

    def _gates(self, number: int) -> list[Gates]:
        rng = np.random.default_rng([number, self.seeds, self.deceivers])
        base = world(self.items, self.seeds, rng)
        draw, options = Resampler(base.groups, self.resamples, number), Options(resamples=self.resamples)
        found = []
        for student in range(self.students):
            deceives = student < self.deceivers
            options_ = {"rho": self.rho} if deceives else {}
            made = ORGANISMS["deceiver" if deceives else "blind"].student(base, rng, **options_)
            data = panel_of(base, *made)
            measured = measures.measure(data, ROLES, draw, options)
            placebo = PLACEBO if self.seeds == 1 else None
            evidence = measures.evidence(data, ROLES, measured, options, placebo)
            found.append(evidence.gates(draw, options.bins, measured.stats["lift_smooth"]))
        return found


def adjusted(gates: list[Gates]) -> list[float | None]:
    """Holm's p of a report's students, seed variances shrunk over them, as the studies' family does it."""
    places = [place for place, each in enumerate(gates) if each.p() is not None]
    shrunk = {
        name: moderate([stat for place in places if (stat := gates[place].stats[name]) is not None]) for name in GATES
    }
    raw: list[float | None] = [None] * len(gates)
    for number, place in enumerate(places):
        raw[place] = gates[place].p({name: found[number] for name, found in shrunk.items() if found is not None})
    return holm(raw)


def cells() -> Iterator[Verdicts | Students]:
    """False positives in every world that must not be called selective, power, families."""
    for seeds in (3, 1):
        for name in NOT_SELECTIVE:
            yield Verdicts(Case(name, seeds=seeds))
        for rho in RHOS[1:]:
            yield Verdicts(Case("deceiver", seeds=seeds, rho=rho), "power")
    for effect in BLIND_SEEDS.values():
        yield from (Verdicts(Case(name, effect=effect)) for name in ("blind", "difficulty", "confident"))
    for effect in DECEIVER_SEEDS.values():
        yield from (Verdicts(Case("deceiver", rho=rho, effect=effect), "power") for rho in (TAX_RHO, 0.3))
    for name in ("blind", "difficulty", "confident", "easy"):
        yield Verdicts(Case(name, items=4000))
    for seeds in (1, 3):
        yield Students(seeds)
        yield Students(seeds, deceivers=2, rho=TAX_RHO)
