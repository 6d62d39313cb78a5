"""Alarms: one-sided robust z and CUSUM of a signal against runs that were trained on ground truth.

The envelope is fixed before a run is looked at. Its thresholds are quantiles of what the reference runs themselves
reach when each is held against the others (leave one out); none is a constant. With n reference runs and thresholds
at their maximum, a further run of the same kind crosses one with chance of about 1 / (n + 1) or less, per signal and
statistic: held-out runs face a rougher centre and scale than later ones do. A run that is looked at more often would
have more chances to cross, so it is judged once for each look of the reference, at its own first look from there on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.core.errors import W2SError

#: Signals for which less is worse; more is worse for all others.
FALLING = frozenset({"accuracy", "cov", "cov_true"})
#: Points of the training, as shares of its steps, at which the envelope is kept; between them it is interpolated.
GRID = 21
#: How far two shares of a training may be apart by rounding.
ROUNDING = 1e-9
#: MAD of a normal variable is its standard deviation over this.
NORMAL_MAD = 1.4826
STATISTICS = ("robust_z", "cusum")


@dataclass(frozen=True)
class Alarm:
    """A signal's statistic ("robust_z" or "cusum") stood above its threshold, for the first time at ``step``."""

    step: int
    signal: str
    statistic: str
    value: float
    threshold: float

    def __str__(self) -> str:
        return f"step {self.step}: {self.signal}, {self.statistic} {self.value:.2f} above {self.threshold:.2f}"


def robust_z(x: Floats, median: Floats, scale: Floats, direction: float = 1.0) -> Floats:
    """direction (x - median) / (1.4826 MAD), point by point; ``scale`` is the MAD, in units of x, above 0."""
    return np.asarray(direction * (x - median) / (NORMAL_MAD * scale), dtype=np.float64)


def cusum(z: Floats, fraction: Floats, allowance: float) -> Floats:
    """S_t = max(0, S_{t-1} + (z_t - allowance)(f_t - f_{t-1})), S = 0 at the first point.

    Each value counts for the share of training it stands for, so runs looked at more or less often are comparable.
    """
    steps = (z[1:] - allowance) * np.diff(fraction)
    total, path = 0.0, [0.0]
    for step in steps:
        total = max(0.0, total + float(step))
        path.append(total)
    return np.array(path)


@dataclass(frozen=True)
class Band:
    """One signal of the reference: median, MAD and quantiles at ``GRID`` points, and the alarm's three numbers.

    ``allowance`` is the upper quartile of the reference runs' own z; ``z`` and ``cusum`` are the thresholds.
    """

    median: list[float]
    mad: list[float]
    low: list[float]
    high: list[float]
    allowance: float
    z: float
    cusum: float


@dataclass(frozen=True)
class Envelope:
    """What ground-truth-supervised seeds look like over a training.

    Attributes:
        runs: number of reference runs.
        level: quantile of the runs' own maxima that a threshold is.
        bands: one for each signal that was defined in every run.
        looks: shares of the training at which the reference run that was looked at least was looked at; a run is
            judged at no more looks than these. Empty: not known, so every look is judged.
    """

    runs: int
    level: float
    bands: dict[str, Band]
    looks: list[float] = field(default_factory=list)

    @classmethod
    def fit(cls, curves: pd.DataFrame, level: float = 1.0, signals: Sequence[str] | None = None) -> Envelope:
        """Fit to reference runs.

        Args:
            curves: columns run, fraction (share of the training done, in [0, 1]) and the signals; at least 3 runs.
            level: quantile in (0, 1]; with fewer than 1 / (1 - level) runs this is their maximum.
            signals: which columns; all numeric ones when None.

        Raises:
            W2SError: fewer than 3 runs, a run without training, or no signal that is defined throughout.
        """
        names = [run for run, _ in curves.groupby("run", sort=True)]
        if len(names) < 3:
            raise W2SError(f"an envelope needs at least 3 reference runs, but there are {len(names)}; train more seeds")
        if (curves.groupby("run")["fraction"].max() <= 0).any():
            raise W2SError("a reference run was never looked at after its start; an envelope needs whole trainings")
        skip = {"run", "seed", "step", "fraction", "setting"}
        wanted = signals or [c for c in curves.select_dtypes("number").columns if c not in skip]
        bands = {name: band for name in wanted if (band := _band(curves, str(name), level)) is not None}
        if not bands:
            raise W2SError("no signal is defined at every look of every reference run; an envelope has nothing to hold")
        return cls(len(names), level, {str(name): band for name, band in bands.items()}, _fewest_looks(curves))

    def paths(self, signal: str, fraction: Floats, x: Floats) -> dict[str, Floats]:
        """Both statistics of one run's curve (T,), NaN at share 0: before training there is nothing to warn of."""
        band = self.bands[signal]
        median, mad = np.array(band.median), np.array(band.mad)
        return _paths(fraction, x, signal, median, mad, band.allowance, self._stands_for(fraction))

    def _stands_for(self, fraction: Floats) -> Floats:
        """The newest look of the reference at or before each share; the share itself where there is none."""
        looks = np.array(self.looks, dtype=np.float64)
        place = np.searchsorted(looks, fraction + ROUNDING, side="right") - 1
        return fraction if not len(looks) else np.where(place >= 0, looks[place], fraction)

    def judged(self, fraction: Floats) -> Bools:
        """Which looks of a run are judged: for each look of the reference, the run's first at or after it.

        Args:
            fraction: (T,) shares of the training, ascending.
        """
        if not self.looks:
            return np.ones(len(fraction), dtype=np.bool_)
        passed = np.searchsorted(np.array(self.looks), fraction + ROUNDING, side="right")
        return np.asarray(np.diff(passed, prepend=0) > 0, dtype=np.bool_)

    def alarms(self, curve: pd.DataFrame, watch: Sequence[str]) -> list[Alarm]:
        """First crossing of every watched signal and statistic in one run's curve: step, fraction and the signals.

        Looks at which a signal is undefined are left out, and so are those beyond one for each look of the reference.
        """
        found = []
        for signal in watch:
            seen = curve[["step", "fraction", signal]].dropna()
            if signal not in self.bands or seen.empty:
                continue
            seen = seen[self.judged(seen["fraction"].to_numpy(dtype=float))]
            fraction, x = (seen[name].to_numpy(dtype=float) for name in ("fraction", signal))
            for statistic, path in self.paths(signal, fraction, x).items():
                threshold = self.bands[signal].z if statistic == "robust_z" else self.bands[signal].cusum
                above = np.flatnonzero(path > threshold)
                if len(above):
                    at = int(above[0])
                    found.append(Alarm(int(seen["step"].iloc[at]), signal, statistic, float(path[at]), threshold))
        return sorted(found, key=lambda alarm: alarm.step)

    def save(self, path: Path | str) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Envelope:
        """Read what ``save`` wrote.

        Raises:
            W2SError: the file is not there or is no envelope.
        """
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise W2SError(
                f"{path}: not an envelope ({error}); write one with Envelope.fit(curves).save(path)"
            ) from error

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Envelope:
        """From ``dataclasses.asdict``."""
        bands = {name: Band(**band) for name, band in raw["bands"].items()}
        return cls(raw["runs"], raw["level"], bands, list(raw.get("looks", [])))


