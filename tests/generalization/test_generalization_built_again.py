"""A stage whose process ends when all of it is computed and nothing of it is kept: built again, the same bytes.

Only its work folder (checkpoints, kept models, records) is left then, as the last step of the training left it. Every
stage of studies with every kind of training is built twice here, and the first copy is thrown away. Probes are left
out: the first copy trains all probes of a batch, the second has no company, and sums in float64 differ by it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from lab_helpers import TUNED, write_lab

from w2s_pref.core.errors import file_hash
from w2s_pref.engine.loop import Loop
from w2s_pref.engine.stage import Stage
from w2s_pref.studies.run import run

PPO = "ppo: {training: {total_episodes: 16, batch_size: 8, response_length: 6, save_steps: 1}}"
RLOO = "rloo: {training: {batch_size: 8, num_generations: 2, max_completion_length: 6, max_steps: 2, save_steps: 1}}"
STOPPED = "stopped: {algorithm: reward, patience: 2}"
SHAPE = ["seeds=[0]", "conflict.settings=[none, implicit]", "speech={prompts: 8, samples: 1, max_new_tokens: 6}"]
PREFERENCES = [
    *SHAPE,
    "arms={direct: [weak, strong]}",
    "students=[reward, stopped, dpo, ppo, rloo]",
    f"methods={{{STOPPED}, {PPO}, {RLOO}}}",
    "data.splits={gt: 24, w2s: 24, test: 16, conflict: 16, conflict_test: 8, calibration: 16, probe: 30}",
    "training.save_steps=2",
    "monitor={every: 2, watch: [var]}",
]
ROUNDS = [
    *SHAPE,
    "conflict.settings=[none]",
    "arms={macpo: [weak@dpo, strong@macpo], wspo: [weak@dpo, strong@wspo]}",
    "methods={macpo: {rounds: 1, training: {save_steps: 1}}}",
    "training.save_steps=2",
]
LABORATORY = [
    "seeds=[0]",
    "chains=[[weak, strong]]",
    TUNED,
    "methods.texts={algorithm: finetune, training: {batch_size: 8}, pre: {training: {batch_size: 8}}}",
    "training.save_steps=2",
]


class Silent:
    """Shows nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every stage is built into a folder that is lost, then again; kinds whose files differ are found here."""
    made, different = Loop._made, []

    def again(loop: Loop, stage: Stage, folder: Path) -> dict[str, Any]:
        if stage.kind == "probe":
            return made(loop, stage, folder)
        lost = tmp_path / "lost"
        lost.mkdir()
        made(loop, stage, lost)
        first = files(lost)
        shutil.rmtree(lost)
        meta = made(loop, stage, folder)
        second = files(folder)
        different.extend(
            f"{stage.kind} {stage.name}: {each}" for each in {*first, *second} if first.get(each) != second.get(each)
        )
        return meta

    monkeypatch.setattr(Loop, "_made", again)
    return different


def files(folder: Path) -> dict[str, str]:
    """Name -> hash of every file that says nothing of seconds."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != "history.json")
    return {str(path.relative_to(folder)): file_hash(path) for path in found}


@pytest.mark.parametrize("overrides", [PREFERENCES, ROUNDS], ids=["preferences", "rounds"])
def test_every_stage_of_preferences(study: Path, twice: list[str], overrides: list[str]) -> None:
    run(study / "tiny.yaml", overrides, Silent(), "w2s run")
    assert twice == []


def test_every_stage_of_a_laboratory(tmp_path: Path, twice: list[str]) -> None:
    run(write_lab(tmp_path), LABORATORY, Silent(), "w2s run")
    assert twice == []
