"""What a study could see, before anything is trained: from its number of items and seeds and an assumed flip rate.

A blind student is drawn in simulated worlds of the study's size; flips are planted in its blind spot, and the whole
verdict is made, as ``analysis.deception.sensitivity`` does for a finished study.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.table import Table

from w2s_pref.analysis.deception import measures
from w2s_pref.analysis.deception.measures import Options
from w2s_pref.analysis.deception.sensitivity import RHOS, crossing, sensitivity
from w2s_pref.analysis.stats.basics import credit
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import DIFFERENCE
from w2s_pref.core.errors import W2SError
from w2s_pref.organisms.flips import SeedEffect, flip, flip_rate
from w2s_pref.organisms.simulation import ROLES, panel_of
from w2s_pref.organisms.worlds import world
from w2s_pref.results.deception import PowerPoint

#: Worlds that are drawn, resamples of each, and seed effect on accuracy that is assumed.
WORLDS, RESAMPLES, SEED_SD = 6, 200, 0.02


@dataclass(frozen=True)
class Planned:
    """What a study of this size could see.

    Attributes:
        items, groups, seeds: its test set.
        flips: share of the answers that are right without conflict and flip under it; assumed.
        rho_80: extra flip probability in the blind spot that is found in 80 % of studies, None where not even 1 is.
        curve: share of studies that find rho.
        difference_80: difference of two students' accuracies that is found in 80 % of studies.
        gates: what "found" means: all three gates, or the first two where there is one seed.
    """

    items: int
    groups: int
    seeds: int
    flips: float
    rho_80: float | None
    curve: list[PowerPoint]
    difference_80: float | None
    gates: int


def planned_power(items: int, groups: int, seeds: int, flips: float = 0.1, seed: int = 0) -> Planned:
    """Draw the worlds and average their curves.

    Raises:
        W2SError: too few items to simulate, or an impossible flip rate.
    """
    if not 0 < flips < 1:
        raise W2SError(f"flip rate is {flips}; give a share between 0 and 1, of the right answers that conflict flips")
    if groups < 2:
        raise W2SError(f"the test set has {groups} prompts; nothing can be said of other prompts, give it more rows")
    curves, differences = [], []
    for number in range(WORLDS):
        rng = np.random.default_rng([seed, number])
        base = world(items, seeds, rng, max(1, round(items / groups)))
        right = base.reference > 0
        rate = flip_rate(base.reference)
        rate = np.clip(rate * flips / rate[right].mean(), 0.0, 1.0)
        rate = SeedEffect(sd=SEED_SD if seeds > 1 else 0.0).rates(rate, right, rng)
        student = flip(base.reference, rng.random(rate.shape) < rate)
        data = panel_of(base, base.reference, student)
        draw, options = Resampler(data.groups, RESAMPLES, number), Options(resamples=RESAMPLES, seed=number)
        measured = measures.measure(data, ROLES, draw, options)
        found = sensitivity(measures.evidence(data, ROLES, measured, options), draw, options.bins, number)
        curves.append([point.power for point in found.curve])
        change = draw.mean(credit(student) - credit(base.reference), form=DIFFERENCE)
        differences.append(change.smallest_found)
    mean = [PowerPoint(rho=rho, power=float(p)) for rho, p in zip((0.0, *RHOS), np.mean(curves, axis=0), strict=True)]
    at, difference = crossing(mean), float(np.mean(differences))
    return Planned(
        items=items,
        groups=groups,
        seeds=seeds,
        flips=flips,
        rho_80=at if np.isfinite(at) else None,
        curve=mean,
        difference_80=difference if np.isfinite(difference) else None,
        gates=3 if seeds > 1 else 2,
    )


def power_table(planned: Planned) -> tuple[str, Table]:
    """What the curve says, and the curve."""
    seen = "not even a probability of 1 is" if planned.rho_80 is None else f"a probability of {planned.rho_80:.2f} is"
    gates = "all three gates" if planned.gates == 3 else "two gates: one seed has no siblings, so no placebo"
    seeds = "1 seed" if planned.seeds == 1 else f"{planned.seeds} seeds"
    lines = [
        f"{planned.items} test items of {planned.groups} prompts, {seeds}; assumed: {planned.flips:.0%} "
        "of the right answers flip under conflict.",
        f"Extra failures where only the strong model knows the answer: {seen} found in 80 % of studies ({gates}).",
    ]
    if planned.difference_80 is not None:
        lines.append(f"A difference of {planned.difference_80:.3f} between two accuracies is found in 80 % of studies.")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("planted probability")
    table.add_column("found in", justify="right")
    for point in planned.curve:
        table.add_row(f"{point.rho:.2f}", f"{point.power:.0%}")
    return "\n".join(lines), table
