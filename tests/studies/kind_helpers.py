"""The toy kind in a folder of its own, and the real command line in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

from fault_helpers import w2s as run

TOY = Path(__file__).parent / "toy_kind"
RECIPE = "name: flips\nkind: toy_kind\nseeds: [0, 1, 2]\ncoin: {throws: 50}\n"


def write_toy(folder: Path) -> Path:
    """Copy the kind and write a recipe that names it; returns the folder."""
    shutil.copytree(TOY, folder / "toy_kind", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "flips.yaml").write_text(RECIPE)
    return folder


def w2s(*words: object) -> tuple[int, str, str]:
    """Exit status and both streams of ``w2s WORDS``; any other exception than the command's own exit fails."""
    done = run(*words)
    return done.code, done.out, " ".join(done.err.split())


def said(*words: object) -> str:
    """What a command prints that must end well."""
    code, out, err = w2s(*words)
    assert code == 0, err
    return out
