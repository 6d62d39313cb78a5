"""Workers forked from one process that has imported everything: the same as workers of their own."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from conftest import copy_tiny
from processes import Running, run, started
from test_scale_workers import LONG, ONE, same, w2s

from w2s_pref.core.errors import W2SError
from w2s_pref.launch import prepared as room
from w2s_pref.launch.prepared import Prepared, prepared
from w2s_pref.launch.workers import command

PREPARED = str(Path(__file__).with_name("prepared_workers.py"))
SAID = "2 processes of 1 thread"


def test_forked_workers_make_the_same(study: Path, original: Path, tmp_path: Path) -> None:
    done = run(PREPARED, "run", "tiny.yaml", *ONE, folder=study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SAID in done.stdout
    built = re.findall(r"^\[\d+/15\] (.*?)  [\d.]+ s  \((worker \d)\)$", done.stdout, re.MULTILINE)
    assert len(built) == len({name for name, _ in built}) == 15
    assert {worker for _, worker in built} == {"worker 1", "worker 2"}
    alone = copy_tiny(original, tmp_path / "alone")
    assert w2s(alone, *ONE).returncode == 0
    same(study, alone)


def test_the_sentence_of_a_forked_worker_ends_the_run(study: Path) -> None:
    done = run(PREPARED, "run", "tiny.yaml", *ONE, "training.learning_rate=1.0e+30", folder=study)
    assert done.returncode == 1
    assert SAID in done.stdout
    assert re.search(r"^error: (ceiling|direct)/\S+ .*training diverged at step", done.stderr, re.MULTILINE), (
        done.stderr
    )
    assert "Traceback" not in done.stderr + done.stdout


@pytest.fixture
def running(study: Path) -> Iterator[tuple[Running, psutil.Process, list[psutil.Process]]]:
    """A run, the process that imported, and its two workers, both of them training."""
    with started(PREPARED, "run", "tiny.yaml", *LONG, folder=study) as process:
        deadline = time.monotonic() + 300
        while len({path.parent for path in study.glob("runs/store/partial/*/checkpoint-*")}) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.ended()
            time.sleep(0.02)
        (parent,) = psutil.Process(process.pid).children()
        yield process, parent, parent.children()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_run(
    running: tuple[Running, psutil.Process, list[psutil.Process]], how: signal.Signals
) -> None:
    process, parent, children = running
    assert len(children) == 2
    process.send(how)
    assert process.ended().returncode == (130 if how == signal.SIGINT else -9)
    assert psutil.wait_procs([parent, *children], timeout=60)[1] == []


def test_a_killed_worker_costs_its_last_steps_only(
    running: tuple[Running, psutil.Process, list[psutil.Process]],
) -> None:
    process, _, children = running
    children[0].kill()
    done = process.ended()
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^worker \d was ended by signal 9 \(9: often no memory left\); the others go on$", done.stdout, re.M
    )


def test_without_the_one_that_imported_the_run_ends_and_says_so(
    running: tuple[Running, psutil.Process, list[psutil.Process]],
) -> None:
    """Nobody would know how its workers end, so they end with it; the same command goes on."""
    process, parent, children = running
    parent.kill()
    done = process.ended()
    assert done.returncode == 1
    assert done.stderr.startswith("error: --workers 2: no worker came to the end; the same command continues"), (
        done.stderr
    )
    assert psutil.wait_procs(children, timeout=60)[1] == []


@pytest.fixture
def process() -> Iterator[Prepared]:
    made = Prepared()
    yield made
    made.stop()


def test_one_that_has_ended_has_no_workers(process: Prepared, tmp_path: Path) -> None:
    """So others are started one by one."""
    process.process.kill()
    process.process.wait()
    assert process.workers(command(tmp_path / "no.yaml", []), [process.environment] * 2) == []


def test_an_environment_that_changed_since_is_not_theirs(process: Prepared, tmp_path: Path) -> None:
    """Libraries have read it while they were imported: an offline hub is the gravest, and unlike GPUs."""
    line = command(tmp_path / "no.yaml", [])
    assert process.workers(line, [{**process.environment, "HF_HUB_OFFLINE": "changed"}] * 2) == []
    gpus = [{**process.environment, "CUDA_VISIBLE_DEVICES": number} for number in "01"]
    assert process.workers(line, gpus) == []


def test_one_that_is_killed_ends_its_workers(process: Prepared, tmp_path: Path) -> None:
    """Nobody would know how they end; nothing waits for ever. There are never more than its message can carry."""
    workers = process.workers(command(tmp_path / "no.yaml", []), [process.environment] * 130)
    assert len(workers) == room.FILES // 2
    workers[0].kill()  # it imports still, and has no workers: it ends itself
    assert {worker.wait(60) for worker in workers} == {-signal.SIGKILL}
    assert {worker.stdout.read() for worker in workers} == {""}


def test_half_a_message_ends_it(process: Prepared) -> None:
    """The process that started it was killed."""
    process.words.sendall(b"{")
    process.words.close()
    assert process.process.wait(120) == 0


@pytest.fixture
def may_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU, where nobody has said how many threads; no process is started."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(room.sys, "platform", "linux")
    monkeypatch.setattr(room.Prepared, "__init__", lambda _self: None)
    monkeypatch.setattr(room.Prepared, "stop", lambda _self: None)


def starts(study: Path, *words: str, cores: int = 2) -> bool:
    with prepared(study / "tiny.yaml", [f"output={study / 'runs'}", *words], cores) as process:
        return process is not None


@pytest.mark.usefixtures("may_fork")
def test_where_it_is_started(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert starts(study)
    assert not starts(study, cores=1)
    assert not starts(study, "nonsense")
    assert not starts(study.parent / "nowhere")
    (study / "runs" / "tiny").mkdir(parents=True)
    assert not starts(study)
    assert starts(study, "name=another")
    with prepared({"name": "tiny", "output": str(study / "runs")}, [], 2) as process:
        assert process is None
    for name, value in (("OMP_NUM_THREADS", "2"), ("CUDA_VISIBLE_DEVICES", "0")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            assert not starts(study, "name=another")
    monkeypatch.setattr(room.sys, "platform", "darwin")
    assert not starts(study, "name=another")


@pytest.mark.usefixtures("may_fork")
def test_it_ends_where_the_recipe_is_refused(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr(room.Prepared, "stop", lambda _self: stopped.append(True))
    with pytest.raises(W2SError), prepared(study / "tiny.yaml", [f"output={study / 'runs'}"], 2):
        raise W2SError("no")
    assert stopped == [True]
