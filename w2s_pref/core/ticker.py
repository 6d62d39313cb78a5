"""No long work in silence: what is going on is said where nothing was printed for a while."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

#: Seconds without a line before one is printed.
EVERY = 15.0


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
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="ticker", daemon=True)

    def at(self, what: str, detail: str = "") -> None:
        """The work that begins now, or how far it is."""
        if what != self._what:
            self._began = time.monotonic()
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

    def _tick(self) -> None:
        while not self._end.wait(max(0.01, self._last + self._every - time.monotonic())):
            now = time.monotonic()
            if now - self._last < self._every:
                continue
            self._last = now
            detail = f", {self._detail}" if self._detail else ""
            self._say(f"… {self._what}{detail}: {now - self._began:.0f} s so far")
