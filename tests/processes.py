"""Command lines in processes of their own, forked from one that has imported what they need.

A fresh interpreter spends seconds on importing torch, transformers and TRL, most of what a small run takes. These are
real processes all the same: each has its own environment and working directory, and can be interrupted, stopped and
killed. What a library reads from the environment while it is imported is the same for all of them.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from unittest.mock import patch

from spared import packages_once

#: One thread, because two processes on two cores would otherwise wait for each other, and no network.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
#: Modules that import everything a run does; accelerate asks for DeepSpeed where it saves a model.
LOADED = [
    "deepspeed",
    "w2s_pref.cli.main",
    "w2s_pref.launch.here",
    "w2s_pref.studies.finished",
    "w2s_pref.studies.preferences.run",
    "w2s_pref.report.html",
    "w2s_pref.training.fit",
    "w2s_pref.training.policy",
    "w2s_pref.training.online",
    "w2s_pref.training.ppo.fit",
]


@cache
def _server() -> ForkServerContext:
    """The process that is forked."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    # None is needed here, and a test asks whether the imports set them.
    unset = ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DS_ACCELERATOR")
    bare = {name: value for name, value in ENVIRONMENT.items() if name not in unset}
    with patch.dict(os.environ, bare, clear=True):
        forkserver.ensure_running()
    return context


def _become(words: tuple[str, ...], environment: Mapping[str, str], folder: str, out: str, err: str) -> None:
    """In the forked process: what ``python WORDS`` does, a file or ``-m`` and a module."""
    gc.freeze()
    packages_once()
    for number, path in ((1, out), (2, err)):
        with open(path, "ab") as file:
            os.dup2(file.fileno(), number)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests' own process does with it
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    module = words[0] == "-m"
    sys.argv = list(words[module:])
    sys.path.insert(0, folder if module else str(Path(words[0]).parent))
    if module:
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")


def _tell(names: tuple[str, ...], to: Connection) -> None:
    to.send(({name for name in sys.modules if name.startswith("w2s_pref.")}, [n for n in names if n in os.environ]))


def at_the_fork(names: tuple[str, ...]) -> tuple[set[str], list[str]]:
    """Modules of the package that a forked process finds loaded, and which of the variables are set by then."""
    here, there = multiprocessing.Pipe()
    process = _server().Process(target=_tell, args=(names, there))
    process.start()
    there.close()
    found: tuple[set[str], list[str]] = here.recv()
    process.join()
    return found


@dataclass(frozen=True)
class Running:
    """A command that goes on, or has ended."""

    process: ForkServerProcess
    files: tuple[Path, Path]

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self.files[0].read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it printed to the standard error so far."""
        return self.files[1].read_text(errors="replace")

    def poll(self) -> int | None:
        """Its exit status, minus the signal that ended it; None while it goes on."""
        return self.process.exitcode

    def wait(self, seconds: float = 300.0) -> int:
        """Until it has ended, which it must within that time."""
        self.process.join(seconds)
        status = self.poll()
        assert status is not None, f"still running after {seconds} s\n{self.out}\n{self.err}"
        return status

    def ended(self, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Its status and everything it printed, once it has ended."""
        return subprocess.CompletedProcess("", self.wait(seconds), self.out, self.err)

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, what)


@contextlib.contextmanager
def started(*words: str, environment: Mapping[str, str] = ENVIRONMENT, folder: Path | None = None) -> Iterator[Running]:
    """``python WORDS`` in the background; whatever is left of it at the end is killed.

    Args:
        words: ``-m``, a module and its arguments, or a file and its arguments.
        folder: where it works; here by default.
    """
    with tempfile.TemporaryDirectory() as place:
        files = Path(place, "out"), Path(place, "err")
        for file in files:
            file.touch()
        given = (words, dict(environment), str(folder or Path.cwd()), *map(str, files))
        process = _server().Process(target=_become, args=given)
        process.start()
        try:
            yield Running(process, files)
        finally:
            process.kill()
            process.join()


def run(
    *words: str, environment: Mapping[str, str] = ENVIRONMENT, folder: Path | None = None, seconds: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """``python WORDS`` to its end; see :func:`started`."""
    with started(*words, environment=environment, folder=folder) as running:
        return running.ended(seconds)


@contextlib.contextmanager
def started_together(number: int, *words: str, environment: Mapping[str, str] = ENVIRONMENT) -> Iterator[list[Running]]:
    """So many processes of one launch, as torchrun and accelerate start them, in the order of ranks."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    size = {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number)}
    launch = {**environment, **size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    places = [{**launch, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(number)]
    with contextlib.ExitStack() as stack:
        begin = [started(*words, environment=place) for place in (places if number > 1 else [environment])]
        yield [stack.enter_context(each) for each in begin]


def run_together(
    number: int, *words: str, environment: Mapping[str, str] = ENVIRONMENT, seconds: float = 300.0
) -> list[subprocess.CompletedProcess[str]]:
    """:func:`started_together` to their end."""
    with started_together(number, *words, environment=environment) as ranks:
        return [rank.ended(seconds) for rank in ranks]
