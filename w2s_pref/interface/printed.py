"""What a command prints, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of the text, where no terminal says how many there are.
WIDTH = 110


def printed(show: Callable[[Console], None]) -> str:
    """What ``show`` prints on a console, without colours."""
    from rich.console import Console

    console = Console(width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    with console.capture() as caught:
        show(console)
    return "\n".join(line.rstrip() for line in caught.get().rstrip().split("\n"))
