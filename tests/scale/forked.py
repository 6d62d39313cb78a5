"""Processes forked from this one where a library or a command starts interpreters: each is spared the imports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping


class Fork:
    """What is asked of a ``subprocess.Popen``, for a function in a process and a session of its own."""

    def __init__(self, begin: Callable[[], int], environment: Mapping[str, str], streams: Mapping[int, int]) -> None:
        """Run ``begin``, which gives its exit status; ``streams``: number there → file that it is here.

        No other file of this process is open there: pipes must end with the one process whose they are.
        """
        self.returncode: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                _become(environment, streams)
                status = begin()
            except SystemExit as ended:
                status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)

    def poll(self) -> int | None:
        """Its exit status; None while it goes on."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; TimeoutExpired where it goes on for longer."""
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (status := self.poll()) is None:
            if timeout is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("forked", timeout)
            time.sleep(0.02)
        return status

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)


def _become(environment: Mapping[str, str], streams: Mapping[int, int]) -> None:
    os.setsid()
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(each, signal.SIG_DFL)  # a launcher has its own
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in streams.items():
        os.dup2(stream, number)
    for each in {int(name) for name in os.listdir("/dev/fd")} - {0, 1, 2}:
        with contextlib.suppress(OSError):
            os.close(each)
    os.environ.clear()
    os.environ.update(environment)
