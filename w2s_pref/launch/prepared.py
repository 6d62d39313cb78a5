"""Workers of small models, forked from one process that has imported everything, so that they begin at once.

Imports take a worker six seconds and more, as long as four trainings of a small model. The process that imports starts
while the recipe is still read; when it is known how many workers there will be, it becomes their parent. It computes
nothing, so no thread of its own holds anything that a fork would wait for. Where models are large, where there is a
GPU, where the environment has changed meanwhile, or where nobody may fork, workers are started one by one
(``workers``), and this process is told to end.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core import collector
from w2s_pref.core.yaml_io import load_yaml, with_overrides

if TYPE_CHECKING:
    from w2s_pref.studies.run import Given

#: One thread each; and freed memory stays with the process up to a gigabyte (mallopt(3)): small tensors come and go at
#: every step, and asking the system anew is a tenth of the time.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26),
}  # fmt: skip
#: What a study of preferences imports until its first model is trained and scored, and for its analysis. Every training
#: asks for DeepSpeed, where it is installed.
IMPORTED = (
    "w2s_pref.studies.run", "w2s_pref.studies.preferences.run", "w2s_pref.studies.preferences.students",
    "w2s_pref.training.reward", "w2s_pref.models.load", "w2s_pref.models.scoring", "w2s_pref.stages.labels",
    "w2s_pref.analysis.preferences.study", "deepspeed",
)  # fmt: skip
#: Bytes of one message, and the files that may come with it: two a worker.
MESSAGE, FILES = 2**20, 250
#: prctl(2): the signal that a process gets when the one that forked it ends.
PR_SET_PDEATHSIG = 1


class Forked:
    """One worker: what ``workers`` asks of a ``subprocess.Popen``."""

    def __init__(self, stdin: int, stdout: int, starter: int) -> None:
        self.starter = starter
        self.stdin = os.fdopen(stdin, "w")
        self.stdout = os.fdopen(stdout, encoding="utf-8", errors="replace")
        self.pid: int | None = None
        self.returncode: int | None = None
        self.over = threading.Event()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, as ``Popen`` has it."""
        if not self.over.wait(timeout):
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """End it at once."""
        if not self.over.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid or self.starter, signal.SIGKILL)  # one that still imports has no workers yet

    def ended(self, status: int) -> None:
        """Its exit status is known."""
        self.returncode = status
        self.over.set()


