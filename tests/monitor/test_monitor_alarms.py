"""Alarms: robust z and CUSUM by hand, thresholds that are quantiles of the reference runs, save and load."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.alarms import GRID, Envelope, cusum, robust_z


def runs(levels: list[float], looks: int = 5, signal: str = "var") -> pd.DataFrame:
    """Flat curves."""
    fraction = np.linspace(0, 1, looks)
    parts = [pd.DataFrame({"run": f"r{i}", "step": (fraction * 100).astype(int), "fraction": fraction, signal: level}) for i, level in enumerate(levels)]  # fmt: skip  # noqa: E501
    return pd.concat(parts, ignore_index=True)


def test_robust_z_by_hand() -> None:
    z = robust_z(np.array([5.0, 2.0]), np.array([2.0, 2.0]), np.array([1.0, 1.0]))
    assert z == pytest.approx([3 / 1.4826, 0])
    assert robust_z(np.array([5.0]), np.array([2.0]), np.array([1.0]), -1.0) == pytest.approx([-3 / 1.4826])


def test_cusum_by_hand() -> None:
    """Allowance 1, quarters of training: (3-1)/4 = .5, then -.5 -> 0, then (2-1)/4 = .25, + (5-1)/4 = 1.25."""
    z, fraction = np.array([9.0, 3.0, -1.0, 2.0, 5.0]), np.linspace(0, 1, 5)
    assert cusum(z, fraction, 1.0).tolist() == [0.0, 0.5, 0.0, 0.25, 1.25]


def test_cusum_does_not_depend_on_how_often_one_looks() -> None:
    sparse, dense = np.linspace(0, 1, 6), np.linspace(0, 1, 51)
    ends = [cusum(np.full(len(f), 3.0), f, 1.0)[-1] for f in (sparse, dense)]
    assert ends == pytest.approx([2.0, 2.0])


def test_the_envelope_by_hand() -> None:
    """Levels 1, 2, 3, 4, 10: median 3, MAD 1. Held out, each against the other four."""
    envelope = Envelope.fit(runs([1, 2, 3, 4, 10]))
    band = envelope.bands["var"]
    assert band.median == [3.0] * GRID
    assert band.mad == [1.0] * GRID
    assert band.low == pytest.approx([np.quantile([1, 2, 3, 4, 10], 0.05)] * GRID)
    # The run at 10 against 1 2 3 4: median 2.5, MAD 1 -> z = 7.5 / 1.4826, the greatest of the five.
    assert band.z == pytest.approx(7.5 / 1.4826)
    # Held-out z, times 1.4826: 1 -> -2.5, 2 -> -1, 3 -> 0, 4 -> 1.5, 10 -> 7.5; upper quartile 1.5.
    assert band.allowance == pytest.approx(1.5 / 1.4826)
    assert band.cusum == pytest.approx((7.5 - 1.5) / 1.4826)  # over the whole training


def test_thresholds_are_quantiles() -> None:
    curves = runs([1, 2, 3, 4, 10])
    half, top = Envelope.fit(curves, level=0.5), Envelope.fit(curves, level=1.0)
    assert half.bands["var"].z == pytest.approx(0.0)  # the middle run of five
    assert top.bands["var"].z > half.bands["var"].z
    scaled = Envelope.fit(curves.assign(var=curves["var"] * 100 + 7))
    assert scaled.bands["var"].z == pytest.approx(top.bands["var"].z)  # no constant in units of the signal


def test_alarms_come_at_the_first_crossing() -> None:
    envelope = Envelope.fit(runs([1, 2, 3, 4, 10], looks=11))
    curve = runs([3.0], looks=11)
    curve.loc[4:, "var"] = 20.0
    alarms = {alarm.statistic: alarm for alarm in envelope.alarms(curve, ["var"])}
    assert alarms["robust_z"].step == 40
    assert alarms["robust_z"].value == pytest.approx(17 / 1.4826)
    # CUSUM rises by (17 - 1.5) / 1.4826 / 10 a look and needs 6 / 1.4826: the fourth look.
    assert alarms["cusum"].step == 70
    assert envelope.alarms(runs([3.0]), ["var"]) == []
    assert envelope.alarms(curve.iloc[:4], ["var"]) == []


def test_what_falls_is_worse_for_accuracy() -> None:
    envelope = Envelope.fit(runs([0.80, 0.82, 0.84, 0.86], signal="accuracy"))
    assert {a.statistic for a in envelope.alarms(runs([0.3], signal="accuracy"), ["accuracy"])} == {"robust_z", "cusum"}
    assert envelope.alarms(runs([1.0], signal="accuracy"), ["accuracy"]) == []


def test_before_training_there_is_no_alarm_and_undefined_looks_are_left_out() -> None:
    envelope = Envelope.fit(runs([1, 2, 3, 4, 10]))
    start = runs([3.0])
    start.loc[0, "var"] = 1e6
    assert [a.statistic for a in envelope.alarms(start, ["var"])] == []
    assert envelope.alarms(start.assign(var=np.nan), ["var"]) == []


def test_a_run_like_the_reference_seldom_alarms() -> None:
    """Exchangeable noisy runs: a new one passes the maximum of n with chance of about 1 / (n + 1) or less."""
    rng = np.random.default_rng(0)
    n, trials, hits = 9, 120, {"robust_z": 0, "cusum": 0}
    fraction = np.linspace(0, 1, 11)
    for _ in range(trials):
        paths = rng.normal(size=(n + 1, 1)) + 0.3 * rng.normal(size=(n + 1, 11))
        frames = [
            pd.DataFrame({"run": i, "step": range(11), "fraction": fraction, "x": p}) for i, p in enumerate(paths)
        ]
        for alarm in Envelope.fit(pd.concat(frames[:n])).alarms(frames[n], ["x"]):
            hits[alarm.statistic] += 1
    for count in hits.values():
        assert 0.01 < count / trials < 0.15, hits


@pytest.mark.parametrize(("finer", "shift"), [(1, 0.0), (1, 0.03), (2, 0.0), (4, 0.0), (4, 0.013)])
def test_a_run_that_is_looked_at_more_often_alarms_no_oftener(finer: int, shift: float) -> None:
    """Null worlds with noise of its own at each look, 9 references of 10 looks: about 1 in 10, at any looks."""
    rng = np.random.default_rng(1)
    n, looks, trials, hits = 9, 11, 150, {"robust_z": 0, "cusum": 0}
    sparse = np.linspace(0, 1, looks)
    dense = np.minimum(np.linspace(0, 1, finer * (looks - 1) + 1) + shift, 1.0)
    for _ in range(trials):
        frames = [
            pd.DataFrame({"run": i, "fraction": f, "x": 0.3 * rng.normal() + rng.normal(size=len(f))})
            for i, f in enumerate([*[sparse] * n, dense])
        ]
        run = frames[n].assign(step=range(len(dense)))
        for alarm in Envelope.fit(pd.concat(frames[:n])).alarms(run, ["x"]):
            hits[alarm.statistic] += 1
    for count in hits.values():
        assert count / trials <= 0.1 + 0.05, hits  # two standard errors above the nominal 1 in 10


def test_which_looks_are_judged() -> None:
    """References looked at 0, .25, .5, .75, 1 (one of them oftener): one look for each, the first from there on."""
    few, many = runs([1, 2, 3, 4, 10]), runs([3], looks=9).assign(run="more")
    envelope = Envelope.fit(pd.concat([few, many]))
    assert envelope.looks == [0, 0.25, 0.5, 0.75, 1]
    fraction = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert fraction[envelope.judged(fraction)].tolist() == [0, 0.3, 0.5, 0.8, 1.0]
    assert envelope.judged(np.array([0.6, 1.0])).tolist() == [True, True]  # a coarser run: all of its looks
    assert dataclasses.replace(envelope, looks=[]).judged(fraction).all()  # of an older file, which held none
    between = runs([2], looks=11).assign(var=[0, 0, 99] + [0] * 8)
    assert envelope.alarms(between, ["var"]) == []


def test_save_and_load(tmp_path: Path) -> None:
    envelope = Envelope.fit(runs([1, 2, 3, 4, 10]))
    envelope.save(tmp_path / "envelope.json")
    assert Envelope.load(tmp_path / "envelope.json") == envelope
    (tmp_path / "other.json").write_text("[1]")
    for name in ("other.json", "none.json"):
        with pytest.raises(W2SError, match="not an envelope"):
            Envelope.load(tmp_path / name)


def test_references_that_cannot_be_used() -> None:
    with pytest.raises(W2SError, match="at least 3 reference runs, but there are 2"):
        Envelope.fit(runs([1, 2]))
    with pytest.raises(W2SError, match="no signal is defined"):
        Envelope.fit(runs([1, 2, 3]).assign(var=np.nan))
    with pytest.raises(W2SError, match="no signal is defined"):
        Envelope.fit(runs([2, 2, 2]))  # no spread: no scale
    with pytest.raises(W2SError, match="never looked at after its start"):
        Envelope.fit(runs([1, 2, 3])[lambda t: t["fraction"] == 0])
