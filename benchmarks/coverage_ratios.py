"""Worlds whose gap is hardly resolved and whose seeds are nearly one model, as probes of a frozen encoder are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
from coverage_cells import RESAMPLES

from w2s_pref.analysis.preferences.generalization_measures import recovered
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.core.arrays import Floats

#: Accuracy of the weak model, and the share of the gap that the student recovers.
WEAK, SHARE = 0.5, 0.4


@dataclass(frozen=True)
class SmallGap:
    """What is simulated.

    Attributes:
        seeds: K.
        items: N, each a group of its own.
        gap: accuracy of the ceiling minus that of the weak model.
        differ: share of the items that a seed answers by itself; on the others all seeds of a model answer alike.
        worlds: simulated.
    """

    seeds: int
    items: int
    gap: float
    differ: float
    worlds: int = 500
    family: str = "small_gaps"

    @property
    def key(self) -> str:
        """The cell in one line."""
        return f"{self.family} K={self.seeds} N={self.items} gap={self.gap:g} differ={self.differ:g}"

    def run(self, worlds: range) -> dict[str, Any]:
        """How often the interval of a PGR that is reported holds the truth, and on which side it misses."""
        counts = dict.fromkeys(("defined", "covered", "above", "below"), 0)
        for number in worlds:
            rng = np.random.default_rng([number, *np.frombuffer(self.key.encode(), dtype=np.uint8)])
            models = [self._answers(WEAK + share * self.gap, rng) for share in (0.0, SHARE, 1.0)]
            pgr = recovered(*models, Resampler(np.arange(self.items), RESAMPLES, number))
            if pgr.note or (interval := pgr.stat.interval()) is None:
                continue
            place = "above" if interval[0] > SHARE else "below" if interval[1] < SHARE else "covered"
            counts["defined"] += 1
            counts[place] += 1
        return {"PGR where reported": counts}

    def _answers(self, accuracy: float, rng: np.random.Generator) -> Floats:
        """Right or wrong, (K, N)."""
        common = rng.random(self.items) < accuracy
        own = rng.random((self.seeds, self.items)) < accuracy
        anew = rng.random((self.seeds, self.items)) < self.differ
        return np.where(anew, own, common).astype(np.float64)

    def about(self) -> dict[str, Any]:
        """Fields of the cell, for the file."""
        return asdict(self)


def cells() -> list[SmallGap]:
    """Few and many items; gaps that are hardly and well resolved; seeds that are nearly one model, and others."""
    worlds = [(340, 0.06, 0.1), (780, 0.06, 0.02), (780, 0.06, 0.1), (780, 0.06, 0.5), (780, 0.15, 0.1)]
    return [SmallGap(seeds, *world) for seeds, world in product((2, 3, 5), worlds)]
