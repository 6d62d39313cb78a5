"""Several processes of this machine work on one recipe; the store's leases keep them out of each other's way."""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core import collector
from w2s_pref.core.errors import W2SError
from w2s_pref.core.gpus import GPU_SHARE
from w2s_pref.launch.display import StageDisplay
from w2s_pref.launch.prepared import import_path

if TYPE_CHECKING:
    from w2s_pref.engine.stage import Stage
    from w2s_pref.launch.prepared import Forked, Prepared
    from w2s_pref.studies.run import Given

#: Begins every line that is not something a library printed (RFC 7464's record separator).
MARK = "\x1e"
#: Seconds between two messages about the steps of a training.
PAUSE = 0.2


class Telling:
    """A display that tells the process which started this one."""

    def __init__(self) -> None:
        self.told = 0.0

    def stage(self, number: int, total: int, stage: Stage, event: str, seconds: float) -> None:
        """A stage was found, started, finished or left."""
        say(event=event, number=number, total=total, what=f"{stage.kind:8} {stage.name}", seconds=seconds)

    def step(self, done: int, total: int) -> None:
        """A training made progress."""
        if done == total or time.monotonic() - self.told >= PAUSE:
            self.told = time.monotonic()
            say(event="step", done=done, total=total)

    def signal(self, step: int, signals: dict[str, float]) -> None:
        """Not told: several trainings share the screen, and their signals are in the report."""

    def wait(self, sentence: str) -> None:
        """There is nothing to do until another worker has finished."""
        say(event="wait", text=sentence)


def say(**message: Any) -> None:
    """One message to the process that started this one."""
    print(MARK + json.dumps(message), flush=True)


def _end_with_parent() -> None:
    """Standard input closes when the process that started this one ends or wants an end: the same as Ctrl-C."""
    while os.read(0, 1024):  # unbuffered: a lock of sys.stdin that is held while the interpreter ends would abort it
        pass
    _thread.interrupt_main()


def main() -> int:
    """Build what the recipe of the command line lacks; returns the exit status."""
    from w2s_pref.studies.run import build

    collector.begin()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        build(told(sys.argv[1]), sys.argv[2:], Telling())
    except W2SError as error:
        say(event="error", problems=error.problems)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def told(word: str) -> Given:
    """The recipe as the command line of a worker has it: a path or a name, or the keys themselves as JSON."""
    return json.loads(word) if word.startswith("{") else Path(word)


#: Seconds a worker has to end by itself.
PATIENCE = 20.0


def command(given: Given, overrides: list[str]) -> list[str]:
    """A worker's command line. Its own modules come from ``PYTHONPATH`` alone, not from the working folder (-P)."""
    recipe = str(given) if isinstance(given, Path) else json.dumps(given)
    return [sys.executable, "-P", "-m", "w2s_pref.launch.workers", recipe, *overrides]


def build_together(
    given: Given, overrides: list[str], number: int, display: StageDisplay, prepared: Prepared | None = None
) -> None:
    """Build what the store lacks with ``number`` processes, and show what they do.

    They are told a recipe's keys as JSON, and import from where this process does; ``prepared`` has done so for them.

    Raises:
        W2SError: the sentences of the first worker that could not go on, or no worker came to the end.
    """
    inbox: queue.Queue[tuple[int, str | None]] = queue.Queue()
    with _started(command(given, overrides), environments(number), prepared) as workers:
        for index, worker in enumerate(workers):
            threading.Thread(target=_listen, args=(index, worker, inbox), daemon=True).start()
        running = set(range(number))
        while running:
            index, text = inbox.get()
            if text is None:
                running.remove(index)
                _ended(index, workers[index].wait(), display)
            else:
                printed, mark, message = text.partition(MARK)  # a bar of a library leaves its line open
                if printed:
                    print(printed, end="\n" if mark else "", file=sys.stderr)
                if mark:
                    _show(json.loads(message), f"worker {index + 1}", display)
    if all(worker.returncode for worker in workers):
        raise W2SError(f"--workers {number}: no worker came to the end; the same command continues what they left")


def environments(number: int) -> list[dict[str, str]]:
    """Each worker's environment: a GPU in turn, where there are any, how many share it, and its part of the cores."""
    from w2s_pref.launch.allocation import cores

    base = {"OMP_NUM_THREADS": str(max(1, cores() // number)), **os.environ, "PYTHONUNBUFFERED": "1"}
    base["PYTHONPATH"] = import_path()
    gpus = _gpus()
    share = {GPU_SHARE: str(ceil(number / len(gpus)))} if gpus else {}
    own = [{"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)], **share} if gpus else {} for index in range(number)]
    return [{**base, **extra} for extra in own]


def _gpus() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


@contextlib.contextmanager
def _started(
    line: list[str], places: list[dict[str, str]], prepared: Prepared | None
) -> Iterator[Sequence[subprocess.Popen[str] | Forked]]:
    """The workers, in sessions of their own: they end when their standard input closes, however this process ends."""
    workers: list[subprocess.Popen[str] | Forked] = []
    try:
        if prepared is not None:
            workers += prepared.workers(line, places)
        for place in places[len(workers) :]:
            workers.append(
                subprocess.Popen(
                    line, env=place, text=True, start_new_session=True, encoding="utf-8", errors="replace",
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                )
            )  # fmt: skip
        yield workers
    finally:
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.close()
        for worker in workers:
            try:
                worker.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def _listen(index: int, worker: subprocess.Popen[str] | Forked, inbox: queue.Queue[tuple[int, str | None]]) -> None:
    assert worker.stdout is not None
    for text in worker.stdout:
        inbox.put((index, text))
    inbox.put((index, None))


def _ended(index: int, status: int, display: StageDisplay) -> None:
    """Another worker takes over what a killed one was building; one that failed would fail again."""
    if status < 0:
        display.line(f"worker {index + 1} was ended by signal {-status} (9: often no memory left); the others go on")
    elif status:
        raise W2SError(f"worker {index + 1} ended with status {status}; what it said stands above")


def _show(message: dict[str, Any], worker: str, display: StageDisplay) -> None:
    event = message["event"]
    if event == "step":
        display.step(message["done"], message["total"], worker)
    elif event == "wait":
        display.line(f"{worker}: {message['text']}")
    elif event == "error":
        raise W2SError(message["problems"])
    else:
        display.event(message["number"], message["total"], message["what"], event, message["seconds"], worker)


if __name__ == "__main__":
    sys.exit(main())
