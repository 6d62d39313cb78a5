"""Several processes on one recipe: no stage twice, equal results, sentences, and no process left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
from conftest import copy_tiny
from processes import ENVIRONMENT, Running, run, started
from typer.testing import CliRunner

from w2s_pref.cli.main import app
from w2s_pref.launch import workers

ONE = ["seeds=[0]", "arms={direct: [weak, strong]}", "conflict.settings=[none, explicit]", "training.save_steps=100"]
LONG = [*ONE, "training.num_train_epochs=24", "training.save_steps=20"]


#: Where what the workers do is asked, and not how they are started.
FORKED = str(Path(__file__).with_name("forked_workers.py"))


def w2s(folder: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return run("-m", "w2s_pref", "run", "tiny.yaml", *words, folder=folder, environment={**ENVIRONMENT, **extra})


def outcome(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """What a run found, without when and where it ran."""
    value = json.loads((folder / "runs" / "tiny" / "results.json").read_text())
    value.pop("provenance")
    value["recipe"].pop("output")
    return value, pd.read_parquet(folder / "runs" / "tiny" / "scores.parquet")


def same(one: Path, other: Path) -> None:
    assert outcome(one)[0] == outcome(other)[0]
    pd.testing.assert_frame_equal(outcome(one)[1], outcome(other)[1], check_exact=True)


@pytest.fixture(scope="module")
def alone(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the recipe."""
    folder = copy_tiny(original, tmp_path_factory.mktemp("alone") / "study")
    done = w2s(folder, *ONE)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_workers_equal_one_process(study: Path, alone: Path) -> None:
    done = w2s(study, *ONE, "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    built = re.findall(r"^\[\d+/15\] (.*?)  [\d.]+ s  \((worker \d)\)$", done.stdout, re.MULTILINE)
    assert len(built) == len({name for name, _ in built}) == 15
    assert {worker for _, worker in built} == {"worker 1", "worker 2"}
    assert "15 stages: 0 from the store, 15 built" in done.stdout
    assert not list((study / "runs" / "store" / "locks").iterdir())
    assert json.loads((study / "runs" / "tiny" / "results.json").read_text())["provenance"]["command"].endswith(
        "--workers 2"
    )
    same(study, alone)


def test_the_sentence_of_a_worker_ends_the_run(study: Path) -> None:
    words = ("run", "tiny.yaml", *ONE, "training.learning_rate=1.0e+30", "--workers", "2")
    done = run(FORKED, *words, folder=study)
    assert done.returncode == 1
    assert re.search(r"^error: (ceiling|direct)/\S+ .*training diverged at step", done.stderr, re.MULTILINE), (
        done.stderr
    )
    assert "Traceback" not in done.stderr + done.stdout
    assert not (study / "runs" / "tiny").exists()


def test_a_launch_of_several_processes_is_refused(study: Path) -> None:
    done = w2s(study, *ONE, "--workers", "2", WORLD_SIZE="2", RANK="0")
    assert done.returncode == 1
    assert (
        "error: --workers 2: this is a launch of 2 processes that train one stage together; use either" in done.stderr
    )


@pytest.fixture
def running(study: Path) -> Iterator[tuple[Running, list[psutil.Process]]]:
    """A run of two workers, both of them training, and its worker processes."""
    with started(FORKED, "run", "tiny.yaml", *LONG, "--workers", "2", folder=study) as process:
        deadline = time.monotonic() + 300
        while len({path.parent for path in study.glob("runs/store/partial/*/checkpoint-*")}) < 2:  # old ones go
            assert time.monotonic() < deadline
            assert process.poll() is None, process.ended()
            time.sleep(0.02)
        yield process, psutil.Process(process.pid).children()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_run(running: tuple[Running, list[psutil.Process]], how: signal.Signals) -> None:
    """Ctrl-C: status 130 and how to continue. Killed: the workers see that nobody is there."""
    process, children = running
    assert len(children) == 2
    process.send(how)
    done = process.ended()
    assert done.returncode == (130 if how == signal.SIGINT else -9)
    assert psutil.wait_procs(children, timeout=60)[1] == []
    if how == signal.SIGINT:
        assert "this continues:" in done.stderr
        assert "--workers 2" in done.stderr


def test_a_killed_worker_costs_its_last_steps_only(running: tuple[Running, list[psutil.Process]]) -> None:
    process, children = running
    children[0].kill()
    done = process.ended()
    assert done.returncode == 0, done.stderr
    said = r"^worker \d was ended by signal 9 \(9: often no memory left\); the others go on$"
    assert re.search(said, done.stdout, re.M)
    built = re.findall(r"^\[\d+/15\] (.*?)  [\d.]+ s", done.stdout, re.MULTILINE)
    assert len(built) == len(set(built)) == 15


def test_each_worker_has_its_gpu_and_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    places = workers.environments(3)
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places] == ["4", "7", "4"]
    assert {place["OMP_NUM_THREADS"] for place in places} == {"2"}
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [(p["OMP_NUM_THREADS"], p["CUDA_VISIBLE_DEVICES"]) for p in workers.environments(2)] == [("5", "")] * 2


