"""The embedded language models, from small to large, by world; recipes name them ``ladder/<name>``."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.core.errors import W2SError

LADDER: tuple[str, ...] = ("xxs", "xs", "s", "m", "l")
"""Rungs of the small world."""

LARGE_LADDER: tuple[str, ...] = ("large-xs", "large-s", "large-m", "large-l", "large-xl")
"""Rungs of the large world."""

RUNGS: tuple[str, ...] = LADDER + LARGE_LADDER
MODELS = Path(__file__).parent / "models"


def path(name: str) -> Path:
    """Folder of one rung, loadable by ``from_pretrained``.

    Raises:
        W2SError: no rung has this name, or its folder is missing from the installation.
    """
    if name not in RUNGS:
        raise W2SError(f"the ladder has no rung {name!r}; its rungs are {', '.join(RUNGS)}")
    folder = MODELS / name
    if not (folder / "model.safetensors").is_file():
        raise W2SError(f"the folder of rung {name!r} is missing: {folder}; scripts/rebuild_ladder.py makes it anew")
    return folder
