"""A stage whose process ends, early on or when all of it is computed and nothing kept: built again, the same bytes.

Only its work folder (checkpoints, kept models, records) is left then. Every stage of studies with every kind of
training is built undisturbed, then again from what that left, then killed at its third step and built from what that
left. Probes are left out: a batch of them is trained together, and sums in float64 differ by what is left of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from lab_helpers import TUNED, write_lab

from w2s_pref.core.errors import file_hash
from w2s_pref.engine.loop import Loop
from w2s_pref.engine.stage import Stage
from w2s_pref.studies.run import run

KILLED_AT = 3
PPO = "ppo: {training: {total_episodes: 32, batch_size: 8, response_length: 6, save_steps: 1}}"
ONLINE = "batch_size: 8, num_generations: 2, max_completion_length: 6, save_steps: 2"
RLOO = f"rloo: {{training: {{{ONLINE}, num_train_epochs: 1, logging_steps: 3}}}}"
GRPO = f"grpo: {{training: {{{ONLINE}, max_steps: 12, logging_steps: 5}}}}"
STOPPED = "stopped: {algorithm: reward, patience: 2}"
LORA = "models.strong.lora={r: 4, target_modules: [q_proj, v_proj]}"
BASE = [
    "seeds=[0]",
    "conflict.settings=[none]",
    "arms={direct: [weak, strong]}",
    "data.splits={gt: 24, w2s: 24, test: 16, conflict: 16, conflict_test: 8, calibration: 16, probe: 30}",
    "training.save_steps=2",
    "training.logging_steps=3",
    "training.num_train_epochs=2",
    "monitor={every: 3, watch: [var]}",
    "speech={prompts: 8, samples: 1, max_new_tokens: 6}",
    "methods={}",
]
#: Alarms need the ceilings of three seeds to compare with.
ALARMS = ["seeds=[0, 1, 2]", "students=[reward, stopped]", "methods={stopped: {algorithm: reward, patience: 1}}"]
STUDIES = {
    "all": [
        "conflict.settings=[none, implicit]",
        "students=[reward, stopped, dpo, ppo, rloo, grpo]",
        f"methods={{{STOPPED}, {PPO}, {RLOO}, {GRPO}}}",
    ],
    "frozen adapters": [
        "students=[reward, stopped, dpo]",
        f"methods={{{STOPPED}}}",
        LORA,
        "models.strong.freeze_layers=1",
        "models.strong.path=ladder/m",
        "data.unknown_tokens=warn",
    ],
    "adapters": ["students=[ppo, rloo, simpo]", f"methods={{{PPO}, {RLOO}}}", LORA],
    "raven": [
        "arms={direct: [[weak, middle], strong]}",
        "students=[reward, dpo]",
        "methods={reward: {raven: {rate: 1.0, easy: 0.2}}, dpo: {raven: {rate: 1.0, easy: 0.2}}}",
    ],
    "stopping alarms": [*ALARMS, "monitor={every: 2, watch: [var], action: stop, level: 0.1}"],
    "saving alarms": [*ALARMS, "monitor={every: 2, watch: [var], action: checkpoint, level: 0.1}"],
    "rounds": [
        "arms={macpo: [weak@dpo, strong@macpo], wspo: [weak@dpo, strong@wspo]}",
        "methods={macpo: {rounds: 1, training: {save_steps: 1}}}",
        "monitor=null",
    ],
}
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


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def thrice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every stage is built three times; what differs is found here."""
    made, different = Loop._made, []

    def built(loop: Loop, stage: Stage, place: Path) -> dict[str, Any]:
        place.mkdir(exist_ok=True)
        meta = made(loop, stage, place)
        return {**said(place), **{f"meta {name}": value for name, value in timeless(meta).items()}}

    def again(loop: Loop, stage: Stage, folder: Path) -> dict[str, Any]:
        if stage.kind == "probe":
            return made(loop, stage, folder)
        lost, work = tmp_path / "lost", loop.builder.store.partial(stage.kind, stage.key)
        undisturbed = built(loop, stage, lost)
        shutil.rmtree(lost)
        late = built(loop, stage, lost)
        shutil.rmtree(lost)
        shutil.rmtree(work, ignore_errors=True)
        _kill(loop, lambda: built(loop, stage, lost))
        shutil.rmtree(lost)
        meta = made(loop, stage, folder)
        early = {**said(folder), **{f"meta {name}": value for name, value in timeless(meta).items()}}
        for when, found in {"at its end": late, "early on": early}.items():
            names = sorted(name for name in {*undisturbed, *found} if undisturbed.get(name) != found.get(name))
            different.extend(f"{stage.kind} {stage.name}, killed {when}: {name}" for name in names)
        return meta

    monkeypatch.setattr(Loop, "_made", again)
    return different


def _kill(loop: Loop, build: Any) -> None:
    progress = loop.builder.progress

    def die(done: int, total: int) -> None:
        if done >= KILLED_AT:
            raise Killed
        progress(done, total)

    loop.builder.progress = die
    try:
        build()
    except Killed:
        pass
    finally:
        loop.builder.progress = progress


def said(folder: Path) -> dict[str, Any]:
    """Name -> hash of every file, or what it says but for seconds."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.name == "history.json":
            found[path.name] = [timeless(line) for line in json.loads(path.read_text(encoding="utf-8"))]
        elif path.is_file() and path.name != "trainer_state.json":
            found[str(path.relative_to(folder))] = file_hash(path)
    return found


def timeless(said: dict[str, Any]) -> dict[str, Any]:
    """Without seconds, and without tokens that went through a model: those of the repeated part count twice."""
    kept = {name: value for name, value in said.items() if not any(word in name for word in ("second", "time", "cost"))}
    kept = {name: value for name, value in kept.items() if name not in ("computed_tokens", "real_tokens")}
    return {name: timeless(value) if isinstance(value, dict) else value for name, value in kept.items()}


@pytest.mark.parametrize("name", STUDIES)
def test_every_stage_of_preferences(study: Path, thrice: list[str], name: str) -> None:
    run(study / "tiny.yaml", [*BASE, *STUDIES[name]], Silent(), "w2s run")
    assert thrice == []


def test_every_stage_of_a_laboratory(tmp_path: Path, thrice: list[str]) -> None:
    run(write_lab(tmp_path), LABORATORY, Silent(), "w2s run")
    assert thrice == []
