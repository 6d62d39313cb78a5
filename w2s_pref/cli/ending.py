"""How a command ends: what went wrong becomes sentences and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from w2s_pref.core.errors import SENTENCE, VALUE, W2SError, masked, shortened

#: click's error of a command line, which typer keeps a copy of.
COMMAND_LINE: Any = typer.BadParameter.mro()[2]


def status_of(command: Callable[[], object]) -> int:
    """Run a command; its exit status: 1 for a user's error, 2 for a command line that is none."""
    try:
        found = command()
        return found if isinstance(found, int) else 0
    except W2SError as error:
        problems = error.problems
    except OSError as error:  # of a file or folder that nothing else speaks of
        problems = W2SError(f"{error.filename or 'the system'}: {error.strerror or error}").problems
    except typer.Abort:
        problems = ["aborted"]
    except COMMAND_LINE as error:
        if any(len(word) > VALUE for word in sys.argv):
            error.message = shortened(masked(error.message), SENTENCE)
        error.show()
        return int(error.exit_code)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1
