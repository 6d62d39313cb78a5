"""A copy of a recipe in another folder: the files it is made of, and paths that lead to the same places from there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from w2s_pref.core.yaml_io import yaml_file
from w2s_pref.studies.shipped import find_recipe

#: A relative path that leaves the recipe's folder, as a value or in a command of a comment that sets one.
LEAVES = re.compile(r"""(?:(?<=: )|(?<=- )|(?<=, )|(?<=[\["']))(?:\.\./)+[^\s,}\]"'#:]+""")


def recipe_files(given: Path, folder: Path) -> dict[str, str]:
    """File name → content of a recipe, of every recipe that it extends and of the code beside them that they name.

    Args:
        folder: where they will be written, all beside each other.
    """
    path = find_recipe(given)
    text, parent = path.read_text(encoding="utf-8"), yaml_file(path, "recipe").get("extends")
    named = sorted(set(re.findall(r"([\w-]+\.py):[A-Za-z_]", text)))
    code = {name: (path.parent / name).read_text(encoding="utf-8") for name in named if (path.parent / name).is_file()}
    more = {} if parent is None else recipe_files(path.resolve().parent / str(parent), folder)
    if parent is not None:
        text = text.replace(f"extends: {parent}", f"extends: {Path(str(parent)).name}")
    here = path.resolve().parent
    return {path.name: LEAVES.sub(lambda found: _moved(found.group(), here, folder), text), **code, **more}


def _moved(path: str, old: Path, new: Path) -> str:
    """A path relative to one folder, relative to another."""
    return Path(os.path.relpath(old / path, new.resolve())).as_posix()


def not_there(texts: Iterable[str], folder: Path) -> list[str]:
    """Paths out of the folder that lead to nothing, as the texts have them; those of comments left out."""
    lines = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
    named = dict.fromkeys(path for line in lines for path in LEAVES.findall(line))
    return [path for path in named if not glob(str(folder / path))]
