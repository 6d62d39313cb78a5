"""Scores of a supervisor → labels for a student. No ground truth here, except in the filter named ``oracle_…``.

A labeler or a filter of one's own is a function of arrays, one entry a pair, that it asks for by name: ``margin`` (the
log-odds that ``a`` is preferred: the difference of the scores over the temperature), ``p`` (its sigmoid), ``score_a``,
``score_b``, ``temperature``, and for a filter ``threshold``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field, model_validator

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import Registry
from w2s_pref.core.strict import Section
from w2s_pref.core.tables import digest
from w2s_pref.core.user_code import by_name, numbers
from w2s_pref.labels.supervisors import COMBINATIONS, CombinationName, reads_accuracy

LABELERS = Registry("labeler", {name: f"w2s_pref.labels.make:{name}" for name in ("soft", "hard")})
FILTERS = Registry(
    "label filter",
    {name: f"w2s_pref.labels.make:{name}" for name in ("none", "high_confidence", "oracle_high_confidence")},
)

#: Register a function as a labeler: ``labels.form: NAME`` then makes labels p in [0, 1], one a pair, with it.
labeler = LABELERS.register
#: Register a function as a filter: ``labels.filter: NAME`` then trains on the pairs for which it returns True.
label_filter = FILTERS.register

#: What they may ask for.
SCORES = ("margin", "p", "score_a", "score_b", "temperature")
FILTERED = (*SCORES, "threshold")
#: Confidences nearer to the threshold than this reach it: .93 and .07, whose log-odds are rounded, are as sure.
EQUAL = 1e-9
#: The one filter that is given ground truth.
ORACLE = "oracle_high_confidence"

LabelerName = Annotated[str, AfterValidator(LABELERS.checked)]
FilterName = Annotated[str, AfterValidator(FILTERS.checked)]


class RefineConfig(Section):
    """A strong model labels weakly labelled pairs anew, in batches, before a student learns them."""

    by: str = Field(description="causal model of the recipe, as it is")
    how: Literal["answers", "concept"] = Field(
        "answers",
        description="a pair is answered with the others of its batch and their labels in view; or under one sentence "
        "about them that the model writes first",
    )
    batch: int = Field(5, ge=2, description="pairs in a batch")
    question: str = Field("Which answer is better?", min_length=1, description="what the model is asked")


class LabelConfig(Section):
    """How a supervisor's scores become labels."""

    form: LabelerName = Field("soft", description="soft: probabilities; hard: 0/1; or your own labeler")
    calibrate: bool = Field(False, description="temperature-scale the supervisor on a held-out slice of gt")
    filter: FilterName = Field(
        "none",
        description="which pairs to train on: none (all), high_confidence, your own, or oracle_high_confidence, which "
        "also asks that the label is right (uses ground truth)",
    )
    threshold: float = Field(
        0.75, ge=0.5, le=1.0, description="confidence max(p, 1-p) that high_confidence and two_stage keep"
    )
    two_stage: bool = Field(
        False, description="train on confident labels, let that student label the rest, train on what either is sure of"
    )
    combine: CombinationName = Field(
        "mean", description=f"how several supervisors give one p: {', '.join(COMBINATIONS.builtin)}, or your own"
    )

    refine: RefineConfig | None = Field(None, description="a strong model labels anew: by, how, batch")

    @model_validator(mode="after")
    def _one_filter(self) -> LabelConfig:
        if self.two_stage and self.filter != "none":
            raise ValueError("two_stage keeps confident labels itself; drop filter")
        if self.refine is not None and (self.two_stage or self.calibrate):
            raise ValueError("refine: the labels are the refining model's; drop two_stage and calibrate")
        return self

    def under(self, own: LabelConfig | None) -> LabelConfig:
        """These, with the keys that a method gives for itself: its ``two_stage`` or ``filter`` replaces the other."""
        if own is None:
            return self
        given = {name: getattr(own, name) for name in own.model_fields_set}
        rest = {"filter": "none"} if given.get("two_stage") else {"two_stage": False} if "filter" in given else {}
        return self.model_copy(update={**rest, **given})

    @property
    def confident(self) -> bool:
        """Whether labels are sorted by their confidence, which is what the threshold is for."""
        return self.two_stage or self.filter != "none"

    def read(self) -> dict[str, Any]:
        """What decides the labels of one stage; scores arrive combined or refined, and two stages are two of them."""
        unread = {"two_stage", "combine", "refine", *(["threshold"] if self.filter == "none" else [])}
        return self.model_dump(exclude=unread)

    def code(self, base: Path) -> str:
        """Hash of the user's functions; nothing where there are none.

        Raises:
            W2SError: a function that is not there, or that asks for what is not offered.
        """
        if self.form not in LABELERS.builtin:
            _own(LABELERS, self.form, SCORES, base)
        if self.filter not in FILTERS.builtin:
            _own(FILTERS, self.filter, FILTERED, base)
        codes = [LABELERS.code(self.form, base), FILTERS.code(self.filter, base)]
        return digest(*codes) if any(codes) else ""

    def needs_calibration(self, base: Path, pooled: bool) -> bool:
        """Whether labels are made with the calibration split; ``pooled``: several supervisors give them.

        Raises:
            W2SError: a combination of the user's that is not there, or that asks for what is not offered.
        """
        return self.calibrate or (pooled and reads_accuracy(self.combine, base))


