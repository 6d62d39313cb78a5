"""The analyses of score tables as objects: what ``w2s analyze … --json`` writes, under the same names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from w2s_pref.analysis.deception.deception import analyze_deception
from w2s_pref.analysis.preferences.generalization import analyze_generalization
from w2s_pref.analysis.risk.summary import risk_summary
from w2s_pref.analysis.scores.table import read_scores, validate_scores
from w2s_pref.core.errors import W2SError
from w2s_pref.interface.page import card, preformatted
from w2s_pref.interface.printed import printed

#: A score table (docs/score-tables.md): in memory, or its file.
Scores = pd.DataFrame | str | Path
Number = float | None
Interval = list[float] | None


class Analysis:
    """What an analysis found. Every key of its JSON is an attribute; undefined numbers are None."""

    verdict: str
    warnings: list[str]
    notes: list[str]
    models: dict[str, Any]
    n: int
    items: int
    groups: int
    seeds: list[int]
    resamples: int
    #: Title of the table in a notebook.
    title: ClassVar[str] = ""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))

    def to_dict(self) -> dict[str, Any]:
        """What the command line writes as JSON."""
        return json.loads(json.dumps(self._found))  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        found = self.__dict__.get("_found", {})
        if name in found:
            return found[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(found)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._found]

    def _table(self) -> Any:
        """The tables that the command line prints."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return printed(lambda console: console.print(self._table()))

    def _repr_html_(self) -> str:
        return card(self.title, self.verdict, [], preformatted(repr(self)))


class Deception(Analysis):
    """Where the conflict tax falls, with its nulls, gates and verdict; the keys: docs/score-tables.md."""

    title = "deception"
    verdict_code: Literal["selective", "suspicious", "opposite", "not_resolved", "undefined"]
    accuracy: dict[str, Number]
    cells: dict[str, dict[str, Any]]
    eligible: int
    tax: int
    score: Number
    null_share: Number
    risk_ratio: Number
    lift: Number
    lift_smooth: Number
    excess: Number
    expected: Number
    lift_dropped: int
    intervals: dict[str, Interval]
    intervals_in_seeds: dict[str, Interval]
    gates: dict[str, Any]
    per_seed: dict[str, list[Number]]
    permutation_p: Number
    sweep: list[dict[str, Any]]
    regression: list[dict[str, Any]]
    churn: dict[str, Any] | None
    threshold: float
    known_rule: Literal["gt_prob", "max_prob"]
    ties: str
    bins: int

    def _table(self) -> Any:
        from w2s_pref.report.analyses.scores import deception_table

        return deception_table(self._found)


class Generalization(Analysis):
    """How much of the gap between weak and strong is recovered; the keys: docs/score-tables.md."""

    title = "generalization"
    accuracy: dict[str, Number]
    agreement: dict[str, Number]
    inheritance: dict[str, Number]
    gap: Number
    difference: Number
    pgr: Number
    pgr_raw: Number
    pgr_fieller: Interval
    intervals: dict[str, Any]
    intervals_in_seeds: dict[str, Any]
    sensitivity: dict[str, Number]

    def _table(self) -> Any:
        from w2s_pref.report.analyses.scores import generalization_table

        return generalization_table(self._found)


class Risk(Analysis):
    """How wrong the strong model is where the weak one cannot see it; the keys: docs/risk.md."""

    title = "risk"
    thresholds: dict[str, float]
    mean_weak: Number
    mean_strong: Number
    bias_weak: Number
    bias_strong: Number
    var_weak: Number
    var_strong: Number
    cov: Number
    correlation: Number
    misfit: Number
    risk_weak: Number
    risk_strong: Number
    residual: Number
    bsd: Number
    bsd_cond: Number
    bsd_soft: Number
    blind_spot_share: Number
    confident_errors: Number
    bounds: Any
    calibrated: Any
    grid: list[dict[str, Any]]
    intervals: dict[str, Any]
    intervals_in_seeds: dict[str, Any]
    per_seed: dict[str, list[Number]]
    sentences: list[str]

    def _table(self) -> Any:
        from w2s_pref.report.analyses.risk import risk_table

        return risk_table(self._found)


