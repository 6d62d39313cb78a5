"""The leak audit: can a task be solved without understanding it, and is its table what it says?

What probes that cannot understand a text get right, the data give away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from w2s_pref.analysis.leaks.probes import FOLDS, bag, endings, folds_of, form, lengths, linear, predictions, tree
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.core.arrays import Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import ITEM_COLUMNS, first_groups

#: A probe above this accuracy is a leak.
LEAK = 0.9
#: Probes look at so many items at most.
MAX_ROWS = 6000
#: A share of the items (0..1) above which a defect of the table is a warning.
DEFECT = 0.01
#: A part whose share of label 1 lies within these bounds is called even.
EVEN = (0.45, 0.55)
#: Resamples of the probes' intervals, and shuffles of the labels for their null.
RESAMPLES, SHUFFLES = 1000, 500

_MEANS = {
    "words": "words and pairs of words of the whole text",
    "ending words": "words and pairs of words of the ending alone",
    "length": "characters and words",
    "form": "case, punctuation, digits and single letters of the ending",
}


@dataclass(frozen=True)
class LeakProbe:
    """What one probe gets right on groups it has not seen.

    Attributes:
        name: words, ending words, length or form.
        accuracy: 0..1; ``low`` and ``high`` are its 95 % interval (groups resampled).
        null: the 95 % point of the accuracy when the labels are shuffled.
    """

    name: str
    accuracy: float
    low: float
    high: float
    null: float

    @property
    def verdict(self) -> str:
        """``leak`` (above .9), ``signal`` (above chance), or ``none`` (what shuffled labels give, however much)."""
        if self.accuracy <= self.null:
            return "none"
        return "leak" if self.accuracy > LEAK else "signal" if self.low > 0.5 else "none"


@dataclass(frozen=True)
class Audit:
    """The audit of one table of items.

    Attributes:
        task: its name.
        rows, groups: what the table holds.
        positives: share of label 1.
        probed: items that the probes looked at.
        probes: the probes.
        defects: name -> share of the items: ``duplicates`` (a text that another item has as well), ``contradictory``
            (with the other label), ``shared_groups`` (training items whose group the test part has),
            ``missing_context`` (items whose question stands in several groups, so what tells the groups apart is not
            in the text).
        uneven: part -> share of label 1, for the parts where it is not within .45 and .55.
    """

    task: str
    rows: int
    groups: int
    positives: float
    probed: int
    probes: tuple[LeakProbe, ...]
    defects: dict[str, float]
    uneven: dict[str, float]

    @property
    def warnings(self) -> list[str]:
        """One sentence for everything that is wrong; none for a clean task."""
        return [*self._leaks(), *self._defects()]

    def _leaks(self) -> Iterator[str]:
        for probe in self.probes:
            if probe.verdict == "leak":
                yield (
                    f"{self.task}: {_MEANS[probe.name]} give {probe.accuracy:.1%} of the labels away (chance: "
                    f"{100 * max(self.positives, 1 - self.positives):.0f} %), "
                    "so no model has to understand the task; look at what the two labels' texts do not share"
                )

    def _defects(self) -> Iterator[str]:
        share = {
            name: f"{self.task}: {value:.1%} of the items" for name, value in self.defects.items() if value > DEFECT
        }
        if "duplicates" in share:
            yield f"{share['duplicates']} have the text of another item; keep one of them"
        if "contradictory" in share:
            yield f"{share['contradictory']} have the text of an item with the other label; leave both out"
        if "shared_groups" in share:
            yield f"{share['shared_groups']} are in training and have a group of the test part; leave them out"
        if "missing_context" in share:
            yield (
                f"{share['missing_context']} have a question that stands in several groups, so the text lacks what it "
                "is about (a dialogue, a passage); put that into the text"
            )
        for part, value in self.uneven.items():
            yield f"{self.task}: {value:.0%} of the {part} items are positive; balance the classes"


def audit(frame: pd.DataFrame, seed: int = 0) -> Audit:
    """Probe a table of items and look for defects. Deterministic.

    Probes are fitted on four fifths of the groups and judged on the rest, in turn, so that near copies within a group
    teach nothing. A probe above chance is normal (people choose words for a reason); above .9 is a leak.

    Args:
        frame: items, as ``load_task`` returns them (columns ``tables.ITEM_COLUMNS``), of one task.
        seed: decides folds, resamples and, above 6,000 items, which groups are looked at.

    Raises:
        W2SError: a missing column, labels outside {0, 1}, one class, or fewer than ten groups.
    """
    _usable(frame)
    looked = frame if len(frame) <= MAX_ROWS else first_groups(frame, MAX_ROWS, seed)
    parts = {str(part): float(rows["truth"].mean()) for part, rows in frame.groupby("part")}
    return Audit(
        task=str(frame["objective"].iloc[0]),
        rows=len(frame),
        groups=int(frame["group"].nunique()),
        positives=float(frame["truth"].mean()),
        probed=len(looked),
        probes=tuple(_probes(looked.reset_index(drop=True), seed)),
        defects=_defect_shares(frame),
        uneven={part: share for part, share in parts.items() if not EVEN[0] <= share <= EVEN[1]},
    )


def _usable(frame: pd.DataFrame) -> None:
    missing = [column for column in ITEM_COLUMNS if column not in frame]
    if missing:
        raise W2SError(f"the table of items has no column {missing[0]!r}; make it with load_task")
    odd = sorted(set(frame["truth"]) - {0, 1})
    if odd:
        raise W2SError(f"labels must be 0 or 1 (1 = positive), but the table has {odd[:5]}")
    if frame["truth"].nunique() < 2:
        raise W2SError(f"all {len(frame):,} items have one label; a task needs both classes, 0 and 1")
    if frame["group"].nunique() < 2 * FOLDS:
        raise W2SError(f"an audit needs {2 * FOLDS} groups, but there are {frame['group'].nunique()}; bring more")


def _probes(frame: pd.DataFrame, seed: int) -> Iterator[LeakProbe]:
    prompts, ends = list(frame["prompt"]), endings(frame)
    truth = frame["truth"].to_numpy(dtype=np.int64)
    folds = folds_of(frame["group"], seed)
    resampler = Resampler(pd.factorize(frame["group"])[0].astype(np.int64), resamples=RESAMPLES, seed=seed)
    for name, features, fit in (
        ("words", bag(prompts), linear),
        ("ending words", bag(ends), linear),
        ("length", lengths(prompts, ends), tree),
        ("form", form(ends), tree),
    ):
        predicted = predictions(features, truth, folds, fit)
        right = resampler.mean((predicted == truth)[None].astype(np.float64))
        low, high = right.interval() or (0.0, 1.0)
        yield LeakProbe(name, right.value, low, high, _null(predicted, truth, seed))


def _null(predicted: Ints, truth: Ints, seed: int) -> float:
    """The 95 % point of the accuracy of these predictions when the labels are shuffled."""
    rng = np.random.default_rng(seed)
    return float(np.quantile([np.mean(predicted == rng.permutation(truth)) for _ in range(SHUFFLES)], 0.95))


def _defect_shares(frame: pd.DataFrame) -> dict[str, float]:
    tests = set(frame.loc[frame["part"] == "test", "group"])
    stands_in = frame.groupby("unit")["group"].transform("nunique")
    shares = {
        "duplicates": frame["prompt"].duplicated(keep=False),
        "contradictory": frame.groupby("prompt")["truth"].transform("nunique") > 1,
        "shared_groups": (frame["part"] == "train") & frame["group"].isin(tests),
        "missing_context": stands_in > 1,
    }
    return {name: float(marked.mean()) for name, marked in shares.items()}
