"""What a reader of risk numbers must be told: inputs that carry little, and quantities undefined or fixed by them."""

from __future__ import annotations

import numpy as np

from w2s_pref.analysis.risk.blind_spot import EDGE, confidence, uncertain
from w2s_pref.analysis.scores.panel import Panel
from w2s_pref.core.arrays import Floats

#: Below this many items an interval means little.
FEW_ITEMS = 30


def cautions(data: Panel, weak: str, strong: str, t_strong: float, t_weak: float) -> list[str]:
    """Sentences on the size of the table, constant models, and confidences on one side of a threshold only."""
    p_weak, p_strong = data.p(weak), data.p(strong)
    return [
        *_size(data),
        *_constant({weak: p_weak, strong: p_strong}),
        *_one_class_weak(weak, p_weak, t_weak),
        *_one_class_strong(strong, p_strong, t_strong),
    ]


def _size(data: Panel) -> list[str]:
    groups = int(data.groups.max()) + 1
    found = []
    if data.size < FEW_ITEMS:
        found.append(f"Only {data.size} items: intervals mean little below {FEW_ITEMS}.")
    if groups == 1:
        found.append("All items are of one group: nothing can be resampled, so the intervals have no width.")
    return found


def _constant(models: dict[str, Floats]) -> list[str]:
    same = [name for name, p in models.items() if np.ptp(p) == 0]
    return [
        f"Model {name!r} gives every item the same probability: its variance is 0 and its correlation undefined."
        for name in same
    ]


def _one_class_weak(name: str, p: Floats, threshold: float) -> list[str]:
    unsure = uncertain(p, threshold)
    if not unsure.any():
        return [
            f"The weak model {name!r} is never uncertain (no confidence at or below {threshold:g}): the blind spot is "
            "empty, so BSD is 0 by construction and BSD_cond undefined."
        ]
    if unsure.all():
        return [
            f"The weak model {name!r} is always uncertain (no confidence above {threshold:g}): every confident strong "
            "error falls into the blind spot, whatever the strong model does."
        ]
    return []


def _one_class_strong(name: str, p: Floats, threshold: float) -> list[str]:
    if (confidence(p) >= threshold - EDGE).any():
        return []
    return [f"The strong model {name!r} is never confident (no confidence from {threshold:g} up): BSD is 0 for that."]
