"""Cells of ``coverage.py``: worlds whose truth is known, and which intervals hold it.

A cell is a family of statistics, a number of seeds, a seed effect, a size and how alike answers to one prompt are. Each
world of a cell draws prompts and seeds anew; the truth is that of all prompts and all seeds, and with one seed that of
this seed, since an interval from one seed speaks of no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from w2s_pref.analysis.deception.measures import Options, measure_deltas
from w2s_pref.analysis.lab.cells import Answers
from w2s_pref.analysis.preferences.compare import least_squares, slope_stat
from w2s_pref.analysis.preferences.generalization_measures import agreement, recovered
from w2s_pref.analysis.risk.blind_spot import blind_stats
from w2s_pref.analysis.risk.moments import moment_stats
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.organisms.flips import SeedEffect
from w2s_pref.organisms.organisms import ORGANISMS
from w2s_pref.organisms.worlds import World, world

RESAMPLES = 300
#: Of weak model, student, a second student and ceiling.
ACCURACIES = (0.65, 0.74, 0.77, 0.86)
BROKEN = 0.05
#: Share of an answer's latent score that all seeds have in common, and of that, what all models have in common.
ITEM, MODELS = 0.6, 0.7
#: The truth of refitted statistics: the mean of so many large worlds.
TRUTHS, TRUTH_ITEMS, TRUTH_SEEDS = 24, 4000, 50


@dataclass(frozen=True)
class Cell:
    """What is simulated.

    Attributes:
        family: key of ``FAMILIES``.
        seeds: K.
        sd: of the seed effect, on accuracy.
        items: N, in groups of 1 to 6 (accuracies) or of 2.
        icc: correlation of two answers to one prompt on the latent scale.
        rho: spread of log rho over seeds.
        skewed: in the family ``risks``, whether the seed effect moves flips alone, whose share it can double and not
            make negative, instead of all scores.
        collapse: share of the student's seeds that are right on ``BROKEN`` of the items.
        worlds: simulated.
    """

    family: str
    seeds: int
    sd: float = 0.0
    items: int = 1000
    icc: float = 0.2
    rho: float = 0.0
    skewed: bool = False
    collapse: float = 0.0
    worlds: int = 500

    @property
    def key(self) -> str:
        """The cell in one line: what is not as usual, so that a field more changes no other cell."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "worlds"}
        usual = {each.name: each.default for each in fields(self)}
        return " ".join(f"{name}={value}" for name, value in own.items() if value != usual[name])

    def run(self, worlds: range) -> dict[str, Any]:
        """How often the intervals of these worlds of the cell hold the truth."""
        return cover(self, worlds)

    def about(self) -> dict[str, Any]:
        """Fields of the cell, for the file."""
        return asdict(self)


#: Statistic -> itself (None where the toolkit withholds it) with its truth, in one world.
Found = dict[str, tuple[Stat | None, float]]


def cover(cell: Cell, worlds: range) -> dict[str, Any]:
    """Every statistic of a cell: worlds with an interval, those that hold the truth, misses on either side."""
    rows: dict[str, list[tuple[bool, bool, bool]]] = {}
    for number in worlds:
        rng = np.random.default_rng([number, *np.frombuffer(cell.key.encode(), dtype=np.uint8)])
        for name, (stat, truth) in FAMILIES[cell.family](cell, rng, number).items():
            low, high = (stat and stat.interval()) or (np.nan, np.nan)
            rows.setdefault(name, []).append((low == low, low > truth, high < truth))
    found = {}
    for name, values in rows.items():
        defined, above, below = (np.array(x) for x in zip(*values, strict=True))
        found[name] = {
            "defined": int(defined.sum()),
            "covered": int((defined & ~above & ~below).sum()),
            "above": int(above.sum()),
            "below": int(below.sum()),
        }
    return found


def clusters(items: int, rng: np.random.Generator) -> Ints:
    """(N,) groups of 1 to 6 items."""
    sizes = rng.integers(1, 7, size=items)
    return np.repeat(np.arange(items), sizes)[:items].astype(np.int64)


def seed_levels(mean: Floats, sd: float, rng: np.random.Generator) -> Floats:
    """Accuracies of seeds from a Beta law of these means and this standard deviation, both exact."""
    if not sd:
        return mean
    size = mean * (1 - mean) / sd**2 - 1
    return rng.beta(mean * size, (1 - mean) * size)


