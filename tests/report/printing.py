"""What stands in a terminal that is so wide."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType

from w2s_pref.report.sections import SectionBuilder
from w2s_pref.report.terminal import show
from w2s_pref.results.preferences import Results


def printed(
    what: Results | RenderableType | Iterable[RenderableType], width: int = 100, extra: Iterable[SectionBuilder] = ()
) -> str:
    """A run's results (with ``extra`` sections), one thing, or several."""
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as capture:
        if isinstance(what, Results):
            show(what, console, extra=extra)
        else:
            for part in what if isinstance(what, Iterable) else [what]:
                console.print(part)
    return capture.get()
