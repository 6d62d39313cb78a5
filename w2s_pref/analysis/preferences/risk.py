"""The risk laboratory inside a study: every student beside the weak ceiling of its arm, and what goes with deception.

The numbers are those of ``risk_summary`` and ``predictor_study``. Here they come from the arrays and resamples the
study has already, and each model's temperatures are fitted once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from w2s_pref import results
from w2s_pref.analysis.preferences.design import ArmDesign, Context
from w2s_pref.analysis.risk import sentences
from w2s_pref.analysis.risk.blind_spot import OWNERS, inheritance_counts, threshold_grid
from w2s_pref.analysis.risk.moments import ROUNDING, Moments, moments, reverse_kl
from w2s_pref.analysis.risk.predictors import Thresholds, seed_rows, signals, study_points
from w2s_pref.analysis.risk.summary import WeakAndStrong
from w2s_pref.analysis.scores.calibration import Rescaled, cross_fitted
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats

#: Below this many settings no rank correlation is worth a line.
LEAST_SETTINGS = 4
_UNDEFINED: dict[str, str] = {
    "bsd_cond": "Undefined: the weak model is never uncertain.",
    "elsewhere": "Undefined: the weak model is always uncertain.",
    "excess": "Undefined: the weak model is never uncertain, or always.",
    **dict.fromkeys(OWNERS, "Undefined: no confident strong error."),
}
_BLIND = ("bsd", "bsd_cond", "bsd_soft", "elsewhere", "excess")
_SHARED = (
    "The settings of one study share their test items and ceilings, so fewer of them are independent than are counted "
    "here; and the confident-error rate contains BSD by construction."
)


@dataclass(frozen=True)
class StudyLogits:
    """A study's scores as logits, raw and calibrated."""

    context: Context
    at: Thresholds = field(default_factory=Thresholds)

    @property
    def students(self) -> list[tuple[ArmDesign, str]]:
        """Arms x conflicts in the order of the design."""
        design = self.context.design
        return [(arm, conflict) for arm in design.arms for conflict in design.conflicts]

    @cached_property
    def logits(self) -> dict[str, Floats]:
        """(K, N) score gaps over their own temperature, for every model of the study."""
        data = self.context.target
        return {model: data.logits(model) for model in data.delta}

    @cached_property
    def rescaled(self) -> dict[str, Rescaled]:
        """Calibrated logits of students and weak ceilings; empty with a single group, which leaves no other half."""
        names = [arm.weak for arm, _ in self.students] + [student_name(*one) for one in self.students]
        groups = self.context.target.groups
        fitted = {name: cross_fitted(self.logits[name], groups) for name in dict.fromkeys(names)}
        return {name: done for name, done in fitted.items() if done is not None}

    def pair(self, weak: Floats, strong: Floats) -> WeakAndStrong:
        """Both models' probabilities with the study's resamples."""
        return WeakAndStrong(sigmoid(weak), sigmoid(strong), self.context.draw, self.at.strong, self.at.weak)


def student_name(arm: ArmDesign, conflict: str) -> str:
    """A final student in the score table."""
    return f"{arm.name}/{conflict}"


def risks(laboratory: StudyLogits) -> list[results.Risk]:
    """One entry a student."""
    return [_risk(laboratory, arm, conflict) for arm, conflict in laboratory.students]


def _risk(laboratory: StudyLogits, arm: ArmDesign, conflict: str) -> results.Risk:
    data, logits, scaled = laboratory.context.target, laboratory.logits, laboratory.rescaled
    weak, strong, at = arm.weak, student_name(arm, conflict), laboratory.at
    raw = laboratory.pair(logits[weak], logits[strong])
    moment, blind = raw.stats()
    kl = reverse_kl(logits[arm.strong], logits[strong], logits[weak], laboratory.context.draw)
    after, calibrated_bsd = None, None
    if scaled:
        pair = laboratory.pair(scaled[weak].logits, scaled[strong].logits)
        after_moment, after_blind = pair.stats()
        after, calibrated_bsd = _numbers(pair, after_moment, after_blind), after_blind["bsd"]
    temperature = scaled[strong].temperature if scaled else None
    return results.Risk(
        arm=arm.name,
        conflict=conflict,
        weak=weak,
        strong=strong,
        t_strong=at.strong,
        t_weak=at.weak,
        n=raw.strong.size,
        raw=_numbers(raw, moment, blind),
        calibrated=after,
        temperature_weak=scaled[weak].temperature if scaled else None,
        temperature_strong=temperature,
        reverse_kl={name: estimate(stat) for name, stat in kl.items()},
        grid=threshold_grid(raw.strong, raw.weak),
        verdict=sentences.deception_verdict(blind),
        sentences=sentences.verdicts(moment, blind, calibrated_bsd, temperature, kl),
        warnings=[*sentences.cautions(data, weak, strong, at.strong, at.weak), *_at_limit(scaled, weak, strong)],
    )


