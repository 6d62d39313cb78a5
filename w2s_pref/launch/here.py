"""Run a recipe from this process: alone, with workers beside it, or as one of many processes of a launch."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console

from w2s_pref.core.errors import W2SError
from w2s_pref.launch.display import StageDisplay
from w2s_pref.launch.workers import build_together
from w2s_pref.parallel.world import World


def launch(recipe: Path, overrides: list[str], workers: int = 1) -> None:
    """Build what is missing, write the run folder, print its tables: what ``w2s run`` and recipes/run.py both do.

    Raises:
        W2SError: the recipe, the data, the models or the machine cannot do it.
        SystemExit: 130 after Ctrl-C, when what to do next has been said.
    """
    from w2s_pref.studies.finished import show_run
    from w2s_pref.studies.run import run

    console, world = Console(), World()
    command = shlex.join(["w2s", "run", str(recipe), *overrides, *(["--workers", str(workers)] * (workers > 1))])
    if workers > 1 and world.size > 1:
        raise W2SError(
            f"--workers {workers}: this is a launch of {world.size} processes that train one stage together; "
            "use either, or start several such launches on one store"
        )
    with StageDisplay(console, world.main) as display:
        try:
            if workers > 1:
                build_together(recipe, overrides, workers, display)
            _, folder = run(recipe, overrides, display, command)
        except KeyboardInterrupt:
            display.bars.stop()
            same = command if world.size == 1 else "the same accelerate launch command"
            print(f"\nStopped. Nothing finished is lost; this continues:\n  {same}", file=sys.stderr)
            raise SystemExit(130) from None
    if world.main:
        show_run(folder, console, recipe.expanduser().resolve().parent)
