"""``risk_summary``: from a score table to every risk quantity of one weak and one strong model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.risk import sentences
from w2s_pref.analysis.risk.blind_spot import blind_stats, check_thresholds, inheritance_counts, threshold_grid
from w2s_pref.analysis.risk.moments import (
    ROUNDING,
    Moments,
    bregman_kl,
    bregman_squared,
    moment_stats,
    reverse_kl,
    total_covariance,
)
from w2s_pref.analysis.scores.calibration import Rescaled, cross_fitted, fitted_elsewhere
from w2s_pref.analysis.scores.panel import Panel, check_resamples, panel
from w2s_pref.analysis.scores.table import validate_scores
from w2s_pref.analysis.stats.basics import number, sigmoid
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.seeds import READINGS
from w2s_pref.analysis.stats.stat import Stat
from w2s_pref.core.arrays import Floats

BLIND = ("bsd", "bsd_cond", "bsd_soft", "confident_errors", "blind_spot_share", "elsewhere", "excess")
_RANDOM = {"var_strong": "random_var_strong", "cov": "random_cov"}
_NESTED = ("slack_", "random_")


@dataclass(frozen=True)
class WeakAndStrong:
    """p of the true answer under one weak and one strong model, (K, N), with thresholds and resamples."""

    weak: Floats
    strong: Floats
    draw: Resampler
    t_strong: float
    t_weak: float

    def stats(self) -> tuple[dict[str, Stat], dict[str, Stat]]:
        """Moments and blind-spot shares."""
        blind = blind_stats(self.strong, self.weak, self.draw, self.t_strong, self.t_weak)
        return moment_stats(self.weak, self.strong, self.draw), blind


def risk_summary(
    scores: pd.DataFrame,
    weak: str,
    strong: str,
    t_strong: float = 0.75,
    t_weak: float = 0.75,
    resamples: int = 2000,
    seed: int = 0,
    *,
    ceiling: str | None = None,
    calibration: pd.DataFrame | None = None,
    objective: str | None = None,
) -> dict[str, Any]:
    """Bias, variance, covariance, bounds and blind-spot deception (spec: Osooli et al., arXiv 2604.25077).

    Args:
        scores: a score table (see ``read_scores``) with the models ``weak`` and ``strong``.
        t_strong, t_weak: thresholds on the confidence max(p, 1 - p), in [.5, 1].
        resamples, seed: of the bootstrap.
        ceiling: f* of the reverse-KL terms; undefined without one.
        calibration: score table of other items to fit temperatures on; without one they are cross-fitted by group.
        objective: which rows, where a table holds several objectives.

    Returns:
        A JSON-ready dictionary (docs/risk.md lists the keys); undefined values are None, counts are rows.

    Raises:
        W2SError: bad table, unknown model, options out of range.
    """
    check_thresholds(t_strong, t_weak)
    check_resamples(resamples)
    clean = validate_scores(scores)
    data = panel(clean, [name for name in (weak, strong, ceiling) if name is not None], objective)
    raw = WeakAndStrong(data.p(weak), data.p(strong), Resampler(data.groups, resamples, seed), t_strong, t_weak)
    models = {"weak": weak, "strong": strong, "ceiling": ceiling}
    asked = {"models": models, "thresholds": {"ts": t_strong, "tw": t_weak}, "resamples": resamples, **data.counts()}
    rescaled = _rescale(data, clean, calibration, (weak, strong), objective)
    return {**asked, **_quantities(data, raw, models, *rescaled)}


def _quantities(
    data: Panel, raw: WeakAndStrong, models: dict[str, Any], scaled: dict[str, Rescaled], warned: list[str]
) -> dict[str, Any]:
    """Every number of one pair of models, raw and calibrated, the verdict, sentences and warnings."""
    weak, strong, ceiling = models.values()
    measured, blind = raw.stats()
    after, after_blind = _calibrated(scaled, raw, weak, strong)
    kl = None
    if ceiling is not None:
        kl = reverse_kl(data.logits(ceiling), data.logits(strong), data.logits(weak), raw.draw)
    temperature = scaled[strong].temperature if scaled else None
    return {
        **_measured(raw, measured, blind),
        "grid": [
            {"ts": p.t_strong, "tw": p.t_weak, **p.model_dump(exclude={"t_strong", "t_weak"})}
            for p in threshold_grid(raw.strong, raw.weak)
        ],
        "calibrated": after,
        "over_seeds": _over_seeds(data, weak, strong),
        "teachers": _teachers(data, weak),
        "reverse_kl": _reverse_kl(kl),
        "per_seed": {k: [number(v) for v in s.per_seed] for k, s in {**measured, **blind}.items()},
        "verdict": sentences.deception_verdict(blind),
        "sentences": sentences.verdicts(measured, blind, after_blind.get("bsd"), temperature, kl),
        "warnings": [*data.warnings, *sentences.cautions(data, weak, strong, raw.t_strong, raw.t_weak), *warned],
        "notes": [*data.notes(), *sentences.seeds_notes(data.seeds, data.broadcast & {weak, strong})],
    }


def _measured(pair: WeakAndStrong, measured: dict[str, Stat], blind: dict[str, Stat]) -> dict[str, Any]:
    """Everything that is computed in the same way before and after calibration, with both readings' intervals."""
    counts = inheritance_counts(pair.strong, pair.weak, pair.t_strong, pair.t_weak)
    core = (measured[n] for n in ("mean_weak", "mean_strong", "var_weak", "var_strong", "cov"))
    bounds = Moments(*(np.asarray(stat.value) for stat in core)).bounds()
    shares = {name: {"count": count, "share": number(blind[name].value)} for name, count in counts.items()}
    return {
        **_nested(measured, blind, lambda stat: number(stat.value)),
        "bounds": {
            name: {"value": float(b.value), "slack": float(b.slack), "holds": bool(b.slack >= -ROUNDING)}
            for name, b in bounds.items()
        },
        "inheritance": {"errors": sum(counts.values()), **shares},
        **{
            name: {
                **_nested(measured, blind, read),
                "bounds": {bound: read(measured[f"slack_{bound}"]) for bound in bounds},
                "inheritance": {owner: read(blind[owner]) for owner in counts},
            }
            for name, read in READINGS.items()
        },
    }


