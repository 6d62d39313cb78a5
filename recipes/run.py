"""`w2s run` on many processes: accelerate launch --config_file accelerate_configs/ddp.yaml recipes/run.py RECIPE."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from w2s_pref.cli import launch
from w2s_pref.errors import W2SError


def main() -> int:
    """Run a recipe on every process of this launch; returns the exit status."""
    if len(sys.argv) < 2:
        print("usage: recipes/run.py RECIPE.yaml [key=value …]", file=sys.stderr)
        return 2
    try:
        launch(Path(sys.argv[1]), sys.argv[2:])
    except W2SError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


def leave(status: int) -> None:
    """End every process. Results stand already; threads of the process group must not abort a finished run at exit."""
    sys.stdout.flush()
    sys.stderr.flush()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if status == 0:
            from accelerate import PartialState

            PartialState().wait_for_everyone()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    leave(main())
