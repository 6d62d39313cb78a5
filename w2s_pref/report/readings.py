"""The two readings of an interval in words: which one leads, and why. Every report says it once, at its top."""

from __future__ import annotations

from typing import Final

from w2s_pref.results.lab import LabBody
from w2s_pref.results.preferences import Results

#: Of results that were written before intervals had two readings.
BEFORE: Final = (
    "Intervals are 95 %, by the rule of an earlier version, which was too narrow with few seeds. The same recipe run "
    "again gives intervals that hold; what is in its store is not trained again."
)
#: Of results without any interval.
NONE: Final = (
    "There are no intervals: they resample {units}, and all test items are of one group. Nothing can be said of other "
    "{units}; give test items of several."
)


def reading(
    seeds: int,
    units: str = "prompts",
    first: str = "The one in [brackets], over seeds,",
    second: str = "The one in {braces}, in these seeds,",
) -> str:
    """Which interval leads, and why, for so many training seeds and such units; what the two are called there."""
    if seeds < 2:
        return (
            f"Intervals are 95 %, in this seed: they hold for other {units} and these very models. With one seed "
            "nothing is known of other training seeds."
        )
    return (
        f"Intervals are 95 %. {first} leads: it holds for other training seeds as well as for other {units}, and "
        f"verdicts use it. {second} holds for these very models on other {units}."
    )


def of_study(results: Results) -> str:
    """The same for the results of a preference study."""
    trained = [setting.performance for arm in results.arms for setting in arm.settings]
    accuracies = [model.accuracy for model in (*results.ceilings.values(), *trained)]
    if accuracies and all(each.interval is None for each in accuracies):
        return NONE.format(units="prompts")
    return reading(len(results.seeds)) if any(each.over is not None for each in accuracies) else BEFORE


def of_lab(body: LabBody) -> str:
    """The same for the laboratory."""
    accuracies = [each for cell in body.cells for each in cell.accuracy.values()]
    if accuracies and all(each.interval is None for each in accuracies):
        return NONE.format(units="groups of items")
    known = any(each.interval_in_seeds is not None for each in accuracies)
    seeds = max((cell.seeds for cell in body.cells), default=1)
    return reading(seeds, "groups of items") if known else BEFORE
