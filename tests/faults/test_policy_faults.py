"""kill -9 inside the training of a policy loses at most the work since the last checkpoint, whatever trains it."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import copy_tiny
from fault_helpers import succeeded
from processes import run, started

from w2s_pref.studies.run import open_recipe

SMALL = [
    "seeds=[0]",
    "arms={direct: [weak, strong]}",
    "conflict.settings=[none]",
    "students=[dpo, ppo, rloo]",
    "speech={prompts: 0}",
    "data.splits={gt: 16, w2s: 32, test: 24, conflict: 16, conflict_test: 8}",
    "training.num_train_epochs=3",
    "methods={dpo: {sft: {num_train_epochs: 1}}, "
    "ppo: {pre_stage: false, training: {total_episodes: 40, batch_size: 8, num_ppo_epochs: 3, save_steps: 1, "
    "response_length: 6, learning_rate: 1.0e-3}}, "
    "rloo: {pre_stage: false, training: {batch_size: 8, num_generations: 2, max_completion_length: 6, max_steps: 6, "
    "num_iterations: 2, generation_batch_size: 8, learning_rate: 1.0e-3, save_steps: 2}}}",
]
DPO, PPO, RLOO = (f"direct@{name}/none · seed 0" for name in ("dpo", "ppo", "rloo"))
#: What is killed, in building order: the stage, and the checkpoint that it goes on from. PPO numbers its checkpoints by
#: update and pass: with three passes an update has four, so 8 stands between two updates and 14 between two passes.
KILLS = [(DPO, 6), (PPO, 8), (PPO, 14), (RLOO, 4)]


def command(recipe: Path) -> list[str]:
    return ["-m", "w2s_pref", "run", str(recipe), *SMALL]


def keys(recipe: Path) -> dict[str, str]:
    """Name of every stage of training → its key."""
    study = open_recipe(recipe, SMALL).study
    return {stage.name: stage.key for stage in study.trained.values()}


def artifacts(recipe: Path) -> dict[str, dict[str, str]]:
    """Key → files and their hashes, of everything; a history holds seconds, so it is left out."""
    found = {}
    for path in (recipe.parent / "runs" / "store").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        found[manifest["key"]] = {name: value for name, value in manifest["files"].items() if name != "history.json"}
    return found


def kill_in(recipe: Path, stage: str, checkpoint: int) -> Path:
    """Run until that checkpoint of the stage is whole, then kill -9. Returns the folder of its checkpoints.

    What was written until the signal arrived is taken away, so that the run goes on from just there.
    """
    work = recipe.parent / "runs" / "store" / "partial" / f"policy-{keys(recipe)[stage]}"
    with started(*command(recipe)) as process:
        deadline = time.time() + 120
        while time.time() < deadline and process.poll() is None and max(whole(work), default=0) < checkpoint:
            time.sleep(0.001)
        assert process.poll() is None, "the run ended before it could be killed"
        process.send(signal.SIGKILL)
        process.wait()
    if checkpoint in whole(work):
        for number in [number for number in whole(work) if number > checkpoint]:
            shutil.rmtree(work / f"checkpoint-{number}")
    return work


def whole(work: Path) -> list[int]:
    """Numbers of the sealed checkpoints."""
    return [int(path.parent.name.rsplit("-", 1)[1]) for path in work.glob("checkpoint-*/w2s-complete.json")]


@pytest.fixture(scope="module")
def recipe(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tiny(original, tmp_path_factory.mktemp("killed") / "study") / "tiny.yaml"


@pytest.fixture(scope="module")
def killed(recipe: Path) -> list[tuple[str, Path]]:
    """One study, killed in turn in every place of ``KILLS`` and continued by the same command to its end.

    What the checkpoints held at the moment of the third kill is kept: the first line of PPO's history.
    """
    held = []
    for stage, checkpoint in KILLS:
        work = kill_in(recipe, stage, checkpoint)
        assert whole(work)
        assert not (work.parents[1] / "policy" / work.name.removeprefix("policy-")).exists(), "the stage was finished"
        lines = [json.loads(path.read_text())["history"][:1] for path in work.glob("checkpoint-*/position.json")]
        held.append((stage, lines[0][0] if lines and lines[0] else {}))
    assert not (recipe.parent / "runs" / "tiny").exists()
    done = run(*command(recipe))
    assert done.returncode == 0, done.stderr
    return held


def test_killed_policies_equal_undisturbed_ones(
    killed: list[tuple[str, dict[str, float]]], recipe: Path, original: Path, tmp_path: Path
) -> None:
    """Weights, log-probabilities, scores, labels, the analysis: every file of every artifact.

    Answers are drawn from weights and seeds after the last kill, so they are not asked again here.
    """
    undisturbed = copy_tiny(original, tmp_path / "study") / "tiny.yaml"
    succeeded("run", undisturbed, *SMALL)
    found, wanted = artifacts(recipe), artifacts(undisturbed)
    assert found.keys() == wanted.keys()
    assert {key for key in wanted if found[key] != wanted[key]} == set()
    assert len({path.parents[1].name for path in (undisturbed.parent / "runs").glob("store/*/*/manifest.json")}) == 6
    assert not list((recipe.parent / "runs" / "store" / "tmp").iterdir())
    assert not list((recipe.parent / "runs" / "store" / "partial").iterdir())


def test_ppo_went_on_from_its_checkpoints(killed: list[tuple[str, dict[str, float]]], recipe: Path) -> None:
    """Seconds are never twice the same: those of the first update are still the ones measured before the kills."""
    (path,) = (recipe.parent / "runs" / "store").glob(f"policy/{keys(recipe)[PPO]}/history.json")
    first = json.loads(path.read_text())[0]
    before = [line for stage, line in killed if stage == PPO]
    assert before == [first, first]