JOBS = "jobs: 2\ncluster: local\nfolder: jobs\nparameters: {timeout_min: 2}\n"


def test_two_jobs_of_a_cluster(study: Path, alone: Path) -> None:
    pytest.importorskip("submitit")
    (study / "jobs.yaml").write_text(JOBS)
    done = w2s(study, *ONE, "--submit", "jobs.yaml")
    assert done.returncode == 0, done.stderr
    names = re.search(r"^submitted 2 jobs: (\d+), (\d+); logs in jobs$", done.stdout, re.MULTILINE)
    assert names is not None, done.stdout
    results = [study / "jobs" / f"{name}_0_result.pkl" for name in names.groups()]
    deadline = time.monotonic() + 300
    while not all(path.exists() for path in results) and time.monotonic() < deadline:
        time.sleep(0.1)
    logs = [(study / "jobs" / f"{name}_0_log.out").read_text() for name in names.groups()]
    built = [found for log in logs for found in re.findall(r"^\[\d+/15\] (.*?)  [\d.]+ s$", log, re.MULTILINE)]
    assert len(built) == len(set(built)) == 15, logs
    same(study, alone)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jobs: 0\n", "jobs: should be 1 or more, but this is 0"),
        ("jobs: 2\nqueue: x\n", "unknown key 'queue'"),
        (
            JOBS.replace("cluster: local", "cluster: lcoal"),
            "submitit says: AutoExecutor doesn't know any executor named lcoal",
        ),
        (JOBS.replace("timeout_min", "timeout_mni"), "submitit says: "),
    ],
)
def test_mistakes_are_said_before_anything_is_submitted(study: Path, text: str, said: str) -> None:
    pytest.importorskip("submitit")
    from w2s_pref.core.errors import W2SError
    from w2s_pref.launch.cluster import submit

    (study / "jobs.yaml").write_text(text)
    with pytest.raises(W2SError, match=re.escape(said)):
        submit(study / "jobs.yaml", study / "tiny.yaml", [], 1)
    (study / "jobs.yaml").write_text(JOBS)
    with pytest.raises(W2SError, match="nonsense"):
        submit(study / "jobs.yaml", study / "tiny.yaml", ["nonsense=1"], 1)
    assert not list(study.glob("jobs/*"))


class NoCluster:
    """Takes jobs and starts none."""

    def __init__(self, **options: Any) -> None:
        self.update_parameters = options.update
        self.batch = contextlib.nullcontext

    def submit(self, job: object) -> Any:
        return SimpleNamespace(job_id="7")


def test_submitting_says_what_plan_warns_of_and_how_to_look(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("submitit"), "AutoExecutor", NoCluster)
    (study / "jobs.yaml").write_text(JOBS)
    (study / "runs" / "tiny").mkdir(parents=True)
    shutil.copy(study / "tiny.yaml", study / "runs" / "tiny" / "recipe.yaml")
    (study / "runs" / "tiny" / "results.json").write_text("{}")
    words = ["run", "tiny.yaml", *ONE, "models.weak.path=owner/elsewhere", "--submit", "jobs.yaml"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    *warnings, submitted, look = done.output.splitlines()
    assert submitted == "submitted 2 jobs: 7, 7; logs in jobs"
    prefix, command = look.split(": ", 1)
    assert prefix == "how far they are"
    assert shlex.split(command) == ["w2s", "status", "tiny.yaml", *ONE, "models.weak.path=owner/elsewhere"]
    assert any(line.startswith("not checked: ") and "owner/elsewhere" in line for line in warnings)
    assert any("holds the run of another recipe" in line for line in warnings)
