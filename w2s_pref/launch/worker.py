"""One worker of ``w2s run --workers N``: builds what is free, and says how far it is in lines of JSON."""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_pref.core.errors import W2SError

if TYPE_CHECKING:
    from w2s_pref.engine.stage import Stage

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

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        build(Path(sys.argv[1]), sys.argv[2:], Telling())
    except W2SError as error:
        say(event="error", problems=error.problems)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
