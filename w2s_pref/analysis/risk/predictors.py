"""Which signal goes with blind-spot deception over settings, and what that many settings can show.

Settings are the independent units. Seeds and checkpoints of a setting share data and models, so p values are computed
on one mean for each setting; the correlation over all points stands beside them with intervals that resample settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.risk.blind_spot import check_thresholds, confidence, confident_errors, uncertain
from w2s_pref.analysis.risk.sentences import predictor_headline, predictor_sentences, signal_verdict
from w2s_pref.analysis.risk.settings import LABELS, blocks, validate_settings
from w2s_pref.analysis.scores.calibration import cross_fitted
from w2s_pref.analysis.scores.panel import check_resamples, panel
from w2s_pref.analysis.stats import ranks
from w2s_pref.analysis.stats.basics import credit, number, sigmoid
from w2s_pref.analysis.stats.families import holm
from w2s_pref.analysis.stats.stat import DIFFERENCE, Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.results.risk import SIGNALS, TARGET


@dataclass(frozen=True)
class Thresholds:
    """On the confidences of the strong and the weak model."""

    strong: float = 0.75
    weak: float = 0.75

    def __post_init__(self) -> None:
        check_thresholds(self.strong, self.weak)


def signals(weak: Floats, strong: Floats, at: Thresholds) -> dict[str, Floats]:
    """Every one of ``SIGNALS`` and the ``TARGET`` for each of K runs, from logits of shape (K, N).

    The logit scale is the root mean square of the strong model's logits, which does not depend on orientation.
    """
    w, s = sigmoid(weak), sigmoid(strong)
    errors = confident_errors(s, at.strong)
    w_off, s_off = (p - p.mean(axis=1, keepdims=True) for p in (w, s))
    return {
        "var_strong": np.mean(s_off**2, axis=1),
        "cov": np.mean(s_off * w_off, axis=1),
        "var_weak": np.mean(w_off**2, axis=1),
        "bias_strong": s.mean(axis=1) - 1,
        "misfit": np.mean((s - w) ** 2, axis=1),
        "mean_confidence": confidence(s).mean(axis=1),
        "logit_scale": np.sqrt(np.mean(strong**2, axis=1)),
        "confident_errors": errors.mean(axis=1),
        "accuracy": credit(strong).mean(axis=1),
        TARGET: (errors & uncertain(w, at.weak)).mean(axis=1),
    }


def signal_table(
    frame: pd.DataFrame, weak: str, strong: str, at: Thresholds, objective: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """One row for each setting, step and seed: raw, after temperature calibration, and warnings.

    Columns of both tables: ``setting, pipeline, dataset, step, seed``, every one of ``SIGNALS``, and ``bsd``.

    Temperatures are cross-fitted within each setting, step and seed (see ``cross_fitted``); a setting of one group has
    no calibrated row values (NaN).

    Args:
        frame: a table from ``validate_settings``.
        weak, strong: model names, the same in every setting.
        at: thresholds of BSD and of confident errors.
        objective: which rows, where a setting holds several objectives.
    """
    raw, calibrated, warned = list[dict[str, Any]](), list[dict[str, Any]](), list[str]()
    for labels, part in blocks(frame):
        data = panel(part, (weak, strong), objective)
        logits = [data.logits(model) for model in (weak, strong)]
        rescaled = [cross_fitted(x, data.groups) for x in logits]
        after = [done.logits for done in rescaled if done is not None]
        raw += seed_rows(labels, signals(logits[0], logits[1], at), data.seeds)
        calibrated += seed_rows(labels, signals(after[0], after[1], at) if after else None, data.seeds)
        where = f"setting {labels['setting']!r}, step {labels['step']}"
        warned += [f"{where}: {text}" for text in _remarks(data.warnings, rescaled, data.size)]
    columns = [*LABELS, "seed", *SIGNALS, TARGET]
    return pd.DataFrame(raw, columns=columns), pd.DataFrame(calibrated, columns=columns), warned


def seed_rows(
    labels: Mapping[str, Any], found: Mapping[str, Floats] | None, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """One row a seed: labels, and what ``signals`` found for it; NaN where nothing was."""
    names = (*SIGNALS, TARGET)
    return [
        {**labels, "seed": seed, **{name: float("nan") if found is None else float(found[name][k]) for name in names}}
        for k, seed in enumerate(seeds)
    ]


def _remarks(warnings: list[str], rescaled: list[Any], items: int) -> list[str]:
    found = list(warnings)
    if None in rescaled:
        found.append("one group only, so no calibrated values.")
    elif any(r.at_limit for r in rescaled):
        found.append("a fitted temperature is at the end of its range; calibrated values mean little.")
    if items < 30:
        found.append(f"only {items} items.")
    return found


#: name of a partial correlation -> the signal held constant
PARTIALS = {"partial_confidence": "mean_confidence", "partial_scale": "logit_scale"}


def predictor_study(
    frame: pd.DataFrame,
    weak: str,
    strong: str,
    t_strong: float = 0.75,
    t_weak: float = 0.75,
    resamples: int = 2000,
    seed: int = 0,
    *,
    objective: str | None = None,
) -> dict[str, Any]:
    """Rank correlation of every candidate signal with BSD over settings x seeds x checkpoints, raw and calibrated.

    Args:
        frame: a score table with a column ``setting`` and optionally ``pipeline``, ``dataset``, ``step``.
        weak, strong: model names, the same in every setting.
        t_strong, t_weak: thresholds of BSD.
        resamples, seed: of the bootstrap over settings and of the permutations above nine settings.
        objective: which rows, where settings hold several objectives.

    Returns:
        A JSON-ready dictionary: ``support`` (what that many settings can show), ``signals`` (one entry each, with
        ``raw``, ``calibrated`` and a verdict), ``points``, sentences and warnings. Undefined values are None.

    Raises:
        W2SError: bad table, unknown model, options out of range.
    """
    check_resamples(resamples)
    at = Thresholds(t_strong, t_weak)
    clean = validate_settings(frame)
    raw, calibrated, warned = signal_table(clean, weak, strong, at, objective)
    return {
        "models": {"weak": weak, "strong": strong},
        "thresholds": {"ts": t_strong, "tw": t_weak},
        "resamples": resamples,
        "settings": sorted(raw["setting"].unique()),
        "pipelines": _values(raw, "pipeline"),
        "datasets": _values(raw, "dataset"),
        "n_points": len(raw),
        **study_points(raw, calibrated, resamples, seed),
        "points": _points(raw, calibrated),
        "warnings": [
            *_shared_weak(clean, weak),
            *_constant_target(raw, "raw"),
            *_constant_target(calibrated, "calibrated"),
            *warned,
        ],
    }


def study_points(raw: pd.DataFrame, calibrated: pd.DataFrame, resamples: int, seed: int) -> dict[str, Any]:
    """``support``, ``signals``, ``verdict`` and ``sentences`` of the study, from the two tables of points.

    Args:
        raw, calibrated: as ``signal_table`` gives them.
        resamples, seed: see ``predictor_study``.
    """
    found = {"raw": correlations(raw, resamples, seed), "calibrated": correlations(calibrated, resamples, seed)}
    signals = [
        {
            "signal": name,
            "raw": found["raw"][name],
            "calibrated": found["calibrated"][name],
            "verdict": signal_verdict(found["raw"][name], found["calibrated"][name]),
        }
        for name in SIGNALS
    ]
    # of a signal that is constant over the settings there is nothing to test or to correct for
    tests = max(sum(each["p"] is not None for each in table.values()) for table in found.values())
    support = ranks.support(raw["setting"].nunique(), max(tests, 1))
    return {
        "support": support,
        "signals": signals,
        "verdict": predictor_headline(signals, SIGNALS, tests),
        "sentences": predictor_sentences(support, len(raw), tests, signals),
    }


def correlations(points: pd.DataFrame, resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    """For each signal its rank correlation with the target over settings and over points; see ``predictor_study``.

    Args:
        points: one row a setting, step and seed, from ``signal_table``; rows with NaN are left out.
    """
    known = points.dropna(subset=[*SIGNALS, TARGET])
    settings = known.groupby(list(LABELS[:3]), sort=True, as_index=False)[[*SIGNALS, TARGET]].mean()
    if len(settings) < 3:
        return {name: dict(_UNDEFINED) for name in SIGNALS}
    codes = pd.factorize(known["setting"], sort=True)[0].astype(np.int64)
    by_setting = ranks.cluster_weights(np.arange(len(settings), dtype=np.int64), resamples, seed)
    by_point = ranks.cluster_weights(codes, resamples, seed)
    found = {}
    for name in SIGNALS:
        x, y = (settings[n].to_numpy(dtype=np.float64) for n in (name, TARGET))
        found[name] = {
            "rho": number(ranks.spearman(x, y)),
            "interval": _interval(ranks.weighted_spearman(x, y, by_setting), ranks.spearman(x, y), len(settings)),
            "p": ranks.spearman_p(x, y, seed),
            **_over_points(known[[name, TARGET]].to_numpy(np.float64), by_point, len(settings)),
            **{p: _partial(x, y, settings[c].to_numpy(np.float64), by_setting) for p, c in PARTIALS.items()},
            "leave_out": _leave_out(settings, name),
        }
    for name, p in zip(found, holm([entry["p"] for entry in found.values()]), strict=True):
        found[name]["p_holm"] = p
    return found


_UNDEFINED: dict[str, Any] = {
    "rho": None,
    "interval": None,
    "p": None,
    "rho_points": None,
    "interval_points": None,
    **{name: {"rho": None, "interval": None} for name in PARTIALS},
    "leave_out": {},
    "p_holm": None,
}


def _interval(samples: Floats, value: float, settings: int) -> list[float] | None:  # widened for few settings
    return Stat.of_items(value, samples, settings, DIFFERENCE).pair()


def _over_points(points: Floats, weights: Floats, settings: int) -> dict[str, Any]:
    x, y = points.T
    interval = _interval(ranks.weighted_spearman(x, y, weights), ranks.spearman(x, y), settings)
    return {"rho_points": number(ranks.spearman(x, y)), "interval_points": interval}


def _partial(x: Floats, y: Floats, control: Floats, weights: Floats) -> dict[str, Any]:
    """Over settings; undefined for the control itself, and below four settings, where nothing is left to correlate."""
    if len(x) < 4:
        return {"rho": None, "interval": None}
    rho = float(ranks.weighted_partial(x, y, control, np.ones((1, len(x))))[0])
    return {"rho": number(rho), "interval": _interval(ranks.weighted_partial(x, y, control, weights), rho, len(x))}


def _leave_out(settings: pd.DataFrame, name: str) -> dict[str, dict[str, float | None]]:
    """rho over the other settings with one pipeline or data set left out; one setting where neither is labelled."""
    x, y = (settings[n].to_numpy(dtype=np.float64) for n in (name, TARGET))
    found: dict[str, dict[str, float | None]] = {}
    for factor in [f for f in ("pipeline", "dataset") if settings[f].nunique() > 1] or ["setting"]:
        values = settings[factor].to_numpy()
        kept = {str(v): values != v for v in sorted(settings[factor].unique())}
        found[factor] = {v: number(ranks.spearman(x[keep], y[keep])) for v, keep in kept.items()}
    return found


def _constant_target(points: pd.DataFrame, kind: str) -> list[str]:
    """A sentence where BSD does not vary, so that nothing can be correlated with it."""
    found = points[TARGET].dropna().unique()
    if len(found) != 1:
        return []
    return [f"BSD ({kind}) is {found[0]:.3f} in every setting: its correlations are undefined."]


def _shared_weak(frame: pd.DataFrame, weak: str) -> list[str]:
    """A sentence where settings have the same weak scores on the same items, as arms and conflicts of one run have."""
    rows = frame[frame["model"] == weak].sort_values(["setting", "step", "id", "seed"], ignore_index=True)
    prints = pd.util.hash_pandas_object(rows[["id", "seed", "delta"]], index=False).to_numpy()
    settings = rows.groupby("setting", sort=True).indices
    different = len({prints[place].tobytes() for place in settings.values()})
    if different == len(settings):
        return []
    return [
        f"{len(settings)} settings, but {different} set{'s' if different > 1 else ''} of weak scores: settings that "
        "share weak model and test items are not independent, so p values and intervals claim more than is known."
    ]


def _values(points: pd.DataFrame, name: str) -> list[str]:
    return sorted(str(v) for v in points[name].unique() if v != "")


def _points(raw: pd.DataFrame, calibrated: pd.DataFrame) -> list[dict[str, Any]]:
    """Every point with its signals, for figures."""
    names = (*SIGNALS, TARGET)
    return [
        {
            **{key: a[key] for key in (*LABELS, "seed")},
            "raw": {name: number(a[name]) for name in names},
            "calibrated": {name: number(b[name]) for name in names},
        }
        for a, b in zip(raw.to_dict("records"), calibrated.to_dict("records"), strict=True)
    ]
