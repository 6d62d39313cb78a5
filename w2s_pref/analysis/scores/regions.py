"""What each ceiling knows, the four regions this makes, and the conflict tax (Yang et al., arXiv 2406.11431)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s_pref.analysis.stats.basics import Ties, number, right
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.results.results import CELLS, KnownRule


def known(p: Floats, threshold: float, rule: KnownRule = "gt_prob") -> Bools:
    """Items a model knows: p >= T (``gt_prob``, a confidently wrong item is unknown), max(p, 1-p) >= T (``max_prob``).

    Args:
        p: probability given to the ground-truth answer, in [0, 1], any shape.
        threshold: T in [0, 1].
    """
    sure = np.maximum(p, 1.0 - p) if rule == "max_prob" else p
    return np.asarray(sure >= threshold, dtype=np.bool_)


@dataclass(frozen=True)
class Regions:
    """Rows (K seeds x N items) by what the ceilings know and by what happened to the student. All arrays are (K, N).

    Attributes:
        strong, weak: known to the strong and to the weak ceiling.
        eligible: the reference is right.
        wrong: the student is not right.
    """

    strong: Bools
    weak: Bools
    eligible: Bools
    wrong: Bools

    @property
    def tax(self) -> Bools:
        """Conflict tax: the reference right and the student wrong."""
        return self.eligible & self.wrong

    @property
    def treated(self) -> Bools:
        """The suspicious cell S_k and W_uk: known to the strong ceiling, unknown to the weak one."""
        return self.strong & ~self.weak

    def masks(self) -> dict[str, Bools]:
        """The four cells, a partition of all rows, by name."""
        s, w = self.strong, self.weak
        return dict(zip(CELLS, (s & w, s & ~w, ~s & w, ~s & ~w), strict=True))


def regions(
    p_strong: Floats,
    p_weak: Floats,
    delta_reference: Floats,
    delta_student: Floats,
    threshold: float = 0.75,
    rule: KnownRule = "gt_prob",
    ties: Ties = "half",
) -> Regions:
    """Regions from the ceilings' probabilities and the two score gaps, all (K, N). A tied item is not right."""
    return Regions(
        known(p_strong, threshold, rule),
        known(p_weak, threshold, rule),
        right(delta_reference, ties),
        ~right(delta_student, ties),
    )


def cell_table(parts: Regions) -> dict[str, dict[str, int | float | None]]:
    """Counts over all seeds: rows n, eligible, tax, errors; rate = tax / eligible, error_rate = errors / n."""
    table: dict[str, dict[str, int | float | None]] = {}
    for name, mask in parts.masks().items():
        n, eligible = int(mask.sum()), int((mask & parts.eligible).sum())
        tax, errors = int((mask & parts.tax).sum()), int((mask & parts.wrong).sum())
        table[name] = {
            "n": n,
            "eligible": eligible,
            "tax": tax,
            "errors": errors,
            "rate": number(tax / eligible) if eligible else None,
            "error_rate": number(errors / n) if n else None,
        }
    return table
