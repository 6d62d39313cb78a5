"""kill -9 at any moment loses at most the work since the last checkpoint; the run then equals an undisturbed one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from conftest import write_tiny

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
ARM = "arms={direct: [weak, strong]}"
SMALL = ["seeds=[0]", ARM, "conflict.settings=[none, explicit]", "training.num_train_epochs=4"]


def command(recipe: Path) -> list[str]:
    return [sys.executable, "-m", "w2s_pref", "run", str(recipe), *SMALL]


def run(recipe: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(recipe), env={**ENVIRONMENT, **extra}, capture_output=True, text=True, check=False)


def artifacts(recipe: Path) -> dict[str, dict[str, str]]:
    """Key → files and their hashes, of models, scores and labels."""
    found = {}
    for path in (recipe.parent / "runs" / "store").glob("*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        if manifest["kind"] != "analysis":
            files = {name: value for name, value in manifest["files"].items() if name != "history.json"}
            found[manifest["key"]] = files
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    recipe = write_tiny(folder)
    done = run(recipe)
    assert done.returncode == 0, done.stderr
    return folder, artifacts(recipe)


def copy_of(undisturbed: Path, folder: Path) -> Path:
    shutil.copytree(undisturbed, folder, ignore=shutil.ignore_patterns("runs"))
    recipe = folder / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace(str(undisturbed), str(folder)))
    return recipe


def kill_when(recipe: Path, seen: str, **extra: str) -> None:
    """Start the run and kill -9 it as soon as a path matching ``seen`` exists in the store."""
    process = subprocess.Popen(
        command(recipe), env={**ENVIRONMENT, **extra}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    store = recipe.parent / "runs" / "store"
    deadline = time.time() + 120
    while time.time() < deadline and process.poll() is None and not any(store.glob(seen)):
        time.sleep(0.002)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
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
    done = run(recipe)
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
    assert run(recipe).returncode == 0
    assert artifacts(recipe) == undisturbed[1]


def test_interrupt_prints_how_to_continue(tmp_path: Path, undisturbed: tuple[Path, dict[str, dict[str, str]]]) -> None:
    recipe = copy_of(undisturbed[0], tmp_path / "copy")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # Where the tests themselves run in the background of a shell, children would ignore the interrupt.
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command(recipe), env=ENVIRONMENT, text=True, preexec_fn=default, **pipes)
    deadline = time.time() + 120
    while time.time() < deadline and not any((recipe.parent / "runs" / "store").glob("partial/*/checkpoint-3")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "this continues:" in errors
    assert f"w2s run {recipe}" in errors
    assert "Traceback" not in errors


def test_a_second_run_builds_nothing(undisturbed: tuple[Path, dict[str, dict[str, str]]]) -> None:
    done = run(undisturbed[0] / "tiny.yaml")
    assert done.returncode == 0
    assert ", 0 built" in done.stdout
