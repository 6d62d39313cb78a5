"""What results.json keeps of a study of very many arms: figures are drawn from fewer points, no number is left out.

The report of such a study is written before, from all of them, and scores.parquet holds every item of every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from w2s_pref.results.preferences import Results

T = TypeVar("T")
#: Points of all region maps, and of all training curves, that are kept (a point is some 90 bytes).
POINTS = 20_000
#: Of each map, or curve, at least so many, where it has them.
LEAST = 20


def summarised(results: Results) -> Results:
    """The results themselves, or, of a study of many students, with thinner figures and what was done to them."""
    done: list[str] = []
    maps, curves = results.region_maps, results.curves
    if (points := sum(len(each.points) for each in maps)) > POINTS:
        most = max(LEAST, POINTS // len(maps))
        maps = [each.model_copy(update={"points": spread(each.points, most)}) for each in maps]
        done.append(f"region_maps: at most {most} points of each, {points:,} in all; scores.parquet has every item")
    if (steps := sum(len(each.step) for each in curves)) > POINTS:
        most = max(LEAST, POINTS // len(curves))
        curves = [
            each.model_copy(update={"step": spread(each.step, most), "loss": spread(each.loss, most)})
            for each in curves
        ]
        done.append(f"curves: at most {most} steps of each, {steps:,} in all; history.json of a model has every step")
    if not done:
        return results
    return results.model_copy(update={"region_maps": maps, "curves": curves, "summarised": done})


def spread(values: Sequence[T], most: int) -> list[T]:
    """At most so many of the values, evenly from the first to the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(at * (len(values) - 1) / (most - 1))] for at in range(most)]