def _nested(measured: dict[str, Stat], blind: dict[str, Stat], form: Callable[[Stat], Any]) -> dict[str, Any]:
    return {
        **{name: form(stat) for name, stat in measured.items() if not name.startswith(_NESTED)},
        **{name: form(blind[name]) for name in BLIND},
        "random_orientation": {name: form(measured[key]) for name, key in _RANDOM.items()},
    }


def _rescale(
    data: Panel, scores: pd.DataFrame, calibration: pd.DataFrame | None, models: tuple[str, str], objective: str | None
) -> tuple[dict[str, Rescaled], list[str]]:
    """Both models after calibration (empty where there is no other half), and sentences about it."""
    warned = []
    if calibration is None:
        fitted = {model: cross_fitted(data.logits(model), data.groups) for model in models}
        scaled = {model: done for model, done in fitted.items() if done is not None}
    else:
        clean = validate_scores(calibration)
        scaled = {model: fitted_elsewhere(data, panel(clean, models, objective), model) for model in models}
        shared = _groups(clean, models, objective) & _groups(scores, models, objective)
        if shared:
            warned.append(f"{len(shared)} groups of the calibration table are in the score table as well.")
    for model, done in scaled.items():
        if done.at_limit:
            warned.append(
                f"Model {model!r}: its fitted temperature is at the end of its range (errors none or by tiny margins "
                "only, or no knowledge at all); calibrated numbers mean little."
            )
    return scaled, warned


def _groups(scores: pd.DataFrame, models: tuple[str, str], objective: str | None) -> set[str]:
    """Groups of the rows that are read."""
    used = scores["model"].isin(models)
    if objective is not None and "objective" in scores:
        used &= scores["objective"] == objective
    return set(scores["group"][used])


def _calibrated(
    scaled: dict[str, Rescaled], raw: WeakAndStrong, weak: str, strong: str
) -> tuple[dict[str, Any] | None, dict[str, Stat]]:
    """The same quantities after calibration, temperatures taken as given, and the blind-spot shares with bootstraps."""
    if not scaled:
        return None, {}
    fits = {"weak": scaled[weak], "strong": scaled[strong]}
    p_weak, p_strong = sigmoid(scaled[weak].logits), sigmoid(scaled[strong].logits)
    pair = WeakAndStrong(p_weak, p_strong, raw.draw, raw.t_strong, raw.t_weak)
    measured, blind = pair.stats()
    return {
        "temperature": {role: done.temperature for role, done in fits.items()},
        "temperatures": {role: done.temperatures.tolist() for role, done in fits.items()},
        **_measured(pair, measured, blind),
    }, blind


def _over_seeds(data: Panel, weak: str, strong: str) -> dict[str, Any] | None:
    """Laws of total variance and covariance; None with one seed, and ``within`` None where a model has one."""
    if len(data.seeds) == 1:
        return None
    pairs = {"var_weak": (weak, weak), "var_strong": (strong, strong), "cov": (strong, weak)}
    found = {}
    for name, models in pairs.items():
        parts = total_covariance(*(data.p(m) for m in models))._asdict()
        known = not data.broadcast & set(models)
        found[name] = {key: value if known or key != "within" else None for key, value in parts.items()}
    return found


def _teachers(data: Panel, weak: str) -> dict[str, Any] | None:
    """Bregman decomposition over the weak model's seeds, target y = 1; None with one seed."""
    if len(data.seeds) == 1 or weak in data.broadcast:
        return None
    ones = np.ones(data.size)
    squared, kl = bregman_squared(ones, data.p(weak)), bregman_kl(ones, data.logits(weak))
    return {"squared": squared._asdict(), "kl": kl._asdict()}


def _reverse_kl(stats: dict[str, Stat] | None) -> dict[str, Any] | None:
    """The three terms, the slack, whether the inequality holds, and intervals; None without a ceiling."""
    if stats is None:
        return None
    slack = stats["slack"].value
    return {
        **{name: number(stat.value) for name, stat in stats.items()},
        "holds": bool(slack >= -ROUNDING),
        **{key: {name: read(stat) for name, stat in stats.items()} for key, read in READINGS.items()},
    }
