"""From easy to hard: accuracy on the test items that the weak model finds easiest, middling and hardest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s_pref.analysis.lab.answers import Answers
from w2s_pref.analysis.lab.pooled import mean
from w2s_pref.analysis.lab.studies import together
from w2s_pref.analysis.stats.bootstrap import Stat
from w2s_pref.core.arrays import Floats, Ints
from w2s_pref.results.lab import Difficulty

#: Parts of the test items, of equal size.
PARTS = 3


def difficulties(tasks: dict[str, Answers], entries: Sequence[dict[str, Any]]) -> list[Difficulty]:
    """The variants of the easy-to-hard study, and the ceiling that learned all items, part by part."""
    found = []
    own = [entry for entry in entries if entry["study"] == "easy_to_hard"]
    for (chain,), group in together(own, "chain"):
        names = {method: (each, "student") for (method,), each in together(group, "method")}
        first = next(iter(names.values()))[0]
        for variant, (each, role) in {**names, "all items": (first, "ceiling")}.items():
            thirds = [
                mean([_accuracy(tasks[entry["task"]], entry[role], entry["weak"], part) for entry in each]).estimate()
                for part in range(PARTS)
            ]
            found.append(Difficulty(chain=chain, variant=variant, tasks=len(each), thirds=thirds))
    return found


def _accuracy(answers: Answers, name: str, weak: str, part: int) -> Stat:
    """Accuracy on one part."""
    return answers.draw.mean(answers.credit(name), (parts(answers.delta(weak)) == part).astype(np.float64))


def parts(delta: Floats) -> Ints:
    """(K, N) the part of every item under every seed: 0 where the weak model favours the true answer most.

    That is the order by which the study picks its easy items: confident errors are the hardest items.
    """
    rank = np.argsort(np.argsort(-delta, axis=1, kind="stable"), axis=1)
    return np.asarray(rank * PARTS // delta.shape[1], dtype=np.int64)
