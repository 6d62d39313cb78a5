"""Organisms drawn many times: what every test says of each, counted, on as many processes as asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from typing import Any

import numpy as np

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.measures import Measured, Options
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.organisms.flips import STEADY, SeedEffect
from w2s_pref.organisms.organisms import NOT_SELECTIVE, ORGANISMS

RESAMPLES = 300
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
    """

    organism: str
    items: int = 1000
    seeds: int = 3
    rho: float = 0.0
    effect: SeedEffect = STEADY
    ceiling: bool = False


@dataclass
class Tally:
    """Counts over the simulations of one case: how many tables, flipped rows, hits of every question, estimates of rho."""

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
