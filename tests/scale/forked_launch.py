"""Accelerate's launcher, whose processes are forked from it, not started.

They have the session and the environment that torch's agent gives them, and run the script that it names.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accelerate.commands.launch import main
from forked import Fork
from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler


class Rank(Fork):
    """What torch's agent asks of a ``subprocess.Popen``."""

    def __init__(self, args: tuple[str, ...], env: dict[str, str], **_: Any) -> None:
        python, unbuffered, *words = args
        assert (python, unbuffered) == (sys.executable, "-u"), args
        super().__init__(lambda: _script(words), env, {})


def _script(words: list[str]) -> int:
    sys.argv = words
    sys.path[0] = str(Path(words[0]).parent)
    runpy.run_path(words[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    with patch.object(subprocess_handler, "Popen", Rank):
        main()