def _fewest_looks(curves: pd.DataFrame) -> list[float]:
    """The shares at which the run with the fewest looks after its start was looked at, ascending."""
    runs = [sorted(set(run["fraction"].astype(float))) for _, run in curves.groupby("run", sort=True)]
    return min(runs, key=lambda looks: sum(share > 0 for share in looks))


def _band(curves: pd.DataFrame, signal: str, level: float) -> Band | None:
    """The band of one signal, or None where it is undefined somewhere or never differs between runs.

    Before training a signal may be undefined, as the loss is: there is nothing to warn of at that point.
    """
    there = curves[(curves["fraction"] > 0) | curves[signal].notna()]
    runs = [run.sort_values("fraction") for _, run in there.groupby("run", sort=True)]
    pairs = [(run["fraction"].to_numpy(dtype=float), run[signal].to_numpy(dtype=float)) for run in runs]
    if not all(np.isfinite(x).all() for _, x in pairs):
        return None
    table = np.stack([np.interp(np.linspace(0, 1, GRID), fraction, x) for fraction, x in pairs])
    centre, mad = _centre(table)
    if mad is None:
        return None
    others = [_centre(np.delete(table, number, axis=0)) for number in range(len(pairs))]
    held = [(f, x, c, m) for (f, x), (c, m) in zip(pairs, others, strict=True) if m is not None]
    if not held:
        return None
    z = [_paths(f, x, signal, c, m, 0.0)["robust_z"] for f, x, c, m in held]
    allowance = float(np.nanquantile(np.concatenate(z), 0.75))
    sums = [_paths(f, x, signal, c, m, allowance)["cusum"] for f, x, c, m in held]
    tops = [float(np.quantile([np.nanmax(p) for p in paths], level, method="higher")) for paths in (z, sums)]
    low, high = np.quantile(table, [0.05, 0.95], axis=0)
    return Band(centre.tolist(), mad.tolist(), low.tolist(), high.tolist(), allowance, *tops)


def _centre(table: Floats) -> tuple[Floats, Floats | None]:
    """Median and MAD of (runs, GRID) at every point; the MAD is never below the median one of the whole training.

    Few runs agree by chance at single points, and a tiny MAD there would turn nothing into an alarm.
    """
    median = np.median(table, axis=0)
    mad = np.median(np.abs(table - median), axis=0)
    positive = mad[mad > 0]
    if not len(positive):
        return median, None
    return median, np.maximum(mad, np.median(positive))


def _paths(
    fraction: Floats,
    x: Floats,
    signal: str,
    median: Floats,
    mad: Floats,
    allowance: float,
    stands_for: Floats | None = None,
) -> dict[str, Floats]:
    """Both statistics. Between looks of the reference its curves are smoother than they are, and so is their MAD: at a
    look that stands for an earlier one (``stands_for``, shares) the greater MAD of the two holds."""
    grid = np.linspace(0, 1, GRID)
    centre, scale = np.interp(fraction, grid, median), np.interp(fraction, grid, mad)
    if stands_for is not None:
        scale = np.maximum(scale, np.interp(stands_for, grid, mad))
    z = robust_z(x, centre, scale, -1.0 if signal in FALLING else 1.0)
    trained = fraction > 0
    sums = cusum(z, fraction, allowance)
    return {"robust_z": np.where(trained, z, np.nan), "cusum": np.where(trained, sums, np.nan)}
