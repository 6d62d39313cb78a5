"""Judging a signal as a detector: AUROC, lead times and false alarms by hand; undefined is a result."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.alarms import Band, Envelope
from w2s_pref.monitor.detector import auroc, judge
from w2s_pref.monitor.finished import table_of
from w2s_pref.monitor.lead_time import alarm_row, crossings, judge_envelope, reference_level, threshold_alarms
from w2s_pref.results.trainings import MonitorCurve

FRACTION = np.linspace(0, 1, 11)


def run(name: str, setting: str, cross: float | None, signal: np.ndarray | float, **more: float) -> pd.DataFrame:
    bsd = np.zeros(11) if cross is None else np.where(cross - 1e-9 <= FRACTION, 0.2, 0.0)
    table = {"run": name, "setting": setting, "step": range(0, 110, 10), "fraction": FRACTION, "bsd": bsd}
    return pd.DataFrame({**table, "var": signal, **more})


def four() -> pd.DataFrame:
    """Two settings, each with a run that crosses and one that does not."""
    return pd.concat(
        [
            run("a/0", "a", 0.5, np.where(FRACTION >= 0.35, 3.0, 1.0), confidence=0.5),
            run("a/1", "a", None, 1.0, confidence=0.5),
            run("b/0", "b", 0.8, np.where(FRACTION >= 0.75, 4.0, 0.5), confidence=0.5),
            run("b/1", "b", None, 2.0, confidence=0.5),
        ],
        ignore_index=True,
    )


def row(found: dict, signal: str) -> dict:
    return next(each for each in found["signals"] if each["signal"] == signal)


def test_auroc_by_hand() -> None:
    """Pairs: 3>1, 3>2, 2>1, 2=2 -> (1 + 1 + 1 + .5) / 4."""
    assert auroc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == 0.875
    assert np.isnan(auroc(np.array([]), np.array([1.0])))


def test_crossings() -> None:
    curves = four()
    curves.loc[0, "bsd"] = 0.9  # before training: not a crossing
    found = crossings(curves, 0.1)
    assert found.loc["a/0"] == pytest.approx(0.5)
    assert found.loc["b/0"] == pytest.approx(0.8)
    assert found[["a/1", "b/1"]].isna().all()
    assert crossings(curves, 0.2).isna().all()  # above, not at
    assert reference_level(curves) == 0.2


def test_looks_at_risk_by_hand() -> None:
    """Horizon .2: looks at .1 … .8. a/0 is at risk until .4, positive at .3 and .4 (values 1, 3); b/0 until .7,
    positive at .6 and .7 (.5, .5). Negatives: a/0 twice 1, b/0 five times .5, a/1 eight 1s, b/1 eight 2s."""
    found = judge(four(), 0.1, 0.2)
    assert (found["runs"], found["crossing_runs"], found["settings"]) == (4, 2, 2)
    assert (found["looks"], found["positive_looks"]) == (4 + 7 + 8 + 8, 4)
    negatives = np.array([1.0] * 10 + [0.5] * 5 + [2.0] * 8)
    by_hand = auroc(np.array([1.0, 3.0, 0.5, 0.5]), negatives)
    assert row(found, "var")["auroc"] == pytest.approx(by_hand)
    assert row(found, "confidence")["auroc"] == 0.5
    assert row(found, "confidence")["verdict"] == "not resolved" or row(found, "confidence")["interval"] is None
    assert row(found, "var")["left_out"]["a"] == pytest.approx(auroc(np.full(2, 0.5), np.array([0.5] * 5 + [2.0] * 8)))
    assert row(found, "var")["against"]["confidence"]["difference"] == pytest.approx(by_hand - 0.5)
    json.dumps(found, allow_nan=False)


def test_thresholds_come_from_other_settings() -> None:
    """a's threshold is b's quiet run (2): a/0 passes it at .4, one look before its crossing; a/1 never.
    b's threshold is a's quiet run (1): b/0 passes at .8, as it crosses; b/1 stands above it from the start."""
    curves = four()
    crossed = crossings(curves, 0.1)
    alarms = threshold_alarms(curves, "var", crossed)
    assert alarms.loc[["a/0", "b/0", "b/1"]].tolist() == pytest.approx([0.4, 0.8, 0.1])
    assert np.isnan(alarms.loc["a/1"])
    found = alarm_row(alarms, crossed)
    assert found == {
        "crossing": 2, "detected": 2, "detected_before": 1, "lead": pytest.approx(0.05),
        # Two leads, 0 and .1, and one degree of freedom: .05 + .05 * 12.70620 / 1.959964 * sqrt(2), cut at 0.
        "lead_interval": pytest.approx([0.0, 0.508408], abs=1e-5),
        "quiet": 2, "false_alarms": 1, "false_alarms_per_run": 0.5,
    }  # fmt: skip


def test_no_threshold_without_quiet_runs_elsewhere() -> None:
    curves = four()[lambda t: t["run"] != "b/1"]
    alarms = threshold_alarms(curves, "var", crossings(curves, 0.1))
    assert alarms.loc["a/0"] == -1
    found = alarm_row(alarms, crossings(curves, 0.1))
    assert (found["crossing"], found["quiet"]) == (1, 0)
    assert found["false_alarms_per_run"] is None


def many(rng: np.random.Generator, told: float, n: int = 30) -> pd.DataFrame:
    """Runs that cross at .7 and runs that do not; ``told`` is how far the signal of the former is raised before."""
    parts = []
    for i in range(n):
        cross = 0.7 if i % 2 else None
        raised = told * (FRACTION >= 0.45) * (cross is not None)
        level = rng.normal()
        noise = rng.normal(size=11)
        parts.append(run(f"r{i}", f"s{i % 3}", cross, level + noise + raised, misfit=0.0).assign(misfit=rng.random(11)))
    return pd.concat(parts, ignore_index=True)


def test_a_signal_that_foretells_and_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    found = judge(many(rng, 4.0), 0.1, 0.2)
    assert row(found, "var")["verdict"] == "foretells"
    assert row(found, "var")["against"]["misfit"]["verdict"] == "better"
    assert row(found, "misfit")["verdict"] == "not resolved"
    low, high = row(found, "misfit")["interval"]
    assert low < 0.5 < high
    assert row(judge(many(rng, -4.0), 0.1, 0.2), "var")["verdict"] == "points the wrong way"


def test_the_clock_is_a_rival() -> None:
    """Every run crosses at .7: time alone foretells it, and a signal that only tells the time is no better."""
    parts = [run(f"r{i}", f"s{i % 2}", 0.7, FRACTION) for i in range(8)]
    found = judge(pd.concat(parts), 0.1, 0.2)
    assert row(found, "time")["auroc"] == row(found, "var")["auroc"] == 1.0
    assert row(found, "var")["against"]["time"]["difference"] == 0


def test_the_interval_widens_with_runs_that_hang_together() -> None:
    """Copies of each look within a run add no information: the interval does not shrink."""
    rng = np.random.default_rng(3)
    curves = many(rng, 1.0, n=16)
    doubled = pd.concat([curves, curves]).sort_values(["run", "step"], kind="stable")
    one, two = (row(judge(c, 0.1, 0.2), "var")["interval"] for c in (curves, doubled))
    assert two == pytest.approx(one)


def test_undefined_when_nothing_crosses_or_nothing_is_defined() -> None:
    found = judge(four(), 0.9)
    assert found["crossing_runs"] == 0
    assert all(each["verdict"] == "undefined" and each["auroc"] is None for each in found["signals"])
    empty = judge(four().assign(var=np.nan), 0.1)
    assert row(empty, "var")["verdict"] == "undefined"
    assert row(empty, "confidence")["auroc"] == 0.5


def test_live_alarms_judged() -> None:
    flat = [0.0] * 21
    envelope = Envelope(5, 1.0, {"var": Band(flat, [1 / 1.4826] * 21, flat, flat, allowance=2.5, z=2.5, cusum=0.1)})
    found = judge_envelope(four(), envelope, 0.1)
    assert [(each["statistic"], each["detected"], each["false_alarms"]) for each in found] == [("robust_z", 2, 0), ("cusum", 1, 0)]  # fmt: skip  # noqa: E501
    assert found[0]["lead"] == pytest.approx(0.05)
    assert found[1]["lead"] == pytest.approx(0.0)  # b/0 gains .15 a look; a/0, .05 a look, is too late


def test_bad_curves_are_refused() -> None:
    with pytest.raises(W2SError, match="no column 'bsd'"):
        judge(four().drop(columns="bsd"), 0.1)
    with pytest.raises(W2SError, match="horizon is 1"):
        judge(four(), 0.1, 1.0)
    with pytest.raises(W2SError, match="no runs"):
        judge(four().head(0), 0.1)
    with pytest.raises(W2SError, match="no signal 'vra'"):
        judge(four(), 0.1, signals=["vra"])


def test_a_training_that_ended_early_keeps_its_own_clock() -> None:
    """Shares of what was planned, as the live monitor has them; of older files, of what was trained."""
    about = {"name": "direct/none", "seed": 0, "steps": [0, 10, 30], "signals": {"bsd": [0.0, 0.1, 0.2]}}
    ended = MonitorCurve(fractions=[0.0, 0.1, 0.3], **about)
    assert table_of(ended, "a")["fraction"].tolist() == [0.0, 0.1, 0.3]
    assert table_of(MonitorCurve(**about), "a")["fraction"].tolist() == [0.0, 1 / 3, 1.0]
