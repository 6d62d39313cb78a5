"""The temperature-only null: settings that differ in logit scale and in nothing else that could deceive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.organisms.organisms import World, table, temperature_only, world


def scale_null(
    settings: int = 8, items: int = 1000, seeds: int = 1, seed: int = 0, spread: float = 2.5
) -> pd.DataFrame:
    """Score table with a column ``setting``: in each a fresh world whose student is rescaled by its own factor.

    No student deceives. Factors are log-uniform between 1 / ``spread`` and ``spread``, so raw variance and raw
    blind-spot deception both follow the scale, and agree for no other reason.

    Args:
        settings, items, seeds: size.
        seed: of the random generator; the same seed gives the same table.
        spread: largest factor, above 1.

    Returns:
        Models ``weak``, ``ceiling`` and ``student`` on new items in every setting.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for number, (base, student) in enumerate(rescaled_worlds(settings, items, seeds, rng, spread), 1):
        scores = table({"weak": base.weak, "ceiling": base.ceiling, "student": student}, base.groups)
        parts.append(scores.assign(setting=f"setting{number:02d}"))
    return pd.concat(parts, ignore_index=True)


def rescaled_worlds(
    settings: int, items: int, seeds: int, rng: np.random.Generator, spread: float = 2.5
) -> Iterator[tuple[World, Floats]]:
    """Worlds, each with a student (K, N) that is its reference on another logit scale; see ``scale_null``."""
    for _ in range(settings):
        base = world(items, seeds, rng)
        scale = float(np.exp(rng.uniform(-1, 1) * np.log(spread)))
        yield base, temperature_only(base, rng, scale)[1]
