"""Numbers of one's own, one for each student, with intervals.

A metric is a function of arrays, one entry a test pair, that it asks for by name: ``student``, ``weak``, ``ceiling``
and ``reference`` are the margins of these models (the score of the ground-truth answer minus the other's, over the
score's temperature: above 0 the model is right), ``reference`` being the student without conflict; ``threshold`` is T.

It returns one number a pair, whose mean is the metric; NaN leaves a pair out, so that a share of some pairs is a mean,
too. Or it returns one number for all of them, which is computed anew under every resample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2s_pref import results
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.stat import PLAIN, Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.core.references import short_name
from w2s_pref.core.registry import Registry
from w2s_pref.core.user_code import asked, by_name, numbers

if TYPE_CHECKING:
    from w2s_pref.analysis.preferences.design import ArmDesign, Context

METRICS = Registry("metric")

#: Register a function as a metric: ``analysis.metrics: [NAME]`` then shows it for every student.
metric = METRICS.register

#: What it may ask for.
MARGINS = ("student", "weak", "ceiling", "reference")
OFFERED = (*MARGINS, "threshold")

#: Name in tables -> the function.
Functions = Mapping[str, Callable[..., Any]]


def functions(names: list[str], base: Path) -> dict[str, Callable[..., Any]]:
    """The metrics of these names or references.

    Raises:
        W2SError: one is not there, or asks for what is not offered.
    """
    found = {short_name(name): METRICS.find(name, base) for name in names}
    for name, function in found.items():
        asked(function, OFFERED, f"metric {name!r}")
    return found


def own_measures(context: Context, own: Functions) -> list[results.Measure]:
    """Every metric of every student.

    Raises:
        W2SError: a metric fails, or returns something else than a number, or one a pair.
    """
    design = context.design
    return [
        results.Measure(metric=name, about=(function.__doc__ or "").strip().partition("\n")[0], arm=arm.name,
                        conflict=conflict, value=_measure(context, arm, conflict, name, function))
        for name, function in own.items()
        for arm in design.arms
        for conflict in design.conflicts
    ]  # fmt: skip


def _measure(
    context: Context, arm: ArmDesign, conflict: str, name: str, function: Callable[..., Any]
) -> results.Estimate:
    what = f"metric {name!r}"
    models = {"student": f"{arm.name}/{conflict}", "weak": arm.weak, "ceiling": arm.strong}
    models["reference"] = f"{arm.name}/none"
    if "reference" in asked(function, OFFERED, what) and (conflict == "none" or "none" not in context.design.conflicts):
        missing = [None] * len(context.target.seeds)
        return results.Estimate(estimate=None, seeds=missing, note="Undefined: this student is the reference.")
    panel, call = context.target, by_name(function, OFFERED, what)
    margins = {role: panel.logits(model) for role, model in models.items() if model in panel.delta}

    def value(at: tuple[Any, ...]) -> Any:
        return call(**{role: margin[at] for role, margin in margins.items()}, threshold=context.design.threshold)

    first = value((0,))
    if np.ndim(first) == 0:
        return estimate(_recomputed(context, lambda at: _one(value(at), what)), "Undefined on these items.")
    rows = [numbers(value((seed,)), panel.size, what, gaps=True) for seed in range(len(panel.seeds))]
    values = np.stack(rows)
    there = ~np.isnan(values)
    stat = context.draw.mean(np.where(there, values, 0.0), there.astype(float), PLAIN)
    return estimate(stat, "Undefined: no item counts.")


def _one(value: Any, what: str) -> float:
    """A number of all items; NaN where it is undefined on them."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise W2SError(f"{what} returned something of type {type(value).__name__}; return numbers") from None


def _recomputed(context: Context, value: Callable[[tuple[Any, ...]], float]) -> Stat:
    """A number of all items under every resample: the mean over seeds of its value on the items drawn."""
    draw, seeds = context.draw, range(len(context.target.seeds))
    counts = draw.weights[:, draw.blocks].astype(np.int64)

    def each(items: Any) -> list[float]:
        return [value((seed, items)) for seed in seeds]

    per_seed = np.array(each(slice(None)))
    boot: Floats = np.array([each(np.repeat(np.arange(len(row)), row)) for row in counts])
    return Stat.mean_of_seeds(per_seed, boot, draw.n_groups)
