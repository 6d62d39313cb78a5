"""kill -9 at any moment loses at most the work since the last checkpoint; the run then equals an undisturbed one."""

from __future__ import annotations

import json
import shutil
import signal
import time
from functools import cache
from pathlib import Path

import pytest
from conftest import write_tiny
from processes import run, started

from w2s_pref.studies.run import open_recipe

ARM = "arms={direct: [weak, strong]}"
SMALL = [
    "seeds=[0]",
    ARM,
    "conflict.settings=[none, explicit]",
    "training.num_train_epochs=4",
    "training.logging_steps=4",
]


def command(recipe: Path) -> list[str]:
    return ["-m", "w2s_pref", "run", str(recipe), *SMALL]


def artifacts(recipe: Path) -> dict[str, dict[str, str]]:
    """Key → files and their hashes, of models, scores and labels."""
    found = {}
    for path in (recipe.parent / "runs" / "store").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["kind"] != "analysis":
            found[manifest["key"]] = manifest["files"]
    return found


@cache
def keys(recipe: Path) -> dict[str, str]:
    """Name of every model → its key."""
    return {name: stage.key for (name, _), stage in open_recipe(recipe, SMALL).study.trained.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe = write_tiny(folder)
    done = run(*command(recipe))
    assert done.returncode == 0, done.stderr
    return folder, artifacts(recipe)


def copy_of(undisturbed: Path, folder: Path) -> Path:
    shutil.copytree(undisturbed, folder, ignore=shutil.ignore_patterns("runs"))
    recipe = folder / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace(str(undisturbed), str(folder)))
    return recipe


PAUSED = str(Path(__file__).with_name("paused.py"))
#: What is killed, in building order: the stage, and the path in the store at whose sight it is. Each kill but the last
#: has a stage of its own, so that a difference says which kill made it.
KILLS = {
    "after a checkpoint": ("ceiling/weak", "partial/{}/checkpoint-6/w2s-complete.json"),
    "inside a checkpoint": ("ceiling/strong", "partial/{}/checkpoint-9"),
    "while saving": ("direct/none", "tmp/{}-*/paused"),
    "before a checkpoint is torn": ("direct/explicit", "partial/{}/checkpoint-9/w2s-complete.json"),
    "in mid-commit": ("direct/explicit", "tmp/{}-*/paused"),
}
#: Where the run stands still until it is killed; the others are killed as they run.
POINTS = {"while saving": "commit", "in mid-commit": "move_in"}


def kill_when(recipe: Path, case: str) -> None:
    """Start the run and kill -9 it as soon as the path of that case exists in the store."""
    key = keys(recipe)[KILLS[case][0]]
    store, seen = recipe.parent / "runs" / "store", KILLS[case][1].format(f"model-{key}")
    words = [PAUSED, POINTS[case], key, *command(recipe)[2:]] if case in POINTS else command(recipe)
    with started(*words) as process:
        deadline = time.time() + 120
        while time.time() < deadline and process.poll() is None and not any(store.glob(seen)):
            time.sleep(0.002)
        assert process.poll() is None, f"the run ended before it could be killed\n{process.err}"
        process.send(signal.SIGKILL)
        process.wait()
    assert not (store / "model" / key).exists(), "the stage was finished"
    assert not (recipe.parent / "runs" / "tiny").exists()


@pytest.fixture(scope="module")
def killed(
    undisturbed: tuple[Path, dict[str, dict[str, str]]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """Artifacts of one study that was killed in every place of ``KILLS``, each time continued by the same command.

    Of the one checkpoint optimizer.pt is taken away after the kill: without it the stock trainer would resume silently
    with other weights. The run has to fall back to the checkpoint before.
    """
    recipe = copy_of(undisturbed[0], tmp_path_factory.mktemp("killed") / "copy")
    store = recipe.parent / "runs" / "store"
    for case in KILLS:
        kill_when(recipe, case)
        if case == "before a checkpoint is torn":
            (optimizer,) = store.glob("partial/*/checkpoint-9/optimizer.pt")
            optimizer.unlink()
    done = run(*command(recipe))
    assert done.returncode == 0, done.stderr
    assert not list((store / "tmp").iterdir())
    return artifacts(recipe)


@pytest.mark.parametrize("case", KILLS)
def test_a_killed_stage_equals_the_undisturbed_one(
    undisturbed: tuple[Path, dict[str, dict[str, str]]], killed: dict[str, dict[str, str]], case: str
) -> None:
    key = keys(undisturbed[0] / "tiny.yaml")[KILLS[case][0]]
    assert killed[key] == undisturbed[1][key]


def test_a_killed_run_equals_the_undisturbed_one(
    undisturbed: tuple[Path, dict[str, dict[str, str]]], killed: dict[str, dict[str, str]]
) -> None:
    assert killed == undisturbed[1]


def test_interrupt_prints_how_to_continue(tmp_path: Path, undisturbed: tuple[Path, dict[str, dict[str, str]]]) -> None:
    recipe = copy_of(undisturbed[0], tmp_path / "copy")
    with started(*command(recipe)) as process:
        deadline = time.time() + 120
        while time.time() < deadline and not any((recipe.parent / "runs" / "store").glob("partial/*/checkpoint-3")):
            time.sleep(0.01)
        process.send(signal.SIGINT)
        done = process.ended(60)
    assert done.returncode == 130
    assert "this continues:" in done.stderr
    assert f"w2s run {recipe}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_run_builds_nothing(undisturbed: tuple[Path, dict[str, dict[str, str]]]) -> None:
    done = run(*command(undisturbed[0] / "tiny.yaml"))
    assert done.returncode == 0
    assert ", 0 built" in done.stdout
