"""Bias, variance, covariance and blind-spot deception of every student, and what goes with it over settings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from w2s_pref.results.estimates import Estimate, Interval, Model

Bound = Literal["triangle", "minkowski", "charikar"]
Owner = Literal["inherited", "blind_spot", "strong_only"]
KLTerm = Literal["kl_target_strong", "kl_target_weak", "kl_strong_weak", "slack"]
#: Signals that might warn of blind-spot deception: name -> how a reader is told it. Mean confidence, logit scale,
#: confident errors and accuracy are the strong model's.
SIGNALS = {
    "var_strong": "Var strong",
    "cov": "Cov(strong, weak)",
    "var_weak": "Var weak",
    "bias_strong": "bias strong",
    "misfit": "misfit M",
    "mean_confidence": "mean confidence",
    "logit_scale": "logit scale",
    "confident_errors": "confident-error rate",
    "accuracy": "accuracy",
}
#: What the signals are correlated with.
TARGET = "bsd"


class RiskParts(Model):
    """Parts of one model's risk, which they add up to: bias^2, and the variance that a straight line on the other
    model explains (``shared`` = Cov^2 / Var of the other) and does not (``own``). Both null where the other has none.
    """

    bias_squared: float
    variance: float
    shared: float | None
    own: float | None


class RiskBound(Model):
    """An upper bound on the strong risk. slack = value - risk; ``holds`` where it is not below 0."""

    value: float
    slack: Estimate
    holds: bool


class ErrorShare(Model):
    """Rows among the confident strong errors, and their share of them."""

    count: int
    share: Estimate


class RiskNumbers(Model):
    """Moments, bounds and blind-spot deception of a weak and a strong model; pairs chosen-first, rows items x seeds.

    ``bias_*`` is signed, the mean minus the target 1: never above 0 (files of schema 1, which held its negative, are
    turned when they are read). ``elsewhere``: confident errors where the weak model is sure, ``excess``: ``bsd_cond``
    less that, on which the verdict rests; null in older files.
    ``random_*``: with pairs in random order. ``errors``: confident strong errors, split by the weak model in
    ``inheritance``: confidently wrong, uncertain, confidently right.
    """

    var_weak: Estimate
    var_strong: Estimate
    cov: Estimate
    bias_weak: Estimate
    bias_strong: Estimate
    misfit: Estimate
    risk_weak: Estimate
    risk_strong: Estimate
    residual: Estimate
    bsd: Estimate
    bsd_cond: Estimate
    bsd_soft: Estimate
    elsewhere: Estimate | None = None
    excess: Estimate | None = None
    random_var_strong: Estimate
    random_cov: Estimate
    parts_weak: RiskParts
    parts_strong: RiskParts
    bounds: dict[Bound, RiskBound]
    errors: int
    inheritance: dict[Owner, ErrorShare]


class ThresholdPoint(Model):
    """Blind-spot deception at one pair of thresholds; ``uncertain`` counts the rows of the blind spot."""

    t_strong: float
    t_weak: float
    bsd: float
    bsd_cond: float | None
    uncertain: int


class Risk(Model):
    """The risk laboratory's numbers for one student, beside the weak ceiling of its arm (docs/risk.md).

    ``calibrated``: after each model, seed by seed, is divided by a temperature cross-fitted on the other half of the
    groups; null with a single group, as are the temperatures (geometric means). ``reverse_kl``: f* is the strong
    ceiling. Intervals use the study's own resamples.
    """

    arm: str
    conflict: str
    weak: str
    strong: str
    t_strong: float
    t_weak: float
    n: int
    raw: RiskNumbers
    calibrated: RiskNumbers | None
    temperature_weak: float | None
    temperature_strong: float | None
    reverse_kl: dict[KLTerm, Estimate]
    grid: list[ThresholdPoint]
    verdict: str
    sentences: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


class RankCorrelation(Model):
    """Spearman's rho over settings, seeds averaged, with its two-sided p (exact up to nine settings; Holm's beside it).

    The interval resamples settings.
    """

    rho: float | None
    interval: Interval | None = None
    p: float | None = None
    p_holm: float | None = None


class Predictor(Model):
    """One signal's rank correlation with blind-spot deception."""

    signal: str
    raw: RankCorrelation
    calibrated: RankCorrelation
    verdict: str


class Predictors(Model):
    """Which signal goes with blind-spot deception over the settings (arms x conflicts) of this study.

    ``smallest_p``, ``critical_rho`` (p <= .05) and ``critical_rho_holm`` (the same for the first of all signals) say
    what that many independent settings could show; null where nothing reaches it.
    """

    settings: list[str]
    smallest_p: float | None
    critical_rho: float | None
    critical_rho_holm: float | None
    signals: list[Predictor]
    headline: str
    sentences: list[str] = Field(default_factory=list)
