"""The one exception users see: a sentence that says what is wrong, where, and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence


class W2SError(Exception):
    """A mistake in the input or the environment, written for the person at the keyboard.

    The command line prints ``str(error)`` without a traceback and exits with status 1.

    Args:
        problems: one sentence, or several where several things are wrong at once.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class Unreachable(W2SError):
    """A hub model or data set that is not here and could not be asked for. Planning goes on without it."""
