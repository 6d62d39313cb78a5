"""Alarms set against what happened: when each run crossed, when the alarm came, and how often it came for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.stats.stat import SHARE, Stat
from w2s_pref.core.arrays import Floats
from w2s_pref.monitor.alarms import FALLING, STATISTICS, Envelope


def crossings(curves: pd.DataFrame, level: float | Mapping[str, float]) -> pd.Series:
    """Share of the training at which each run's BSD is first above the level, after its start; NaN for never.

    ``level`` is one number, or one for each setting.
    """
    height = curves["setting"].map(dict(level)) if isinstance(level, Mapping) else level
    seen = curves[(curves["fraction"] > 0) & (curves["bsd"] > height)]
    runs = pd.Index(sorted(curves["run"].unique()), name="run")
    return seen.groupby("run")["fraction"].min().reindex(runs).astype(float)


def reference_level(curves: pd.DataFrame) -> float:
    """The greatest BSD that any reference run shows after its start: a level that is set before looking at others."""
    return float(curves.loc[curves["fraction"] > 0, "bsd"].max())


def threshold_alarms(curves: pd.DataFrame, signal: str, crossed: pd.Series) -> pd.Series:
    """When each run's raw signal first passes its setting's threshold; NaN for never, -1 where there is none.

    The threshold of a setting is the most extreme value that the quiet runs (those that never cross) of all *other*
    settings reach after their start.
    """
    trained = curves[curves["fraction"] > 0]
    x = trained[signal] * (-1 if signal in FALLING else 1)
    quiet = trained["run"].map(crossed).isna()
    alarms = pd.Series(np.nan, index=crossed.index)
    for setting in trained["setting"].unique():
        top = x[quiet & (trained["setting"] != setting)].max()
        here = trained["setting"] == setting
        if pd.isna(top):
            alarms[trained.loc[here, "run"].unique()] = -1.0
            continue
        first = trained[here & (x > top)].groupby("run")["fraction"].min()
        alarms[first.index] = first
    return alarms


def envelope_alarms(curves: pd.DataFrame, envelope: Envelope, signal: str, statistic: str) -> pd.Series:
    """When the live alarm of one signal and statistic would have come in each run; NaN never, -1 without a band."""
    if signal not in envelope.bands:
        return pd.Series(-1.0, index=pd.Index(sorted(curves["run"].unique()), name="run"))
    found = {}
    for run, curve in curves.groupby("run", sort=True):
        curve = curve.sort_values("fraction")
        steps = {a.step for a in envelope.alarms(curve, [signal]) if a.statistic == statistic}
        found[run] = float(curve.loc[curve["step"].isin(steps), "fraction"].min()) if steps else np.nan
    return pd.Series(found).rename_axis("run")


def alarm_row(alarms: pd.Series, crossed: pd.Series, resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Counts of what the alarms of runs were worth.

    Returns:
        crossing, detected (alarm no later than the crossing), detected_before (strictly earlier), lead (median share
        of the training from alarm to crossing over the detected runs, None without any), lead_interval (95 % over
        these runs, None below two), quiet (runs that never cross), false_alarms (of these, those with an alarm),
        false_alarms_per_run (None without quiet runs).
    """
    judged = alarms[alarms != -1.0]
    at = crossed[judged.index]
    lead = (at - judged)[at.notna()]
    early = lead[lead >= 0]
    quiet = judged[at.isna()]
    false = int(quiet.notna().sum())
    return {
        "crossing": int(at.notna().sum()),
        "detected": len(early),
        "detected_before": int((early > 0).sum()),
        "lead": float(early.median()) if len(early) else None,
        "lead_interval": _median(early.to_numpy(dtype=np.float64), resamples, seed).pair(),
        "quiet": len(quiet),
        "false_alarms": false,
        "false_alarms_per_run": false / len(quiet) if len(quiet) else None,
    }


def _median(leads: Floats, resamples: int, seed: int) -> Stat:
    """The median over runs, which are what is resampled."""
    if not len(leads):
        return Stat.of_items(float("nan"), np.full(resamples, np.nan), 0, SHARE)
    drawn = np.random.default_rng(seed).integers(0, len(leads), (resamples, len(leads)))
    return Stat.of_items(float(np.median(leads)), np.median(leads[drawn], axis=1), len(leads), SHARE)


def judge_envelope(
    curves: pd.DataFrame,
    envelope: Envelope | Mapping[str, Envelope],
    level: float | Mapping[str, float],
    signals: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """``alarm_row`` of every signal and statistic, on runs that no envelope was fitted to.

    Args:
        envelope: one for all, or one for each setting; runs of a setting without one are not judged.
        level: see ``crossings``.
        signals: which ones; all that an envelope holds when None.
        resamples, seed: of the bootstrap over runs.
    """
    crossed = crossings(curves, level)
    held = {str(s): envelope for s in curves["setting"].unique()} if isinstance(envelope, Envelope) else envelope
    judged = curves[curves["setting"].isin(list(held))]
    rows = []
    for signal in signals or list(dict.fromkeys(name for each in held.values() for name in each.bands)):
        for statistic in STATISTICS:
            parts = [
                envelope_alarms(part, held[str(setting)], signal, statistic)
                for setting, part in judged.groupby("setting")
            ]
            counts = alarm_row(pd.concat(parts), crossed, resamples, seed)
            rows.append({"signal": signal, "statistic": statistic, **counts})
    return rows