def soft(p: np.ndarray) -> np.ndarray:
    """Probabilities as they are."""
    return p


def hard(margin: np.ndarray) -> np.ndarray:
    """0 or 1, and ½ at a tie."""
    return np.where(margin > 0, 1.0, np.where(margin < 0, 0.0, 0.5))


def none(p: np.ndarray) -> np.ndarray:
    """All pairs."""
    return np.ones(len(p), dtype=bool)


def high_confidence(p: np.ndarray, threshold: float) -> np.ndarray:
    """Pairs with max(p, 1 - p) of at least the threshold."""
    return np.asarray(np.maximum(p, 1 - p) >= threshold - EQUAL)


def oracle_high_confidence(p: np.ndarray, threshold: float, truth: np.ndarray) -> np.ndarray:
    """Those of them whose label is right; ½ is not."""
    return np.asarray(high_confidence(p, threshold) & np.where(truth == 1, p > 0.5, p < 0.5))


def make_labels(
    raw: pd.DataFrame,
    config: LabelConfig,
    temperature: float = 1.0,
    truth: pd.Series | None = None,
    base: Path = Path(),
) -> pd.DataFrame:
    """Labels ``id, p, keep`` from raw scores ``id, score_a, score_b``.

    p = sigmoid((score_a - score_b) / temperature); hard labels are 0 or 1, and ½ at a tie. The filter looks at the
    soft, calibrated p. ``truth`` (indexed by id, 1 where a is preferred) is read by ``oracle_high_confidence`` only.

    Args:
        base: folder of the recipe, where files of a user's functions are looked up.

    Raises:
        W2SError: a user's labeler or filter fails, or returns something else than one value a pair.
    """
    scores = {name: raw[name].to_numpy() for name in ("score_a", "score_b")}
    margin = (scores["score_a"] - scores["score_b"]) / temperature
    given: dict[str, Any] = {**scores, "margin": margin, "p": np.exp(-np.logaddexp(0.0, -margin))}
    given |= {"temperature": temperature, "threshold": config.threshold}
    offered: tuple[str, ...] = FILTERED
    if config.filter == ORACLE:
        if truth is None:
            raise ValueError(f"{ORACLE} needs the ground truth")
        offered, given["truth"] = (*FILTERED, "truth"), truth.loc[raw["id"]].to_numpy()
    p = _own(LABELERS, config.form, SCORES, base)(**given)
    keep = _own(FILTERS, config.filter, offered, base)(**given)
    p = numbers(p, len(raw), f"labeler {config.form!r}", 0.0, 1.0)
    return pd.DataFrame({"id": raw["id"].to_numpy(), "p": p, "keep": _flags(keep, len(raw), config.filter)})


def _own(registry: Registry, name: str, offered: tuple[str, ...], base: Path) -> Any:
    return by_name(registry.find(name, base), offered, f"{registry.kind} {name!r}")


def _flags(value: Any, count: int, name: str) -> np.ndarray:
    """One True or False a pair."""
    keep = np.asarray(value)
    if keep.shape != (count,) or keep.dtype != bool:
        raise W2SError(
            f"label filter {name!r} should return True or False for each of {count} pairs, but it returned shape "
            f"{keep.shape} of {keep.dtype}"
        )
    return keep


def random_labels(ids: pd.Series, seed: int) -> pd.DataFrame:
    """Labels of the placebo: a fair coin for each pair, from its id and the seed."""
    coin = [int(digest("placebo", str(seed), identity)[:8], 16) % 2 for identity in ids]
    return pd.DataFrame({"id": ids.to_numpy(), "p": np.asarray(coin, dtype=float), "keep": True})


def agreement(margins: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of items on which the sign of the margin is the label, over the last dimension.

    A margin of 0, or a label of ½, which is what a tied vote gives, is a coin that is right half of the time.

    Args:
        margins: (…, n), log-odds of class 1.
        labels: (…, n), probabilities or 0 and 1, hardened at ½.
    """
    right = (margins > 0) == (labels > 0.5)
    share: np.ndarray = np.where((margins == 0) | (labels == 0.5), 0.5, right).mean(axis=-1)
    return share
