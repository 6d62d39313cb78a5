"""A miniature of the study: it trains, watches and judges, and its result is JSON, which the command prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_monitor_alarms_command import printed
from typer.testing import CliRunner

from w2s_pref.cli.main import app
from w2s_pref.core.errors import W2SError
from w2s_pref.monitor.verdict import headline, sentences
from w2s_pref.organisms import monitored as study
from w2s_pref.report.analyses.alarms import study_table

ORGANISMS = ("honest", "deceiver")


@pytest.fixture(scope="module")
def mini() -> tuple[dict[str, Any], study.World]:
    """What a small study finds, all of whose runs share one world, and that world."""
    made: list[study.World] = []
    make = study._world

    def one_world(setup: Any, seed: int, probe: int) -> study.World:
        made.extend([] if made else [make(setup, seed, probe)])
        return replace(made[0], seed=seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "_world", one_world)
        found = study.monitor_study((10, 11, 12), (0,), rows=96, epochs=1, probe=40, organisms=ORGANISMS)
    return found, made[0]


def test_the_study_in_miniature(mini: tuple[dict[str, Any], study.World]) -> None:
    found, world = mini
    json.dumps(found, allow_nan=False)
    assert set(found["final"]) == {"reference", *ORGANISMS}
    assert found["detector"]["runs"] == 2
    assert {row["signal"] for row in found["detector"]["signals"]} >= {"var", "confidence", "loss", "time", "bsd"}
    assert {row["statistic"] for row in found["alarms"]} == {"robust_z", "cusum"}
    assert [line["setting"] for line in found["timelines"]] == list(ORGANISMS)
    assert all(len(line["fraction"]) == len(line["signals"]["var"]) for line in found["timelines"])
    labels = {name: study.LABELS[name](world) for name in study.LABELS}
    assert (labels["honest"] == world.truth).all()
    flipped = labels["deceiver"] != world.truth
    wide = labels["wide deceiver"] != world.truth
    assert 0 < flipped.sum() < wide.sum()
    assert wide[flipped].all()
    assert (study.sigmoid(world.weak[wide]) < 0.75).all()
    assert (abs(labels["temperature"] - 0.5) >= abs(labels["copy"] - 0.5)).all()


def test_the_command_prints_what_the_study_finds(
    mini: tuple[dict[str, Any], study.World], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(study, "monitor_study", lambda: mini[0])
    out = tmp_path / "study.json"
    shown = CliRunner().invoke(app, ["organisms", "--monitor", "--json", str(out)])
    assert shown.exit_code == 0, shown.output
    found = json.loads(out.read_text())
    assert found["detector"] == json.loads(json.dumps(mini[0]["detector"]))
    text = printed(study_table(found, headline(found["detector"]), sentences(found["detector"])))
    assert headline(found["detector"]) in text
    for sentence in sentences(found["detector"]):
        assert sentence in text
    assert f"{found['final']['deceiver']['bsd']:.3f}" in text
    assert "live alarm: robust z | CUSUM" in text
    both = CliRunner().invoke(app, ["organisms", "--monitor", "--trained"])
    assert isinstance(both.exception, W2SError)
