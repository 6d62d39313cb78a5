"""The fixture's study with its risks, predictors and monitored trainings; names are hostile, some numbers undefined."""

from __future__ import annotations

from typing import Any

from w2s_pref.results.preferences import Results
from w2s_pref.results.risk import (
    SIGNALS,
    ErrorShare,
    Predictor,
    Predictors,
    RankCorrelation,
    Risk,
    RiskBound,
    RiskNumbers,
    RiskParts,
    ThresholdPoint,
)
from w2s_pref.results.trainings import MonitorAlarm, MonitorCurve

from .fixture import ESCAPES, HOSTILE, IMAGE, Maker, build

ESTIMATES = {
    "var_weak": 0.0412, "var_strong": 0.0531, "cov": 0.0217, "bias_weak": -0.291, "bias_strong": -0.274,
    "misfit": 0.0487, "risk_weak": 0.1259, "risk_strong": 0.1282, "residual": -0.0123, "bsd": 0.0711,
    "bsd_cond": 0.1543, "bsd_soft": 0.0811, "random_var_strong": 0.1047, "random_cov": 0.0622,
}  # fmt: skip


def numbers(make: Maker, sure: bool, shrink: float = 1.0) -> RiskNumbers:
    """One student's numbers; with a weak model that is always sure some are undefined."""
    values: dict[str, Any] = {name: make.estimate(value * shrink, 0.01) for name, value in ESTIMATES.items()}
    shares = {"inherited": 0.4127, "blind_spot": 0.3873, "strong_only": 0.2}
    owners = {name: ErrorShare(count=round(150 * s), share=make.estimate(s, 0.06)) for name, s in shares.items()}
    if sure:
        values["bsd_cond"] = make.null("Undefined: the weak model is never uncertain.")
        none = make.null("Undefined: no confident strong error.")
        owners = {name: ErrorShare(count=0, share=none) for name in shares}
    slacks = {"triangle": 0.2211, "minkowski": 0.1934, "charikar": -0.0512}
    bounds = {name: RiskBound(value=s + 0.12, slack=make.estimate(s), holds=s > 0) for name, s in slacks.items()}
    strong = RiskParts(bias_squared=0.0751, variance=0.0531, shared=None, own=None)
    if not sure:
        strong = RiskParts(bias_squared=0.0751, variance=0.0531, shared=0.0114, own=0.0417)
    weak = RiskParts(bias_squared=0.0847, variance=0.0412, shared=0.0089, own=0.0323)
    return RiskNumbers(
        **values, parts_weak=weak, parts_strong=strong, bounds=bounds, errors=0 if sure else 150, inheritance=owners
    )


def risk(make: Maker, arm: str, conflict: str, calibrated: bool) -> Risk:
    """One student; implicit ones have a weak model that is always sure, explicit ones the largest BSD."""
    sure = conflict == "implicit"
    raw = numbers(make, sure, 1.3 if conflict == "explicit" else 1.0)
    kl = {name: make.estimate(v) for name, v in zip(("kl_target_strong", "kl_target_weak", "kl_strong_weak", "slack"),
                                                    (0.31, 0.42, 0.17, -0.0634), strict=True)}  # fmt: skip
    grid = [
        ThresholdPoint(t_strong=s, t_weak=w, bsd=(1 - s) * w / 2, bsd_cond=None if sure else (1 - s) * w, uncertain=90)
        for s in (0.6, 0.75, 0.9)
        for w in (0.55, 0.75)
    ]
    return Risk(
        arm=arm, conflict=conflict, weak="ceiling/tiny", strong=f"{arm}/{conflict}", t_strong=0.75, t_weak=0.75, n=1200,
        raw=raw, calibrated=numbers(make, sure, 0.4) if calibrated else None,
        temperature_weak=1.31 if calibrated else None, temperature_strong=2.14 if calibrated else None,
        reverse_kl=kl, grid=grid, verdict=f"BSD 0.071 {ESCAPES}.", sentences=["Charikar's bound is violated."],
        warnings=[f"one class only {IMAGE}"] if sure else [],
    )  # fmt: skip


def predictors(settings: list[str]) -> Predictors:
    """Var resolved raw only, one signal undefined, one that nobody knows."""
    raw = RankCorrelation(rho=0.914, interval=(0.412, 1.0), p=0.0111, p_holm=0.0444)
    after = RankCorrelation(rho=-0.121, interval=(-0.71, 0.62), p=0.81, p_holm=1.0)
    names = [*list(SIGNALS)[:3], f"mine{HOSTILE}"]
    signals = [Predictor(signal=name, raw=raw, calibrated=after, verdict="raw only") for name in names]
    none = RankCorrelation(rho=None)
    signals[2] = Predictor(signal=names[2], raw=none, calibrated=none, verdict="undefined")
    return Predictors(
        settings=settings, smallest_p=0.0028, critical_rho=0.886, critical_rho_holm=None, signals=signals,
        headline="Not resolved after calibration.", sentences=["6 settings share their test items.", f"Odd {IMAGE}"],
    )  # fmt: skip


def monitors(results: Results) -> list[MonitorCurve]:
    """A watched training for each student and seed; alarms on explicit ones, one beside any look."""
    found = []
    for arm in results.arms:
        for place in arm.settings:
            for seed in results.seeds:
                steps = list(range(0, 300, 2))
                rising = [0.02 + 0.0003 * s for s in steps]
                alarms = []
                if place.conflict == "explicit":
                    alarms = [
                        MonitorAlarm(step=60, signal="var", action="log", statistic="cusum"),
                        MonitorAlarm(step=61, signal="misfit", action=f"f{HOSTILE}"),
                    ]
                signals = {"var": rising, "bsd": [None, *rising[1:]], "misfit": rising, "cov": [None] * len(steps)}
                found.append(
                    MonitorCurve(
                        name=f"{place.model}{IMAGE if seed else ''}", seed=seed, steps=steps, signals=signals,
                        alarms=alarms, cost=0.0131 if seed else None,
                    )
                )  # fmt: skip
    return found


def with_risk(results: Results | None = None, calibrated: bool = True, watched: bool = True) -> Results:
    """The same study with risks, predictors and the monitor."""
    results = results or build()
    make = Maker(len(results.seeds))
    entries = [risk(make, arm.name, place.conflict, calibrated) for arm in results.arms for place in arm.settings]
    known = predictors([one.strong for one in entries]) if len(entries) > 3 else None
    found = monitors(results) if watched else []
    return results.model_copy(update={"risk": entries, "predictors": known, "monitors": found})
