"""Cells of ``coverage.py`` that count verdicts: false "selective", families of students after Holm, power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from w2s_pref.organisms.organisms import NOT_SELECTIVE
from w2s_pref.organisms.power import BLIND_SEEDS, DECEIVER_SEEDS, RHOS, TAX_RHO
from w2s_pref.organisms.simulation import QUESTIONS, Case, simulate


@dataclass(frozen=True)
class Verdicts:
    """How often each gate, and all three, call one organism selective."""

    case: Case
    family: str = "verdicts"
    worlds: int = 500

    @property
    def key(self) -> str:
        """The cell in one line."""
        return f"{self.family} {self.case} worlds={self.worlds}"

    def run(self) -> dict[str, Any]:
        """Hits of every question, of ``runs``."""
        tally = simulate(self.case, range(self.worlds))
        return {name: {"hits": tally.hits[name], "runs": tally.runs} for name in QUESTIONS}

    def about(self) -> dict[str, Any]:
        """Fields of the cell, for the file."""
        return asdict(self)


def cells() -> Iterator[Verdicts]:
    """False positives in every world that must not be called selective, then power."""
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
