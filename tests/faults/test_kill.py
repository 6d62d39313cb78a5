"""kill -9 at any moment loses at most the work since the last checkpoint; the run then equals an undisturbed one."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import write_tiny
from processes import run, started

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


def kill_when(recipe: Path, seen: str) -> None:
    """Start the run and kill -9 it as soon as a path matching ``seen`` exists in the store."""
    store = recipe.parent / "runs" / "store"
    with started(*command(recipe)) as process:
        deadline = time.time() + 120
        while time.time() < deadline and process.poll() is None and not any(store.glob(seen)):
            time.sleep(0.002)
        assert process.poll() is None, "the run ended before it could be killed"
        process.send(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    "seen",
    ["partial/*/checkpoint-6/w2s-complete.json", "partial/*/checkpoint-9", "tmp/*/history.json", "tmp/*/manifest.json"],
    ids=["after a checkpoint", "inside a checkpoint", "while saving", "in mid-commit"],
)
def test_killed_run_equals_the_undisturbed_one(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, dict[str, str]]], seen: str
) -> None:
    recipe = copy_of(undisturbed[0], tmp_path / "copy")
    kill_when(recipe, seen)
    assert not (recipe.parent / "runs" / "tiny").exists()
    done = run(*command(recipe))
    assert done.returncode == 0, done.stderr
    assert artifacts(recipe) == undisturbed[1]
    assert not list((recipe.parent / "runs" / "store" / "tmp").iterdir())


def test_torn_checkpoint_falls_back_to_a_whole_one(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, dict[str, str]]]
) -> None:
    """Without optimizer.pt the stock trainer would resume silently with other weights."""
    recipe = copy_of(undisturbed[0], tmp_path / "copy")
    kill_when(recipe, "partial/*/checkpoint-9/w2s-complete.json")
    (optimizer,) = (recipe.parent / "runs" / "store").glob("partial/*/checkpoint-9/optimizer.pt")
    optimizer.unlink()
    assert run(*command(recipe)).returncode == 0
    assert artifacts(recipe) == undisturbed[1]


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