class Prepared:
    """The process that imports, seen from the one that starts it."""

    def __init__(self) -> None:
        self.words, there = socket.socketpair()
        line = [sys.executable, "-P", "-m", "w2s_pref.launch.prepared"]
        own = self.environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": import_path()}
        with there:
            self.process = subprocess.Popen(
                line, stdin=there.fileno(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own,
                start_new_session=True,
            )  # fmt: skip

    def workers(self, line: list[str], places: list[dict[str, str]]) -> list[Forked]:
        """One worker for each environment, which are all alike; ``line`` is what ``workers.command`` says."""
        if self.process.poll() is not None or any({**place, **ENVIRONMENT} != self.environment for place in places):
            return []
        found, files = [], []
        for _ in places[: FILES // 2]:
            (stdin, to), (out, stdout) = os.pipe(), os.pipe()
            found.append(Forked(to, out, self.process.pid))
            files += [stdin, stdout]
        message = json.dumps({"line": line, "place": places[0]}).encode() + b"\n"
        try:
            sent = socket.send_fds(self.words, [message], files)
            self.words.sendall(message[sent:])
        except OSError:  # it has ended, and every worker with it
            for worker in found:
                worker.ended(-signal.SIGKILL)
        for file in files:
            os.close(file)
        threading.Thread(target=self._hear, args=(found,), daemon=True).start()
        return found

    def _hear(self, workers: list[Forked]) -> None:
        """Who they are and how they end; all of them have ended when nothing more comes."""
        with contextlib.suppress(OSError, ValueError), self.words.makefile() as said:
            for text in said:
                message = json.loads(text)
                worker = workers[message["worker"]]
                worker.pid = message["pid"]
                if "status" in message:
                    worker.ended(message["status"])
        for worker in workers:
            if not worker.over.is_set():
                worker.ended(-signal.SIGKILL)

    def stop(self) -> None:
        """End it, where it has no workers any more."""
        self.process.kill()
        self.process.wait()
        self.words.close()


@contextlib.contextmanager
def prepared(given: Given, overrides: list[str], cores: int) -> Iterator[Prepared | None]:
    """The process that imports, within the block; None where workers will not be forked, or nothing seems missing."""
    process = Prepared() if cores > 1 and _may_fork() and not _stands(given, overrides) else None
    try:
        yield process
    finally:
        if process is not None:
            process.stop()


def import_path() -> str:
    """Where this process imports from, for others: ``PYTHONPATH``."""
    return os.pathsep.join(str(place) or str(Path.cwd()) for place in sys.path)


def _may_fork() -> bool:
    """A system where that is safe, no GPU, and no number of threads that somebody else has said."""
    gpu = any(Path("/dev").glob("nvidia[0-9]*")) or os.environ.get("CUDA_VISIBLE_DEVICES")
    return sys.platform == "linux" and not gpu and "OMP_NUM_THREADS" not in os.environ


def _stands(given: Given, overrides: list[str]) -> bool:
    """Whether there is a run of that name, which lacks little then; or the recipe is wrong, which is said elsewhere."""
    from w2s_pref.studies.shipped import find_recipe

    with contextlib.suppress(Exception):
        raw = with_overrides(load_yaml(find_recipe(given)) if isinstance(given, Path) else dict(given), overrides)
        return Path(str(raw.get("output", "runs")), str(raw.get("name", ""))).exists()
    return True


def main() -> int:
    """Import, wait for a word, become the parent of workers, and say how they end. Returns the exit status."""
    collector.begin()
    _import()
    words = socket.socket(fileno=os.dup(0))
    message, files, *_ = socket.recv_fds(words, MESSAGE, FILES)
    while message and not message.endswith(b"\n"):
        more = words.recv(MESSAGE)
        message = message + more if more else b""
    if not message:
        return 0
    told = json.loads(message)
    children: dict[int, int] = {}
    parent = os.getpid()
    for number in range(len(files) // 2):
        pid = os.fork()
        if pid == 0:
            words.close()
            return _work(told["line"], told["place"], files, number, parent)
        children[pid] = number
        _say(words, worker=number, pid=pid)
    for file in files:
        os.close(file)
    while children:
        pid, status = os.waitpid(-1, 0)
        _say(words, worker=children.pop(pid), pid=pid, status=os.waitstatus_to_exitcode(status))
    return 0


def _import() -> None:
    """What stages import when they are built first, most of it a training's."""
    for name in IMPORTED:
        with contextlib.suppress(Exception):  # a worker imports it again, and says why not
            importlib.import_module(name)
    from w2s_pref.training.environment import quiet

    quiet()


def _work(line: list[str], place: dict[str, str], files: list[int], number: int, parent: int) -> int:
    """In a fork: what a process of its own would be, in a session of its own."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody else would know how it ended
    if os.getppid() != parent:
        return 1
    os.dup2(files[2 * number], 0)
    for standard in (1, 2):
        os.dup2(files[2 * number + 1], standard)
    for file in files:
        os.close(file)
    os.environ.clear()
    os.environ.update(place)
    collector.spare_imports.cache_clear()  # ``begin`` comes again, so must what ends it
    sys.argv = line[line.index("-m") + 1 :]
    status: int = importlib.import_module(sys.argv[0]).main()
    return status


def _say(words: socket.socket, **message: Any) -> None:
    """To the process that started this one, where it still listens."""
    with contextlib.suppress(OSError):
        words.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
