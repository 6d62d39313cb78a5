"""The recipes that come with the package, by name: ``quickstart``, ``deception/ladder`` …"""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.resources import files
from itertools import takewhile
from pathlib import Path

from w2s_pref.core.errors import W2SError


def shipped() -> dict[str, Path]:
    """Name → file of every recipe of the package, in the order of their names."""
    folder = Path(str(files("w2s_pref") / "recipes"))
    found = sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.relative_to(folder).parts), str(path)))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}


def find_recipe(given: Path) -> Path:
    """The file that a command means: a path as it is, or the name of a shipped recipe.

    A file of that name in the working directory comes first, a folder does not. The last part of a name is enough
    where it is the only one (``ladder`` for ``deception/ladder``).

    Raises:
        W2SError: a folder, or a word without ending that is neither a file nor a recipe; it names the nearest.
    """
    if not given.is_dir() and (given.suffix or given.exists()):
        return given
    recipes, name = shipped(), given.as_posix()
    named = [name] if name in recipes else [key for key in recipes if key.rpartition("/")[2] == name]
    if len(named) == 1:
        return recipes[named[0]]
    if named:
        raise W2SError(f"recipe {name!r}: there are several; write {' or '.join(named)}")
    if given.is_dir():
        own = given / "recipe.yaml"
        advice = f"give {own}, its recipe" if own.is_file() else "give the recipe's file, or a name of `w2s recipes`"
        raise W2SError(f"recipe {str(given)!r}: is a folder; {advice}")
    near = get_close_matches(name, recipes, n=3, cutoff=0.5)
    advice = f"did you mean {', '.join(near)}? " if near else ""
    raise W2SError(f"recipe {name!r}: neither a file nor a recipe of the package; {advice}`w2s recipes` lists them all")


def about(recipe: Path) -> str:
    """The first sentence of the comment at the top of a recipe; "" where it has none. Commands are indented there."""
    lines = takewhile(lambda line: re.match(r"# ?\S", line), recipe.read_text(encoding="utf-8").splitlines())
    return re.split(r"(?<!al)\. ", " ".join(line.lstrip("# ") for line in lines), maxsplit=1)[0].rstrip(".:")
