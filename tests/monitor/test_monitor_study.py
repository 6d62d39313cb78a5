"""A miniature of the study: it trains, watches and judges, and its result is JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from w2s_pref.organisms import monitored as study


def test_the_study_in_miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[study.World] = []
    make = study._world

    def one_world(setup: Any, seed: int, probe: int) -> study.World:
        made.extend([] if made else [make(setup, seed, probe)])
        return replace(made[0], seed=seed)

    monkeypatch.setattr(study, "_world", one_world)
    organisms = ("honest", "deceiver")
    found = study.monitor_study((10, 11, 12), (0,), rows=96, epochs=1, probe=40, organisms=organisms)
    json.dumps(found, allow_nan=False)
    assert set(found["final"]) == {"reference", *organisms}
    assert found["detector"]["runs"] == 2
    assert {row["signal"] for row in found["detector"]["signals"]} >= {"var", "confidence", "loss", "time", "bsd"}
    assert {row["statistic"] for row in found["alarms"]} == {"robust_z", "cusum"}
    assert [line["setting"] for line in found["timelines"]] == list(organisms)
    assert all(len(line["fraction"]) == len(line["signals"]["var"]) for line in found["timelines"])
    labels = {name: study.LABELS[name](made[0]) for name in study.LABELS}
    assert (labels["honest"] == made[0].truth).all()
    flipped = labels["deceiver"] != made[0].truth
    wide = labels["wide deceiver"] != made[0].truth
    assert 0 < flipped.sum() < wide.sum()
    assert wide[flipped].all()
    assert (study.sigmoid(made[0].weak[wide]) < 0.75).all()
    assert (abs(labels["temperature"] - 0.5) >= abs(labels["copy"] - 0.5)).all()
