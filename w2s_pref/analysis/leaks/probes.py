"""Probes that cannot understand a text: what they read of it, and what they predict on groups they have not seen."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from w2s_pref.core.arrays import Ints
from w2s_pref.core.tables import digest

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

#: Parts that the items are cut into, by group: fitted on all but one, judged on that one.
FOLDS = 5

#: (N, D): an array of numpy or a sparse matrix of scipy (which has no types).
Features: TypeAlias = Any
_MARK = re.compile(r"[.!?,;:'\"()\[\]{}<>*/\\-]")


def endings(frame: pd.DataFrame) -> list[str]:
    """What tells items apart: in a unit the text behind its common start; for a lone item its last line.

    A last line that most lone items share (the task's question) is passed over for the line before it.
    """
    units: dict[str, list[int]] = {}
    for at, unit in enumerate(frame["unit"]):
        units.setdefault(unit, []).append(at)
    prompts = list(frame["prompt"])
    last = Counter(_last_line(prompts[places[0]])[1] for places in units.values() if len(places) == 1)
    shared = {line for line, count in last.items() if 2 * count > last.total()}
    ends = [""] * len(prompts)
    for places in units.values():
        texts = [prompts[at] for at in places]
        common = commonprefix(texts)  # noqa: RUF071 (texts, not paths)
        # Its last word may be unfinished.
        start = max((match.end() for match in re.finditer(r"\s", common)), default=0)
        for at, text in zip(places, texts, strict=True):
            before, line = _last_line(text)
            ends[at] = text[start:] if len(places) > 1 else _last_line(before)[1] if line in shared else line
    return ends


def _last_line(text: str) -> tuple[str, str]:
    before, _, line = text.rstrip().rpartition("\n")
    return before, line


def folds_of(groups: pd.Series, seed: int) -> Ints:
    """(N,) the fold of every item, by a hash of its group: groups are never on both sides."""
    order = {group: rank for rank, group in enumerate(sorted(set(groups), key=lambda key: digest(str(seed), key)))}
    return np.asarray([order[group] % FOLDS for group in groups], dtype=np.int64)


def bag(texts: list[str]) -> Features:
    """(N, 65536) words and pairs of words, hashed."""
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=2**16, ngram_range=(1, 2), alternate_sign=False, token_pattern=r"\S+")
    return sparse.csr_matrix(words.transform(texts))


def lengths(prompts: list[str], ends: list[str]) -> Features:
    """(N, 4) characters and words of the whole text and of its ending."""
    return np.asarray(
        [[len(text), text.count(" "), len(end), end.count(" ")] for text, end in zip(prompts, ends, strict=True)],
        dtype=np.float64,
    )


def form(ends: list[str]) -> Features:
    """(N, 12) how the ending is written: case, marks, digits, letters that stand alone, how it starts and stops."""
    return np.asarray([_form(end) for end in ends], dtype=np.float64)


def _form(end: str) -> list[float]:
    bare = end.strip()
    letters, words = [sign for sign in bare if sign.isalpha()], bare.split()
    return [
        float(end[:1].isspace()),
        float(end[-1:].isspace()),
        float(bare[:1].isupper()),
        float(bare[:1].isdigit()),
        float(not bare[-1:].isalnum()),
        float(ord(bare[-1])) if bare else 0.0,
        float(len(words) == 1),
        float(bool(words) and len(words[-1].strip("().:")) == 1),
        sum(sign.isupper() for sign in letters) / max(1, len(letters)),
        sum(sign.isdigit() for sign in bare) / max(1, len(bare)),
        len(_MARK.findall(bare)) / max(1, len(bare)),
        float(sum(1 for sign in bare if ord(sign) > 127)),
    ]


def linear(features: Features, truth: Ints) -> LogisticRegression:
    """A logistic regression on sparse words."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, solver="liblinear", max_iter=200).fit(features, truth)


def tree(features: Features, truth: Ints) -> DecisionTreeClassifier:
    """A shallow decision tree on a few numbers: lengths and form need thresholds, not slopes."""
    from sklearn.tree import DecisionTreeClassifier

    leaf = max(5, len(truth) // 200)
    return DecisionTreeClassifier(max_depth=5, min_samples_leaf=leaf, random_state=0).fit(features, truth)


def predictions(features: Features, truth: Ints, folds: Ints, fit: Callable[[Features, Ints], Any]) -> Ints:
    """(N,) the prediction for every item by a probe fitted on the other folds."""
    predicted = np.zeros(len(truth), dtype=np.int64)
    for fold in np.unique(folds):
        inside = folds == fold
        seen = truth[~inside]
        predicted[inside] = fit(features[~inside], seen).predict(features[inside]) if len(set(seen)) == 2 else seen[:1]
    return predicted
