"""A signal judged as a detector: does its value now warn that blind-spot deception will cross a level soon?

The unit is a look at a run that has not crossed the level yet; it counts as positive where the run crosses within the
horizon. Looks so late that the horizon ends after the training are left out, crossing or not, and so is the look before
training. Looks of one run hang together, so intervals resample whole runs. Every signal keeps the direction declared
before (``alarms.FALLING``): an AUROC below one half is a signal that points the wrong way, not one to be turned round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.analysis.stats.basics import divide, number
from w2s_pref.analysis.stats.seeds import side
from w2s_pref.analysis.stats.stat import SHARE, Stat
from w2s_pref.core.arrays import Bools, Floats, Ints
from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.alarms import FALLING
from w2s_pref.monitor.lead_time import alarm_row, crossings, threshold_alarms
from w2s_pref.monitor.signals import LABELLED

#: What a monitor without any theory would look at; ``fraction`` is the clock alone.
BASELINES = ("confidence", "misfit", "loss", "accuracy", "fraction")
KEYS = ("run", "setting", "step", "fraction", "bsd")
NAMES = {"fraction": "time"}
#: How far two shares of a training may be apart by rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class AtRisk:
    """Looks at risk: run (L,) as a code, positive (L,), and the signals turned so that more is worse (L, S)."""

    run: Ints
    positive: Bools
    values: Floats
    n_runs: int

    def of_runs(self, runs: Bools) -> AtRisk:
        """Only the looks at some of the runs."""
        inside = runs[self.run]
        return AtRisk(self.run[inside], self.positive[inside], self.values[inside], self.n_runs)


def judge(
    curves: pd.DataFrame,
    level: float | Mapping[str, float],
    horizon: float = 0.2,
    signals: Sequence[str] | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Every signal's AUROC, its gain over the baselines, and the alarms it would have raised, as a JSON-ready table.

    Args:
        curves: run, setting, step, fraction, bsd and the signals, one row a look.
        level: BSD above this is a crossing; set before looking at these runs. One for all, or one for each setting.
        horizon: d, as a share of the training, in (0, 1).
        signals: candidates; all numeric columns when None. Baselines that are there are always judged.
        resamples, seed: of the bootstrap over runs.

    Returns:
        ``level, horizon, runs, crossing_runs, settings, looks, positive_looks`` and ``signals``, a list of
            signal; baseline, needs_labels (bool); auroc, interval, verdict ("foretells", "points the wrong way",
            "not resolved", "undefined"); left_out (setting -> AUROC without it); against (baseline -> difference,
            interval, verdict); and alarms, whose thresholds come from the quiet runs of the other settings
            (``lead_time.alarm_row``).

    Raises:
        W2SError: a missing column, no runs, or a horizon outside (0, 1).
    """
    _check(curves, horizon)
    names = _names(curves, signals)
    crossed = crossings(curves, level)
    looks = _at_risk(curves, crossed, horizon, names)
    settings = curves.groupby("run", sort=True)["setting"].first()
    draws = _draws(looks.n_runs, resamples, seed)
    areas = {name: _area(looks, column, draws) for column, name in enumerate(names)}
    rows = [
        {
            **_beside_others(name, areas),
            "left_out": _left_out(looks, column, settings),
            "alarms": alarm_row(threshold_alarms(curves, name, crossed), crossed, resamples, seed),
        }
        for column, name in enumerate(names)
    ]
    counts = {"runs": len(crossed), "crossing_runs": int(crossed.notna().sum()), "settings": int(settings.nunique())}
    looked = {"looks": len(looks.run), "positive_looks": int(looks.positive.sum())}
    return {"level": level, "horizon": horizon, **counts, **looked, "signals": rows}


def _beside_others(name: str, areas: dict[str, Stat]) -> dict[str, Any]:
    """What a signal is, its AUROC beside chance, and beside the baselines'."""
    return {
        "signal": NAMES.get(name, name),
        "baseline": name in BASELINES,
        "needs_labels": name in LABELLED,
        **_estimate(areas[name], 0.5, ("foretells", "points the wrong way")),
        "against": _against(areas, name),
    }


def _left_out(looks: AtRisk, column: int, settings: pd.Series) -> dict[str, float | None]:
    """AUROC of a signal without each setting."""
    return {str(s): number(_auroc(looks.of_runs((settings != s).to_numpy()), column)) for s in settings.unique()}


def _check(curves: pd.DataFrame, horizon: float) -> None:
    absent = [name for name in KEYS if name not in curves.columns]
    if absent:
        raise W2SError(f"curves: no column {absent[0]!r}; give {', '.join(KEYS)} and the signals")
    if curves.empty:
        raise W2SError("curves: no runs; judge at least a few that cross the level and a few that do not")
    if not 0 < horizon < 1:
        raise W2SError(f"horizon is {horizon}; give a share of the training between 0 and 1")


