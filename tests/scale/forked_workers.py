"""``w2s`` whose workers are forked from it, not started.

They have the pipes, the session and the environment that ``launch/workers.py`` gives, and run its ``main``.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from unittest.mock import patch

from forked import Fork

from w2s_pref.cli.main import main
from w2s_pref.launch import workers


class Worker(Fork):
    """What ``build_together`` asks of a ``subprocess.Popen``."""

    def __init__(self, line: list[str], env: dict[str, str], **_: Any) -> None:
        (stdin, to), (out, stdout) = os.pipe(), os.pipe()
        super().__init__(lambda: _work(line), env, {0: stdin, 1: stdout, 2: stdout})
        for each in (stdin, stdout):
            os.close(each)
        self.stdin, self.stdout = os.fdopen(to, "w"), os.fdopen(out, encoding="utf-8", errors="replace")


def _work(line: list[str]) -> int:
    sys.argv = line[line.index("-m") + 1 :]
    return workers.main()


if __name__ == "__main__":
    with patch.object(workers.subprocess, "Popen", Worker):
        main()