def deception(
    scores: Scores,
    *,
    weak: str,
    ceiling: str,
    reference: str,
    student: str,
    threshold: float = 0.75,
    known_rule: Literal["gt_prob", "max_prob"] = "gt_prob",
    resamples: int = 2000,
    objective: str | None = None,
    placebo: str | None = None,
    sensitivity: bool = False,
    seed: int = 0,
) -> Deception:
    """Where does the conflict tax fall? What ``w2s analyze deception`` computes.

    Args:
        scores: a score table, or its file (CSV, JSONL, Parquet).
        weak, ceiling: names in its column ``model`` of the small and the large model trained on ground truth.
        reference: the student without conflict (or the large ceiling again).
        student: the student under conflict.
        threshold, known_rule: a model knows an item whose probability is at least this.
        resamples, seed: of bootstrap and permutation.
        objective: which rows, where the table holds several objectives.
        placebo: an unrelated weak model, beside the other seeds' weak models.
        sensitivity: find the smallest effect that this table shows, too (``found.sensitivity``).

    Raises:
        W2SError: a bad table, a model that is not in it (it lists those that are), or an option out of range.
    """
    found = analyze_deception(
        _read(scores), weak, ceiling, reference, student, threshold, known_rule, resamples, _checked(seed),
        objective=objective, placebo=placebo, sensitivity=sensitivity,
    )  # fmt: skip
    return Deception(found)


def generalization(
    scores: Scores,
    *,
    weak: str,
    student: str,
    ceiling: str,
    resamples: int = 2000,
    objective: str | None = None,
    seed: int = 0,
) -> Generalization:
    """How much of the gap is recovered? What ``w2s analyze generalization`` computes.

    Args:
        scores: a score table, or its file (CSV, JSONL, Parquet).
        weak, student, ceiling: names in its column ``model`` of the supervisor, its student, and the strong ceiling.
        resamples, seed, objective: see ``deception``.

    Raises:
        W2SError: a bad table, or a model that is not in it.
    """
    return Generalization(
        analyze_generalization(_read(scores), weak, student, ceiling, resamples, _checked(seed), objective=objective)
    )


def risk(
    scores: Scores,
    *,
    weak: str,
    strong: str,
    ts: float = 0.75,
    tw: float = 0.75,
    ceiling: str | None = None,
    calibration: Scores | None = None,
    resamples: int = 2000,
    objective: str | None = None,
    seed: int = 0,
) -> Risk:
    """How wrong is the strong model where the weak one cannot see it? What ``w2s analyze risk`` computes.

    Args:
        scores: a score table, or its file (CSV, JSONL, Parquet).
        weak, strong: names in its column ``model``.
        ts, tw: the strong model is confident from here up, the weak one uncertain from here down, in [.5, 1].
        ceiling: the model that stands for f* in the reverse-KL terms.
        calibration: score table of other items to fit temperatures on.
        resamples, seed, objective: see ``deception``.

    Raises:
        W2SError: a bad table, a model that is not in it, or a threshold out of range.
    """
    held_out = None if calibration is None else _read(calibration)
    found = risk_summary(
        _read(scores), weak, strong, ts, tw, resamples, _checked(seed),
        ceiling=ceiling, calibration=held_out, objective=objective,
    )  # fmt: skip
    return Risk(found)


def _read(scores: Scores) -> pd.DataFrame:
    return validate_scores(scores) if isinstance(scores, pd.DataFrame) else read_scores(scores)


def _checked(seed: int) -> int:
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise W2SError(f"seed={seed!r}: give a whole number from 0 to {2**32 - 1:,}, of the resampling")
    return seed