def credits(cell: Cell, groups: Ints, models: tuple[float, ...], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Right or wrong (M, K, N), and the accuracy of every model and seed (M, K)."""
    level = seed_levels(np.repeat(np.array(models)[:, None], cell.seeds, axis=1), cell.sd, rng)
    shared, own = np.sqrt(MODELS), np.sqrt(1 - MODELS)
    prompts, counts = rng.normal(size=(len(models) + 1, int(groups.max()) + 1)), (len(models) + 1, len(groups))
    singles = rng.normal(size=counts)
    item = max(ITEM - cell.icc, 0.0)
    common = np.sqrt(cell.icc) * (shared * prompts[0] + own * prompts[1:])[:, groups]
    common += np.sqrt(item) * (shared * singles[0] + own * singles[1:])
    noise = rng.normal(size=(len(models), cell.seeds, len(groups)))
    latent = common[:, None, :] + np.sqrt(1 - cell.icc - item) * noise
    return (latent < ndtri(level)[:, :, None]).astype(np.float64), level


def accuracies(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """Accuracy, a paired difference and PGR; their truth is exact."""
    groups = clusters(cell.items, rng)
    (weak, one, two, ceiling), level = credits(cell, groups, ACCURACIES, rng)
    draw = Resampler(groups, RESAMPLES, number)
    at = level[:, 0] if cell.seeds == 1 else np.array(ACCURACIES)
    pgr, share = recovered(weak, two, ceiling, draw), (at[2] - at[0]) / (at[3] - at[0])
    return {
        "accuracy": (draw.mean(two), at[2]),
        "difference": (draw.mean(two) - draw.mean(one), at[2] - at[1]),
        "PGR": (pgr.stat, share),
        "PGR where reported": (None if pgr.note else pgr.stat, share),
    }


def collapses(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """Accuracy where a share of the seeds breaks: with few seeds there may be none among them to be seen."""
    groups = clusters(cell.items, rng)
    (student,), _ = credits(cell, groups, ACCURACIES[1:2], rng)
    (broken,), _ = credits(cell, groups, (BROKEN,), rng)
    struck = rng.random((cell.seeds, 1)) < cell.collapse
    draw = Resampler(groups, RESAMPLES, number)
    truth = cell.collapse * BROKEN + (1 - cell.collapse) * ACCURACIES[1]
    return {"accuracy": (draw.mean(np.where(struck, broken, student)), truth)}


def shares(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """Agreement of student and weak model, overall and where it is wrong: ratios of sums, truth from large worlds."""
    groups = clusters(cell.items, rng)
    (weak, student), _ = credits(cell, groups, ACCURACIES[:2], rng)
    return _against(
        agreement(weak, student, Resampler(groups, RESAMPLES, number)),
        _truth("shares", cell.sd, cell.icc, 0.0, False),
    )


def slopes(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """PGR of four students against their gap, one ceiling and four weak models."""
    groups = clusters(cell.items, rng)
    weak, students = np.array([0.55, 0.60, 0.65, 0.70]), np.array([0.66, 0.70, 0.74, 0.79])
    made, level = credits(cell, groups, (*weak, *students, 0.9), rng)
    draw = Resampler(groups, RESAMPLES, number)
    found = [recovered(made[i], made[4 + i], made[8], draw) for i in range(4)]
    w, s, c = (weak, students, 0.9) if cell.seeds > 1 else (level[:4, 0], level[4:8, 0], level[8, 0])
    truth = float(least_squares(c - w, (s - w) / (c - w)))
    return {"slope of PGR": (slope_stat([f.gap for f in found], [f.stat for f in found]), truth)}


def areas(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """AUROC of a classifier whose seeds differ in how far apart the classes are."""
    groups = clusters(cell.items, rng)
    truth = rng.integers(0, 2, size=cell.items)
    level = seed_levels(np.full(cell.seeds, 0.8), cell.sd, rng)
    far = ndtri(level)[:, None] * np.sqrt(2.0)
    parts = np.sqrt(cell.icc), np.sqrt(0.6 - cell.icc), np.sqrt(0.4)
    latent = parts[0] * rng.normal(size=int(groups.max()) + 1)[groups] + parts[1] * rng.normal(size=cell.items)
    p = sigmoid(far * (truth - 0.5) + latent + parts[2] * rng.normal(size=(cell.seeds, cell.items)))
    ids = [f"{i:05d}" for i in range(cell.items)]
    columns = {"id": ids, "group": groups, "truth": truth, "name": "model"}
    table = pd.concat([pd.DataFrame({**columns, "seed": k, "p": row}) for k, row in enumerate(p)])
    return {"AUROC": (Answers(table, RESAMPLES, number).auroc("model"), level[0] if cell.seeds == 1 else 0.8)}


def deception(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """DS, null share, risk ratio, lifts and rho of a deceiver; with one seed there is no seed effect to speak of."""
    return _against(
        _deception(cell, cell.items, rng, RESAMPLES, number), _truth("deception", cell.sd, 0.0, cell.rho, False)
    )


def _deception(cell: Cell, items: int, rng: np.random.Generator, resamples: int, number: int) -> dict[str, Stat]:
    base = world(items, cell.seeds, rng)
    draw = Resampler(base.groups, resamples, number)
    reference, student = _student(cell, base, rng)
    p = sigmoid(base.ceiling), sigmoid(base.weak)
    stats = measure_deltas(*p, reference, student, draw, Options(resamples=resamples)).stats
    return {name: stats[name] for name in ("score", "null_share", "risk_ratio", "lift", "lift_smooth", "excess")}


def risks(cell: Cell, rng: np.random.Generator, number: int) -> Found:
    """Blind-spot deception and moments of a deceiver and its weak model."""
    return _against(
        _risks(cell, cell.items, rng, RESAMPLES, number), _truth("risks", cell.sd, 0.0, cell.rho, cell.skewed)
    )


def _risks(cell: Cell, items: int, rng: np.random.Generator, resamples: int, number: int) -> dict[str, Stat]:
    base = world(items, cell.seeds, rng)
    draw = Resampler(base.groups, resamples, number)
    effect = cell if cell.skewed else replace(cell, sd=0.0)
    scores = _student(effect, base, rng)[1]
    if cell.sd and not cell.skewed:
        scores = scores - _shifts(scores, cell.sd, rng)
    student, weak = sigmoid(scores), sigmoid(base.weak)
    stats = blind_stats(student, weak, draw) | moment_stats(weak, student, draw)
    names = ("bsd", "bsd_cond", "excess", "var_strong", "cov", "correlation", "misfit", "risk_strong")
    return {name: stats[name] for name in names}


def _shifts(scores: Floats, sd: float, rng: np.random.Generator) -> Floats:
    """(K, 1) by how much each seed's scores are lower, so that its accuracy moves by a normal amount."""
    right = (scores > 0).mean(axis=1)
    share = np.clip(right + sd * rng.normal(size=len(scores)), 0.02, 0.98)
    return np.array([np.quantile(row, 1 - each) for row, each in zip(scores, share, strict=True)])[:, None]


def _student(cell: Cell, base: World, rng: np.random.Generator) -> tuple[Floats, Floats]:
    return ORGANISMS["deceiver"].student(base, rng, SeedEffect(sd=cell.sd, rho=cell.rho), rho=0.2)


def _large(family: str, cell: Cell, rng: np.random.Generator) -> dict[str, Stat]:
    if family == "deception":
        return _deception(cell, TRUTH_ITEMS, rng, 2, 0)
    if family == "risks":
        return _risks(cell, TRUTH_ITEMS, rng, 2, 0)
    groups = clusters(TRUTH_ITEMS, rng)
    (weak, student), _ = credits(cell, groups, ACCURACIES[:2], rng)
    return agreement(weak, student, Resampler(groups, 2))


@cache
def _truth(family: str, sd: float, icc: float, rho: float, skewed: bool) -> dict[str, float]:
    """Every statistic over all prompts and seeds: mean of ``TRUTHS`` large worlds."""
    cell = Cell(family, TRUTH_SEEDS, sd, TRUTH_ITEMS, icc, rho, skewed)
    worlds = [_large(family, cell, np.random.default_rng([number, 99])) for number in range(TRUTHS)]
    return {name: float(np.mean([each[name].value for each in worlds])) for name in worlds[0]}


def _against(stats: dict[str, Stat], truth: dict[str, float]) -> Found:
    return {name: (stat, truth[name]) for name, stat in stats.items()}


FAMILIES: dict[str, Callable[[Cell, np.random.Generator, int], Found]] = {
    "accuracies": accuracies,
    "collapses": collapses,
    "shares": shares,
    "slopes": slopes,
    "areas": areas,
    "deception": deception,
    "risks": risks,
}
