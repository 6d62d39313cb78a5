"""One recipe on every process of a launch, and a clean end: a sentence, an exit status, no process left."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.launch.here import launch
from w2s_pref.parallel import heartbeat


def main(words: list[str]) -> int:
    """Run ``RECIPE.yaml [key=value …]`` on every process of this launch; returns the exit status."""
    if not words:
        print("usage: recipes/run.py RECIPE.yaml [key=value …]", file=sys.stderr)
        return 2
    try:
        launch(Path(words[0]), words[1:])
    except W2SError as error:
        heartbeat.stop("failed")
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    except SystemExit as end:  # after an interrupt
        heartbeat.stop("left")
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Where another process is gone, that is the reason, and torch's message about sockets is not."""
    sentence = heartbeat.explain()
    if sentence is None and "timed out" in str(error).lower():
        sentence = (
            "the processes waited for each other longer than training.ddp_timeout; raise it (seconds) where a stage "
            "of one process (labels, analysis, a slow disk) takes longer"
        )
    if sentence is None:
        heartbeat.stop("failed")
        traceback.print_exc()
        return 1
    heartbeat.stop("left")
    print(f"error: {sentence}. {heartbeat.HOW_TO_CONTINUE}", file=sys.stderr)
    return 1


def leave(status: int) -> None:
    """End this process of a launch, after everybody where all went well.

    Results stand already. Threads of the process group sometimes abort a finished process while the interpreter shuts
    down, even after the group was destroyed; so it is left without that.
    """
    if "torch" in sys.modules and status == 0:
        _dissolve()
    heartbeat.stop("done" if status == 0 else "left")
    for child in multiprocessing.active_children():
        child.terminate()
    sys.stdout.flush()
    sys.stderr.flush()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        os._exit(status)
    sys.exit(status)


def _dissolve() -> None:
    """Wait for everybody, then destroy the process group."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        heartbeat.stop("done")
        distributed.destroy_process_group()
