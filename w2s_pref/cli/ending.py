"""How a command ends: what went wrong becomes sentences and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from w2s_pref.core.errors import SENTENCE, VALUE, W2SError, masked, shortened
from w2s_pref.core.files import closed, refused

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
        problems = _of_the_system(error).problems
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


def _of_the_system(error: OSError) -> W2SError:
    """What a system's error says of a file or folder; one that may not be read is no fault of it."""
    path = Path(error.filename) if isinstance(error.filename, str) else None
    if path is not None and closed(path):
        return refused(path)
    return W2SError(f"{error.filename or 'the system'}: {error.strerror or error}")
