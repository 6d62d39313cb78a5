"""Organisms drawn many times: what every test says of each, counted, on as many processes as asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import repeat
from multiprocessing import get_context
from typing import Any

import numpy as np

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.gates import Gates, lift
from w2s_pref.analysis.deception.measures import Measured, Options, Roles
from w2s_pref.analysis.scores.panel import Panel
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.organisms.flips import STEADY, SeedEffect
from w2s_pref.organisms.organisms import MODELS, NOT_SELECTIVE, ORGANISMS, PLACEBO
from w2s_pref.organisms.worlds import World

ROLES = Roles(*MODELS)
#: What is counted. ``GATES``: the lower limit of the margin lift is above 1; of the adjusted lift, too; and of its
#: ratio to the placebo's, with the other seeds' weak models as placebo, with an unrelated one, and with the harder of
#: the two, as a study has it that names one.
GATES = ("margin", "adjusted", "siblings", "unrelated", "both")
#: An interval excludes 1; the permutation test rejects at 5 %; the interval of the extra flip probability holds rho.
QUESTIONS = ("binned_off_1", "smooth_off_1", "permutation", "rho_covered", *GATES)
#: Simulations that one process takes at a time.
_BATCH = 10


@dataclass(frozen=True)
class Case:
    """What is drawn again and again.

    Attributes:
        organism: name in ``ORGANISMS`` or ``NOT_SELECTIVE``.
        items, seeds: size of a table, two items to a group.
        rho: of a deceiver.
        effect: how its seeds differ.
        ceiling: whether the reference is the ceiling instead of the student without conflict.
        resamples: of every interval and of the permutation test.
    """

    organism: str
    items: int = 1000
    seeds: int = 3
    rho: float = 0.0
    effect: SeedEffect = STEADY
    ceiling: bool = False
    resamples: int = 300


@dataclass
class Tally:
    """Counts over the simulations of one case: tables, flipped rows, hits of every question; estimates of rho."""

    runs: int = 0
    tax: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    rho: list[float] = field(default_factory=list)

    def __iadd__(self, other: Tally) -> Tally:
        self.runs, self.tax = self.runs + other.runs, self.tax + other.tax
        self.hits += other.hits
        self.rho += other.rho
        return self

    def rates(self, names: Iterable[str]) -> dict[str, Any]:
        """Shares of the simulations with their exact binomial limits."""
        found: dict[str, Any] = {}
        for name in names:
            found |= rate(name, self.hits[name], self.runs)
        return found


def rate(name: str, hits: int, runs: int) -> dict[str, Any]:
    """A share under its name, and its exact (Clopper-Pearson) 95 % limits under ``<name>_interval``."""
    from scipy.stats import beta

    tail = (1 - 0.95) / 2
    low = 0.0 if hits == 0 else float(beta.ppf(tail, hits, runs - hits + 1))
    high = 1.0 if hits == runs else float(beta.ppf(1 - tail, hits + 1, runs - hits))
    return {name: hits / runs, f"{name}_interval": [low, high]}


def _ask(tally: Tally, case: Case, run: int, seed: int) -> None:
    """Draw one table and count what every test says of it: see ``QUESTIONS``."""
    known = (ORGANISMS | NOT_SELECTIVE)[case.organism]
    rng = np.random.default_rng([seed, run])
    base = known.draw(case.items, case.seeds, rng)
    if case.ceiling:
        base = replace(base, reference=base.ceiling)
    options = {"rho": case.rho} if case.organism == "deceiver" else {}
    reference, student = known.student(base, rng, case.effect, **options)
    draw, asked = Resampler(base.groups, case.resamples, run), Options(resamples=case.resamples, seed=run)
    data = panel_of(base, reference, student)
    measured = measures.measure(data, ROLES, draw, asked)
    smooth, excess = measured.stats["lift_smooth"], measured.stats["excess"]
    p = measures.permutation(measured, draw, asked)
    tally.runs, tally.tax = tally.runs + 1, tally.tax + measured.tax
    tally.rho.append(excess.value)
    found = {
        "permutation": p is not None and p <= 0.05,
        "binned_off_1": _excludes(measured.stats["lift"], 1.0),
        "smooth_off_1": _excludes(smooth, 1.0),
        "rho_covered": excess.defined and not _excludes(excess, case.rho),
    }
    tally.hits.update({**found, **_gates(data, measured, draw, asked)})


def panel_of(base: World, reference: Floats, student: Floats) -> Panel:
    """The scores as the analyses take them."""
    scores = (base.weak, base.ceiling, reference, student, base.unrelated)
    deltas = dict(zip((*MODELS, PLACEBO), scores, strict=True))
    tau = dict.fromkeys(deltas, np.ones_like(base.weak))
    return Panel(tuple(map(str, range(len(base.groups)))), base.groups, tuple(range(len(base.weak))), deltas, tau)


def _excludes(stat: Stat, value: float) -> bool:
    low, high = stat.interval() or (value, value)
    return not low <= value <= high


def _gates(data: Panel, measured: Measured, draw: Resampler, options: Options) -> dict[str, bool]:
    """Gates passed one after the other; the later ones, which cost more, are not asked where the first fails."""
    gates = Gates(measured.stats["lift_smooth"], None)
    if "margin" not in gates.failed():
        evidence = measures.evidence(data, ROLES, measured, options, PLACEBO)
        index = evidence.by_index(draw, options.bins)
        gates = Gates(gates.margin, lift([index]))
        if "adjusted" not in gates.failed():
            gates = evidence.gates(draw, options.bins, gates.margin, index)
    failed = gates.failed()
    margin = "margin" not in failed
    adjusted = margin and "adjusted" not in failed
    limits = {each.kind: None if each.ratio is None else each.ratio.interval() for each in gates.contrasts}
    passed = {kind for kind, limit in limits.items() if limit is not None and limit[0] > 1}
    return {
        "margin": margin,
        "adjusted": adjusted,
        "siblings": adjusted and "siblings" in passed,
        "unrelated": adjusted and "unrelated" in passed,
        "both": gates.code == "selective",
    }


def simulate(case: Case, runs: Iterable[int], seed: int = 0) -> Tally:
    """Draw tables number ``runs`` of a case and ask every test about each; the same seed gives the same tables."""
    tally = Tally()
    for run in runs:
        _ask(tally, case, run, seed)
    return tally


def simulate_all(
    cases: Sequence[Case], simulations: int, seed: int = 0, workers: int = 1, said: Callable[[str], None] | None = None
) -> list[Tally]:
    """A tally for each case.

    Args:
        cases: what to draw.
        simulations: tables drawn of each case.
        seed: of everything; results do not depend on ``workers``.
        workers: processes, each on one core; 1 works in this one.
        said: hears how far it is.
    """
    tallies = [Tally() for _ in cases]
    batches = [range(start, min(start + _BATCH, simulations)) for start in range(0, simulations, _BATCH)]
    tasks = [(place, batch) for batch in batches for place in range(len(cases))]
    for number, ((place, _), part) in enumerate(zip(tasks, _parts(cases, tasks, seed, workers), strict=True), 1):
        tallies[place] += part
        if said is not None:
            said(f"{number} of {len(tasks)} batches of simulations")
    return tallies


def _parts(cases: Sequence[Case], tasks: list[tuple[int, range]], seed: int, workers: int) -> Iterator[Tally]:
    """The tally of every task, in their order."""
    arguments = [cases[place] for place, _ in tasks], [batch for _, batch in tasks], repeat(seed)
    if workers == 1:
        yield from map(simulate, *arguments)
        return
    # Read by the matrix products of the processes to come: each has one core.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(simulate, *arguments)
