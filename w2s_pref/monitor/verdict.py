"""Finished runs judged: levels and envelopes from the ceilings, the detector's table, and what it says in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from w2s_pref.analysis.stats.basics import number
from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.alarms import Envelope
from w2s_pref.monitor.detector import judge
from w2s_pref.monitor.finished import FEWEST, watched_runs
from w2s_pref.monitor.lead_time import crossings, judge_envelope, reference_level
from w2s_pref.results.preferences import Results

#: Baselines that a monitor without any theory would look at, as the table names them.
RIVALS = ("confidence", "misfit", "loss", "accuracy")


def judge_runs(
    runs: Sequence[tuple[str, Results]],
    horizon: float = 0.2,
    level: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge every signal of finished, watched runs as a detector of BSD crossing its level.

    Args:
        runs: name (a run folder's) and results of each.
        horizon: see ``detector.judge``.
        level: of BSD, for all settings; None: for each setting the greatest BSD of its ceilings, of which it needs 3.
        resamples, seed: of the bootstrap.

    Returns:
        JSON-ready: ``settings`` (one a setting: runs, crossing, level, references, bsd_max, bsd_end), ``detector``
        (``detector.judge``), ``alarms`` (``lead_time.judge_envelope``; empty where no setting has 3 ceilings),
        ``verdict``, ``sentences`` and ``notes`` (what was left out and why).

    Raises:
        W2SError: see ``watched_runs``; no setting with 3 watched ceilings and no level; a horizon outside (0, 1).
    """
    found = watched_runs(runs)
    enough = {s: table for s, table in found.references.items() if table["run"].nunique() >= FEWEST}
    few = [s for s in found.references if s not in enough]
    curves, levels = found.curves, dict.fromkeys(found.references, level)
    if level is None:
        levels = {s: reference_level(table) for s, table in enough.items()}
        curves = curves[~curves["setting"].isin(few)].reset_index(drop=True)
    if few:
        found.notes.append(_few(few, found.references, given=level is not None, judged=bool(levels)))
    if not levels:
        raise W2SError(found.notes[-1])
    envelopes = _envelopes(dict(runs), enough)
    held = [str(name) for name in curves if any(name in each.bands for each in envelopes.values())]
    fixed = {setting: float(value) for setting, value in levels.items() if value is not None}
    detector = judge(curves, fixed if level is None else level, horizon, resamples=resamples, seed=seed)
    return {
        "settings": _settings(curves, fixed, found.references),
        "detector": detector,
        "alarms": judge_envelope(curves, envelopes, fixed, held, resamples, seed) if held else [],
        "verdict": headline(detector),
        "sentences": sentences(detector),
        "notes": found.notes,
    }


def _few(few: Sequence[str], references: Mapping[str, pd.DataFrame], *, given: bool, judged: bool) -> str:
    counts = [f"{setting} ({references[setting]['run'].nunique()})" for setting in few]
    where = f"fewer than {FEWEST} watched trainings on ground truth for {', '.join(counts)}"
    if given:
        return f"{where}: no envelope, so no live alarms are judged there"
    if judged:
        return f"{where}: left out, nothing fixes the level; run more seeds or give --level"
    return f"{where}: nothing fixes the level of BSD that counts as a crossing; run more seeds or give --level"


def _envelopes(runs: Mapping[str, Results], references: Mapping[str, pd.DataFrame]) -> dict[str, Envelope]:
    """One for each setting, with the quantile of its run's recipe."""
    found = {}
    for setting, table in references.items():
        quantile = (runs[setting.partition("/")[0]].recipe.get("monitor") or {}).get("level", 1.0)
        found[setting] = Envelope.fit(table, level=quantile)
    return found


def _settings(
    curves: pd.DataFrame, levels: Mapping[str, float], references: Mapping[str, pd.DataFrame]
) -> list[dict[str, Any]]:
    crossed = crossings(curves, levels)
    rows = []
    for setting, part in curves[curves["fraction"] > 0].groupby("setting", sort=False):
        at = crossed[part["run"].unique()]
        ends = part.sort_values("fraction").groupby("run")["bsd"].last()
        rows.append(
            {
                "setting": str(setting),
                "runs": len(at),
                "crossing": int(at.notna().sum()),
                "first": number(at.min()),
                "level": levels[str(setting)],
                "references": int(references[str(setting)]["run"].nunique()),
                "bsd_max": number(part["bsd"].max()),
                "bsd_end": number(ends.mean()),
            }
        )
    return rows


def headline(detector: Mapping[str, Any]) -> str:
    """The answer in one sentence; "undefined" and "not resolved" are answers."""
    crossing, runs = detector["crossing_runs"], detector["runs"]
    if crossing == 0:
        return f"Undefined: none of {runs} runs crosses its level of BSD, so there is nothing to foretell."
    if detector["positive_looks"] == 0:
        return (
            f"Undefined: {crossing} of {runs} runs cross, but none was looked at within the horizon before it crossed."
        )
    rows = [row for row in detector["signals"] if not row["baseline"] and not row["needs_labels"]]
    good = [row for row in rows if row["verdict"] == "foretells"]
    if not good:
        if known := [row["signal"] for row in detector["signals"] if row["baseline"] and _foretells_unlabelled(row)]:
            only = f"only {', '.join(known)}, which {'are baselines' if len(known) > 1 else 'is a baseline'}"
            told = f"no signal without labels foretells a crossing, {only}"
            return f"Not resolved: {told} ({crossing} of {runs} runs cross)."
        words = "Undefined" if all(row["verdict"] == "undefined" for row in rows) else "Not resolved"
        return f"{words}: no signal without labels foretells a crossing ({crossing} of {runs} runs cross)."
    better = [row["signal"] for row in good if _beats(row)]
    rivals = ", ".join(name for name in RIVALS if any(name in row["against"] for row in good))
    told = f"; none is resolved as better than every one of {rivals}" if rivals else ""
    if better:
        told = f"; better than all of {rivals}: {', '.join(better)}"
    names = ", ".join(row["signal"] for row in good)
    return f"Foretell a crossing without labels: {names}{told} ({crossing} of {runs} runs cross)."


def _foretells_unlabelled(row: Mapping[str, Any]) -> bool:
    return row["verdict"] == "foretells" and not row["needs_labels"]


def _beats(row: Mapping[str, Any]) -> bool:
    rivals = [row["against"][name] for name in RIVALS if name in row["against"]]
    return bool(rivals) and all(each["verdict"] == "better" for each in rivals)


def sentences(detector: Mapping[str, Any]) -> list[str]:
    """What the numbers of runs and signals can support; nothing where no run crosses after a look."""
    settings, tried = detector["settings"], len(detector["signals"])
    if not detector["positive_looks"]:
        return []
    told = [
        f"{tried} signals are looked at, each with an interval of 95 %: about {0.05 * tried:.1f} of them stand apart "
        "from .5 by chance alone.",
        f"Intervals resample runs, and runs of a setting are alike: there are {settings} settings. See what is left "
        "when one is left out.",
    ]
    if settings == 1:
        told[1] = (
            "All runs are of one setting: nothing is known of others, and no threshold comes from quiet runs elsewhere."
        )
    return told
