"""Several supervisors → one probability a pair: mean, vote, Dawid–Skene and others, and a function of one's own.

``p`` is an array (S, N): what each of S supervisors gives to "``a`` is better" for each of N pairs. A combination is a
function that asks by name for ``p`` and perhaps for ``accuracy`` (S,), the share of calibration pairs that each gets
right, and returns N probabilities. None sees the ground truth of the pairs that it labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import AfterValidator

from w2s_pref.core.arrays import Floats
from w2s_pref.core.registry import Registry
from w2s_pref.core.user_code import asked, by_name, numbers

COMBINATIONS = Registry(
    "combination",
    {
        **{n: f"w2s_pref.labels.supervisors:{n}" for n in ("mean", "vote", "median", "log_odds", "dawid_skene")},
        **{n: f"w2s_pref.labels.supervisors:{n}" for n in ("accuracy", "max_confidence")},
    },
)

#: Register a function as a combination: ``labels.combine: NAME`` then makes one probability of several with it.
combine = COMBINATIONS.register

CombinationName = Annotated[str, AfterValidator(COMBINATIONS.checked)]

#: What a combination may ask for.
OFFERED = ("p", "accuracy")
#: How far from 0 and 1 a probability is moved before its logarithm is taken.
SMALLEST = 1e-6
#: Confidences nearer than this are equal: .8 and .2 are, but for rounding.
EQUAL = 1e-12
#: Dawid–Skene's estimates stay so far from 0 and 1, so that no single vote is a proof.
RARE = 1e-10
#: Dawid–Skene ends when no posterior moves by more than this, or after so many rounds.
SETTLED, ROUNDS = 1e-10, 1000


def combined(name: str, p: Floats, shares: Floats | None = None, base: Path = Path()) -> Floats:
    """(N,) probabilities by the combination called ``name``, from (S, N) of the supervisors.

    Args:
        shares: (S,) accuracies on calibration pairs; only combinations that ask for them read it.

    Raises:
        W2SError: a user's combination fails, or returns something else than a probability a pair.
    """
    what = f"combination {name!r}"
    found = by_name(COMBINATIONS.find(name, base), OFFERED, what)(p=p, accuracy=shares)
    return numbers(found, p.shape[1], what, 0.0, 1.0)


def reads_accuracy(name: str, base: Path = Path()) -> bool:
    """Whether a combination asks for accuracies on calibration pairs.

    Raises:
        W2SError: it is not there, or asks for what is not offered.
    """
    return "accuracy" in asked(COMBINATIONS.find(name, base), OFFERED, f"combination {name!r}")


def disagreement(p: Floats) -> Floats:
    """(N,) standard deviation of the supervisors' probabilities: 0 where they agree, ½ at most."""
    return np.asarray(p.std(axis=0))


def mean(p: Floats) -> Floats:
    """Mean probability."""
    return np.asarray(p.mean(axis=0))


def vote(p: Floats) -> Floats:
    """Share of the supervisors that prefer ``a``; one that is undecided (½) gives half a vote to each answer."""
    return np.asarray((np.sign(p - 0.5) / 2 + 0.5).mean(axis=0))


def median(p: Floats) -> Floats:
    """Median probability; of an even number the mean of the two in the middle."""
    return np.asarray(np.median(p, axis=0))


def log_odds(p: Floats) -> Floats:
    """The probability of the mean log-odds; 0 and 1 count as 1e-6 from the end."""
    inside = p.clip(SMALLEST, 1 - SMALLEST)
    return np.asarray(1 / (1 + np.exp(-np.log(inside / (1 - inside)).mean(axis=0))))


def accuracy(p: Floats, accuracy: Floats) -> Floats:
    """Mean probability, weighted by accuracy on held-out ground truth; plain where all are always wrong."""
    return np.asarray(np.average(p, axis=0, weights=accuracy if accuracy.sum() > 0 else None))


def max_confidence(p: Floats) -> Floats:
    """The probability of the supervisor that is surest, max |p - ½|; the mean of those that are equally sure."""
    sure = np.abs(p - 0.5)
    surest = sure >= sure.max(axis=0) - EQUAL
    return np.asarray((p * surest).sum(axis=0) / surest.sum(axis=0))


def dawid_skene(p: Floats) -> Floats:
    """Posterior of "``a`` is better" under Dawid and Skene (1979), by EM over votes; no ground truth.

    Each supervisor votes for the answer with p above ½ (none at ½), independently given the truth, right with one
    probability where ``a`` is better and with another where ``b`` is. EM starts at the share of votes. Pairs with the
    same votes have the same posterior, so EM runs over the patterns and no order of pairs matters.
    """
    votes, place, times = np.unique(np.sign(p - 0.5), axis=1, return_inverse=True, return_counts=True)
    first, second = (votes > 0).astype(float), (votes < 0).astype(float)
    posterior = np.asarray((votes / 2 + 0.5).mean(axis=0))
    for _ in range(ROUNDS):
        for_a, for_b = times * posterior, times * (1 - posterior)
        prior = _inside(for_a.sum() / times.sum())
        says_a = [_inside(_share(first @ each, (first + second) @ each))[:, None] for each in (for_a, for_b)]
        logs = [(first * np.log(s) + second * np.log1p(-s)).sum(axis=0) for s in says_a]
        margin = logs[0] - logs[1] + np.log(prior) - np.log1p(-prior)
        before, posterior = posterior, np.exp(-np.logaddexp(0.0, -margin))
        if np.abs(posterior - before).max() <= SETTLED:
            break
    return np.asarray(posterior[place.reshape(-1)])


def _share(part: Floats, whole: Floats) -> Floats:
    """Part of the whole; ½ where there is none."""
    return np.divide(part, whole, out=np.full_like(part, 0.5), where=whole > 0)


def _inside(p: Floats) -> Floats:
    return np.asarray(np.clip(p, RARE, 1 - RARE))