def _names(curves: pd.DataFrame, signals: Sequence[str] | None) -> list[str]:
    """Candidates first, then baselines; BSD itself, which needs the truth that an alarm does without, last of all."""
    found = [str(c) for c in curves.select_dtypes("number").columns if c not in {"run", "seed", "step"}]
    wanted = [name for name in found if name not in BASELINES and name != "bsd"] if signals is None else list(signals)
    absent = [name for name in wanted if name not in found]
    if absent:
        raise W2SError(f"curves: no signal {absent[0]!r}; there are {', '.join(found)}")
    more = [name for name in (*BASELINES, "bsd") if name in found and name not in wanted]
    return [*wanted, *more]


def _at_risk(curves: pd.DataFrame, crossed: pd.Series, horizon: float, names: list[str]) -> AtRisk:
    """Looks at risk at which every signal is defined; signals undefined at all of them stay, as NaN."""
    code = {run: number for number, run in enumerate(crossed.index)}
    at = curves["run"].map(crossed).fillna(np.inf).to_numpy(dtype=float)
    fraction = curves["fraction"].to_numpy(dtype=float)
    risk = (fraction > 0) & (fraction < at) & (fraction + horizon <= 1 + ROUNDING)
    values = curves[names].to_numpy(dtype=float) * np.array([-1.0 if name in FALLING else 1.0 for name in names])
    defined = np.isfinite(values)
    somewhere = defined[risk].any(axis=0)
    risk &= defined[:, somewhere].all(axis=1)
    run = curves["run"].map(code).to_numpy(dtype=np.int64)
    positive = at <= fraction + horizon + ROUNDING
    return AtRisk(run[risk], positive[risk], values[risk], len(code))


def auroc(positive: Floats, negative: Floats) -> float:
    """P(a positive's value is above a negative's) + P(equal) / 2; NaN where there are none of one kind."""
    if not positive.size or not negative.size:
        return float("nan")
    return float(_wins(positive, negative).mean())


def _wins(positive: Floats, negative: Floats) -> Floats:
    above = positive[:, None] > negative[None, :]
    return np.asarray(above + 0.5 * (positive[:, None] == negative[None, :]), dtype=np.float64)


def _auroc(looks: AtRisk, column: int) -> float:
    x = looks.values[:, column]
    if not np.isfinite(x).all():
        return float("nan")
    return auroc(x[looks.positive], x[~looks.positive])


def _draws(n_runs: int, resamples: int, seed: int) -> Floats:
    """(1 + resamples, runs) how often each run counts; the first row is the data themselves."""
    drawn = np.random.default_rng(seed).multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=resamples)
    return np.concatenate([np.ones((1, n_runs)), drawn.astype(np.float64)])


def _area(looks: AtRisk, column: int, draws: Floats) -> Stat:
    """AUROC with whole runs as the units that are resampled: those that have looks at risk.

    With W[r, q] the wins of run r's positives over run q's negatives it is d' W d / ((positives in d)(negatives in d))
    under draw d.
    """
    found = _under(looks, column, draws)
    return Stat.of_items(float(found[0]), found[1:], len(np.unique(looks.run)), SHARE)


def _under(looks: AtRisk, column: int, draws: Floats) -> Floats:
    x, positive = looks.values[:, column], looks.positive
    if not np.isfinite(x).all():
        return np.full(len(draws), np.nan)
    member = np.eye(looks.n_runs)[looks.run]
    wins = member[positive].T @ _wins(x[positive], x[~positive]) @ member[~positive]
    top = np.einsum("bi,ij,bj->b", draws, wins, draws)
    return divide(top, (draws @ member[positive].sum(axis=0)) * (draws @ member[~positive].sum(axis=0)))


def _estimate(area: Stat, null: float, words: tuple[str, str]) -> dict[str, Any]:
    """Value, 95 % interval over runs (widened for few), and what it says beside ``null``."""
    interval = area.interval()
    verdict = {0: "not resolved", 1: words[0], -1: words[1]}[side(interval, null)]
    return {"auroc": number(area.value), "interval": area.pair(), "verdict": verdict if interval else "undefined"}


def _against(areas: dict[str, Stat], name: str) -> dict[str, Any]:
    """The signal's AUROC less each baseline's, run by run paired."""
    found = {}
    for rival in BASELINES:
        if rival in areas and rival != name:
            row = _estimate(areas[name] - areas[rival], 0.0, ("better", "worse"))
            found[NAMES.get(rival, rival)] = {"difference": row.pop("auroc"), **row}
    return found
