"""No long work in silence: what is going on is said where nothing was printed for a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

#: Seconds without a line before one is printed; twice as many after each line on the same work, up to LONGEST times.
EVERY = 15.0
LONGEST = 20


def to_stderr(line: str) -> None:
    """Print a line on the error stream, which results on the standard stream are apart from."""
    print(line, file=sys.stderr, flush=True)


class Ticker:
    """Within the block, names the work in progress every ``every`` seconds in which nothing else was said.

    Args:
        say: prints a line; called from a thread of its own.
        what: the work at first; ``at`` names the next.
        every: seconds.
    """

    def __init__(self, say: Callable[[str], None], what: str, every: float = EVERY) -> None:
        self._say, self._every = say, every
        self._what, self._detail = what, ""
        self._began = self._last = time.monotonic()
        self._times = 1
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)

    def at(self, what: str, detail: str = "") -> None:
        """The work that begins now, or how far it is."""
        if what != self._what:
            self._began, self._times = time.monotonic(), 1
        self._what, self._detail = what, detail

    def heard(self) -> None:
        """Something else was printed: the next line comes ``every`` seconds from now."""
        self._last = time.monotonic()

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _due(self) -> float:
        """When the next line comes."""
        return self._last + self._every * self._times

    def _tick(self) -> None:
        while not self._end.wait(max(0.01, min(self._every, self._due() - time.monotonic()))):
            now = time.monotonic()
            if now < self._due():
                continue
            self._last, self._times = now, min(2 * self._times, LONGEST)
            detail = f", {self._detail}" if self._detail else ""
            self._say(f"… {self._what}{detail}: {now - self._began:.0f} s so far")