def _at_limit(scaled: dict[str, Rescaled], *models: str) -> list[str]:
    return [
        f"{model}: its fitted temperature is at the end of its range; calibrated numbers mean little."
        for model in models
        if scaled and scaled[model].at_limit
    ]


def _numbers(pair: WeakAndStrong, moment: dict[str, Stat], blind: dict[str, Stat]) -> results.RiskNumbers:
    found = moments(pair.weak, pair.strong)
    counts = inheritance_counts(pair.strong, pair.weak, pair.t_strong, pair.t_weak)
    bounds = {
        name: results.RiskBound(
            value=float(bound.value),
            slack=estimate(moment[f"slack_{name}"]),
            holds=bool(bound.slack >= -ROUNDING),
        )
        for name, bound in found.bounds().items()
    }
    own = {name: estimate(moment[name]) for name in moment if name in results.RiskNumbers.model_fields}
    own |= {name: estimate(blind[name], _UNDEFINED.get(name, "")) for name in _BLIND}
    return results.RiskNumbers(
        **own,
        parts_weak=_parts(found.bias_weak, found.var_weak, found.var_strong, found),
        parts_strong=_parts(found.bias_strong, found.var_strong, found.var_weak, found),
        bounds=bounds,  # type: ignore[arg-type]
        errors=sum(counts.values()),
        inheritance={
            name: results.ErrorShare(count=count, share=estimate(blind[name], _UNDEFINED[name]))
            for name, count in counts.items()
        },  # type: ignore[arg-type]
    )


def _parts(bias: Floats, variance: Floats, other: Floats, found: Moments) -> results.RiskParts:
    known = float(other) > 0
    shared = min(float(found.cov) ** 2 / float(other), float(variance)) if known else None
    return results.RiskParts(
        bias_squared=float(bias) ** 2,
        variance=float(variance),
        shared=shared,
        own=None if shared is None else float(variance) - shared,
    )


def predictors(laboratory: StudyLogits) -> results.Predictors | None:
    """Rank correlations over the study's own settings; none with fewer than ``LEAST_SETTINGS``."""
    if len(laboratory.students) < LEAST_SETTINGS:
        return None
    design = laboratory.context.design
    scaled = {name: done.logits for name, done in laboratory.rescaled.items()}
    raw, calibrated = _points(laboratory, laboratory.logits), _points(laboratory, scaled)
    found = study_points(raw, calibrated, design.resamples, design.seed)
    return results.Predictors(
        settings=[student_name(*one) for one in laboratory.students],
        signals=[
            results.Predictor(
                signal=entry["signal"],
                raw=_correlation(entry["raw"]),
                calibrated=_correlation(entry["calibrated"]),
                verdict=entry["verdict"],
            )
            for entry in found["signals"]
        ],
        **{name: found["support"][name] for name in ("smallest_p", "critical_rho", "critical_rho_holm")},
        headline=found["verdict"],
        sentences=[_SHARED, *found["sentences"]],
    )


def _correlation(entry: dict[str, Any]) -> results.RankCorrelation:
    return results.RankCorrelation(**{name: entry[name] for name in ("rho", "interval", "p", "p_holm")})


def _points(laboratory: StudyLogits, logits: dict[str, Floats]) -> pd.DataFrame:
    """One row a student and seed, as ``signal_table`` gives them; NaN without calibrated logits."""
    rows = []
    for arm, conflict in laboratory.students:
        strong = student_name(arm, conflict)
        found = signals(logits[arm.weak], logits[strong], laboratory.at) if logits else None
        labels = {"setting": strong, "pipeline": "", "dataset": "", "step": 0}
        rows += seed_rows(labels, found, laboratory.context.target.seeds)
    return pd.DataFrame(rows)
