"""``w2s`` whose workers are forked from it, not started: each is spared the imports, most of what it would take.

They have the pipes, the session and the environment that ``launch/workers.py`` gives, and run its ``main``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any, ClassVar
from unittest.mock import patch

from w2s_pref.cli.main import main
from w2s_pref.launch import workers


class Forked:
    """What ``build_together`` asks of a ``subprocess.Popen``."""

    #: Ends of pipes that are this process's: a worker that held another one's would keep it from seeing them close.
    ours: ClassVar[list[int]] = []

    def __init__(self, line: list[str], env: dict[str, str], **_: Any) -> None:
        self.returncode: int | None = None
        (stdin, to), (out, stdout) = os.pipe(), os.pipe()
        self.ours += [to, out]
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            self._become(line, env, (stdin, stdout, stdout))
        for each in (stdin, stdout):
            os.close(each)
        self.stdin, self.stdout = os.fdopen(to, "w"), os.fdopen(out, encoding="utf-8", errors="replace")

    def _become(self, line: list[str], env: dict[str, str], streams: tuple[int, int, int]) -> None:
        status = 1
        try:
            os.setsid()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            for each in {*self.ours, *streams}:
                os.close(each)
            os.environ.clear()
            os.environ.update(env)
            sys.argv = line[2:]
            status = workers.main()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def wait(self, timeout: float = float("inf")) -> int:
        """Its exit status; TimeoutExpired where it goes on for longer."""
        end = time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise subprocess.TimeoutExpired("worker", timeout)
            else:
                time.sleep(0.02)
        return self.returncode

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, 9)


if __name__ == "__main__":
    with patch.object(workers.subprocess, "Popen", Forked):
        main()
