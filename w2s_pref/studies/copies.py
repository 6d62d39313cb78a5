"""A copy of a recipe in another folder: the files it is made of, and paths that lead to the same places from there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.core.yaml_io import load_yaml, yaml_file
from w2s_pref.studies.shipped import find_recipe

#: A relative path that leaves the recipe's folder, as a value or in a command of a comment that sets one.
LEAVES = re.compile(r"""(?:(?<=: )|(?<=- )|(?<=, )|(?<=[\["']))(?:\.\./)+[^\s,}\]"'#:]+""")


def recipe_files(given: Path, folder: Path) -> dict[str, str]:
    """File name → content of a recipe, of every recipe that it extends and of the code beside them that they name.

    Args:
        folder: where they will be written, all beside each other.

    Raises:
        W2SError: it cannot be read, or two of the files have one name and cannot lie beside each other.
    """
    path = find_recipe(given)
    load_yaml(path)  # what is wrong with it, or with what it extends, is said
    return _files(path, folder)


def _files(path: Path, folder: Path) -> dict[str, str]:
    text, parent = path.read_text(encoding="utf-8"), yaml_file(path, "recipe").get("extends")
    named = sorted(set(re.findall(r"([\w-]+\.py):[A-Za-z_]", text)))
    code = {name: (path.parent / name).read_text(encoding="utf-8") for name in named if (path.parent / name).is_file()}
    more = {} if parent is None else _files(path.parent / Path(str(parent)).expanduser(), folder)
    if parent is not None:
        text = text.replace(f"extends: {parent}", f"extends: {Path(str(parent)).name}")
    here = path.resolve().parent
    own = {path.name: LEAVES.sub(lambda found: _moved(found.group(), here, folder), text), **code}
    if same := [name for name in own if more.get(name, own[name]) != own[name]]:
        raise W2SError(
            f"recipe {path}: it and a recipe that it extends have files of one name, {same[0]}, which cannot lie in "
            "one folder; rename one of them first"
        )
    return own | more


def _moved(path: str, old: Path, new: Path) -> str:
    """A path relative to one folder, relative to another."""
    return Path(os.path.relpath(old / path, new.resolve())).as_posix()


def not_there(texts: Iterable[str], folder: Path) -> list[str]:
    """Paths out of the folder that lead to nothing, as the texts have them; those of comments left out."""
    lines = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
    named = dict.fromkeys(path for line in lines for path in LEAVES.findall(line))
    return [path for path in named if not glob(str(folder / path))]
