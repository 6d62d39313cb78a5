"""A process that is killed or stopped is named, ends the run in time, and costs nothing that was finished."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, copy_tiny
from launch_helpers import REWARDS, SMALL, artifacts, started
from processes import run_together, started_together

#: What accelerate launches.
RUN = str(ROOT / "recipes" / "run.py")
SILENCE = re.compile(r"error: process 1 of 2 \(pid (\d+) on .+\) has not been heard of for \d+ s")


def finish(recipe: Path) -> None:
    """The same two processes, without accelerate's launcher."""
    done = run_together(2, RUN, str(recipe), *SMALL, *REWARDS)
    assert (recipe.parent / "runs" / "tiny" / "results.json").is_file(), done


@pytest.fixture(scope="module")
def undisturbed(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    recipe = copy_tiny(original, tmp_path_factory.mktemp("launch") / "undisturbed") / "tiny.yaml"
    finish(recipe)
    return artifacts(recipe)


def test_kill_9_of_one_of_two(original: Path, tmp_path: Path, undisturbed: dict[str, dict[str, str]]) -> None:
    """The other ends with a sentence within 30 s; the same command then gives the same bytes."""
    recipe = copy_tiny(original, tmp_path / "study") / "tiny.yaml"
    with started(recipe, "ddp.yaml", *REWARDS) as running:
        running.wait_for_file("partial/*/checkpoint-2/w2s-complete.json")
        ranks = [running.rank(0), running.rank(1)]
        ranks[1].send_signal(signal.SIGKILL)
        assert running.wait_for(lambda: running.launcher.poll() is not None) < 30
        assert running.launcher.poll() != 0
        named = SILENCE.search(running.text())
        assert named, (running.launcher.poll(), running.text()[-3000:])
        assert named.group(1) == str(ranks[1].pid)
        assert "the same accelerate launch command continues" in running.text()
        assert not any(rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE for rank in ranks)
    assert not (recipe.parent / "runs" / "tiny").exists()
    finish(recipe)
    assert artifacts(recipe) == undisturbed


def test_a_process_that_hangs_ends_the_run(original: Path, tmp_path: Path) -> None:
    """Stopped, it neither answers nor dies: the other one ends the run after ddp_timeout seconds of silence.

    What the launcher then does is seen above.
    """
    recipe = copy_tiny(original, tmp_path / "study") / "tiny.yaml"
    with started_together(2, RUN, str(recipe), *SMALL, *REWARDS, "training.ddp_timeout=8") as ranks:
        deadline = time.monotonic() + 120
        while not any((tmp_path / "study" / "runs" / "store").glob("partial/*/checkpoint-2/w2s-complete.json")):
            assert ranks[0].poll() is None, ranks[0].ended()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        ranks[1].send(signal.SIGSTOP)
        assert ranks[0].wait(30) not in (0, None)
        named = SILENCE.search(ranks[0].out + ranks[0].err)
        assert named, ranks[0].err[-3000:]
        assert named.group(1) == str(ranks[1].pid)
        assert ranks[1].poll() is None
