"""``python -m w2s_pref.chess RECIPE [key=value …]``: run a chess study and print its tables."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from w2s_pref.chess.run import run_chess
from w2s_pref.chess.tables import show
from w2s_pref.display import StageDisplay
from w2s_pref.errors import W2SError
from w2s_pref.pipeline.world import World


def main(arguments: list[str]) -> int:
    """Exit status: 0, or 1 after a mistake of the user's, which is printed."""
    if not arguments:
        print(__doc__)
        return 1
    console, world = Console(), World()
    try:
        with StageDisplay(console, world.main) as display:
            results, folder = run_chess(Path(arguments[0]), arguments[1:], display)
    except W2SError as error:
        print(error, file=sys.stderr)
        return 1
    if world.main:
        show(results, console)
        console.print(f"\n{folder / 'results.json'}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
