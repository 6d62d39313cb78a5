"""The recipe's monitor: every training stage is watched, alarms compare with the ceilings, weights stay the same."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from test_policies_run import PPO, RLOO, Silent

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.run import open_recipe, run

BASE = ["conflict.settings=[none]", "arms={direct: [weak, strong]}", "speech={prompts: 0}", "analysis.resamples=100",
        "training.save_steps=100"]  # fmt: skip
WATCHED = [*BASE, "data.splits.probe=20", "monitor={every: 2}"]
pytestmark = pytest.mark.usefixtures("one_store")


def test_every_training_is_watched_and_no_weight_changes(study: Path) -> None:
    recipe = study / "tiny.yaml"
    overrides = ["seeds=[0]", "students=[reward, dpo, ppo, rloo]", f"methods={{{PPO}, {RLOO}}}"]
    plain = open_recipe(recipe, [*BASE, *overrides, "data.splits.probe=20"])
    run(recipe, [*BASE, *overrides, "data.splits.probe=20"], Silent(), "w2s run")
    run(recipe, [*WATCHED, *overrides], Silent(), "w2s run")
    watched = open_recipe(recipe, [*WATCHED, *overrides])
    for name in ("direct/none", "direct@dpo/none", "direct@ppo/none", "direct@rloo/none", "ceiling/strong"):
        stage, before = watched.study.trained[name, 0], plain.study.trained[name, 0]
        assert stage.key != before.key
        artifact, other = watched.store.get(stage.kind, stage.key), plain.store.get(before.kind, before.key)
        table = pd.read_parquet(artifact.folder / "monitor.parquet")
        assert table["step"].iloc[0] == 0
        assert table["step"].is_monotonic_increasing
        assert {"var", "misfit", "bsd", "accuracy"} <= set(table.columns)
        assert artifact.manifest["files"]["model.safetensors"] == other.manifest["files"]["model.safetensors"]
    assert watched.study.trained["ceiling/weak", 0].watch is None


def test_with_three_seeds_alarms_compare_with_the_ceilings_of_each_arm(study: Path) -> None:
    """Every arm is watched against its own weak model."""
    overrides = [*WATCHED, "seeds=[0,1,2]", "arms={a: [weak, strong], b: [middle, strong]}"]
    _, folder = run(study / "tiny.yaml", overrides, Silent(), "w2s run")
    opened = open_recipe(study / "tiny.yaml", overrides)
    for name in ("a/none", "b/none"):
        stage = opened.study.trained[name, 0]
        assert len(stage.watch.envelope) == 3
        assert opened.store.get(stage.kind, stage.key).meta["monitor"]["judged"]
    monitors = json.loads((folder / "results.json").read_text())["monitors"]
    assert {(each["name"], each["seed"]) for each in monitors} == {
        (name, seed) for name in ("ceiling/strong", "a/none", "b/none") for seed in (0, 1, 2)
    }
    assert {(m["name"], m["weak"]) for m in monitors} == {
        ("a/none", "ceiling/weak"),
        ("b/none", "ceiling/middle"),
        ("ceiling/strong", "ceiling/weak"),
        ("ceiling/strong", "ceiling/middle"),
    }
    by = {m["weak"]: m["signals"]["misfit"] for m in monitors if m["name"] == "ceiling/strong" and m["seed"] == 0}
    assert by["ceiling/weak"] != by["ceiling/middle"]


def test_an_alarm_keeps_the_model_as_it_was(study: Path) -> None:
    watch = "monitor={every: 1, watch: [var, disagreement, misfit], action: checkpoint, level: 0.01}"
    overrides = [*BASE, "data.splits.probe=20", watch, "seeds=[0,1,2]", "conflict.settings=[none, implicit]"]
    run(study / "tiny.yaml", overrides, Silent(), "w2s run")
    opened = open_recipe(study / "tiny.yaml", overrides)
    kept = 0
    for stage in opened.study.trained.values():
        artifact = opened.store.get(stage.kind, stage.key)
        steps = {alarm["step"] for alarm in artifact.meta.get("monitor", {}).get("alarms", [])}
        assert {folder.name for folder in artifact.folder.glob("alarm-*")} == {f"alarm-{step}" for step in steps}
        for step in steps:
            names = {file.name for file in (artifact.folder / f"alarm-{step}").iterdir()}
            assert "model.safetensors" in names
            assert not any(name.endswith((".pt", ".bin", ".pth")) for name in names)
            kept += 1
    assert kept > 0
    with pytest.raises(W2SError, match="use log or stop"):
        open_recipe(study / "tiny.yaml", [*overrides, "students=[ppo]", f"methods={{{PPO}}}"])


def test_a_monitor_without_a_probe_is_refused(study: Path) -> None:
    with pytest.raises(W2SError, match=r"data\.splits\.probe"):
        open_recipe(study / "tiny.yaml", [*BASE, "monitor={}"])
