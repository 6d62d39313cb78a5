"""A copy of a recipe in another folder: the files it is made of, and paths that lead to the same places from there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from glob import glob
from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.core.paths import path_problem
from w2s_pref.core.yaml_io import load_yaml, yaml_file
from w2s_pref.core.yaml_values import Written, values_of, words_of
from w2s_pref.data.readers import DATASETS
from w2s_pref.studies.kind import needs_no_path
from w2s_pref.studies.shipped import find_recipe

#: A relative path that leaves the recipe's folder, in a command of a comment that sets one.
LEAVES = re.compile(r"""(?:(?<=: )|(?<=- )|(?<=, )|(?<=[\["']))(?:\.\./)+[^\s,}\]"'#:]+""")

#: Code beside a recipe, which is copied.
_CODE = re.compile(r"(?<![\w./-])([\w-]+\.py):[A-Za-z_]")
#: What stands before a path, and behind it the name of a function.
_AROUND = re.compile(r"(?P<before>labels:|folder:)?(?P<path>.+?)(?P<behind>(?<=\.py):[A-Za-z_]\w*)?")
#: Keys whose value may be a folder's name alone, and keys whose paths start at the working directory.
_FOLDERS, _HERE = {"source", "path", "kind"}, {"output", "store"}


def recipe_files(given: Path, folder: Path) -> dict[str, str]:
    """File name → content of a recipe, of every recipe that it extends and of the code beside it that they name.

    Other paths that they name lead to the same places from there.

    Args:
        folder: where they will be written, all beside each other.

    Raises:
        W2SError: it cannot be read, or two of the files have one name and cannot lie beside each other.
    """
    path = find_recipe(given)
    load_yaml(path)  # what is wrong with it, or with what it extends, is said
    return _files(path, path.resolve().parent, folder)


def _files(path: Path, base: Path, folder: Path) -> dict[str, str]:
    """``base``: folder of the recipe that is given, at which the paths of all that it extends start."""
    text, parent = path.read_text(encoding="utf-8"), yaml_file(path, "recipe").get("extends")
    named = [name for name in sorted(set(_CODE.findall(text))) if (base / name).is_file()]
    code = {name: (base / name).read_text(encoding="utf-8") for name in named}
    more = {} if parent is None else _files(path.parent / Path(str(parent)).expanduser(), base, folder)
    own = {path.name: _copied(text, base, folder, code), **code}
    if same := [name for name in own if more.get(name, own[name]) != own[name]]:
        raise W2SError(
            f"recipe {path}: it and a recipe that it extends have files of one name, {same[0]}, which cannot lie in "
            "one folder; rename one of them first"
        )
    return own | more


def _copied(text: str, base: Path, folder: Path, code: Collection[str]) -> str:
    """The text of a recipe as it stands in the new folder."""
    parts, at = [], 0
    for word in words_of(text):
        new = _from_there(word, base, folder, code)
        if new is not None:
            parts += [_comments(text[at : word.start], base, folder), _like(text[word.start], new)]
            at = word.end
    return "".join([*parts, _comments(text[at:], base, folder)])


def _comments(text: str, base: Path, folder: Path) -> str:
    return LEAVES.sub(lambda found: _moved(found.group(), base, folder), text)


def _from_there(word: Written, base: Path, folder: Path, code: Collection[str]) -> str | None:
    """A value as it stands in the new folder, where it is a path; None where it stays."""
    if word.keys == ("extends",):
        return Path(word.value).name
    if word.keys and word.keys[0] in _HERE:
        return word.value
    found = _AROUND.fullmatch(word.value)
    if found is None or found["path"] in code:
        return None
    leads = found["path"].startswith("../") or _stands_beside(found["path"], word.keys[-1:], base)
    return f"{found['before'] or ''}{_moved(found['path'], base, folder)}{found['behind'] or ''}" if leads else None


def _stands_beside(path: str, key: tuple[str, ...], base: Path) -> bool:
    """Whether a value names something that lies in the recipe's folder, or deeper in it."""
    if path.startswith(("/", "~")) or path_problem(path) or path in (".", ".."):
        return False
    if "/" in path or Path(path).suffix:
        return bool(glob(path, root_dir=base))
    known = path in DATASETS or needs_no_path(path)
    return bool(_FOLDERS & {*key}) and not known and (base / path).is_dir()


def _like(sign: str, value: str) -> str:
    """A value written as it was: in quotes that begin with ``sign``, or, where YAML reads it so, without."""
    if sign == "'":
        return "'" + value.replace("'", "''") + "'"
    bare = sign != '"' and re.fullmatch(r"[\w./][\w./ :*-]*", value) and values_of(value) == value
    return value if bare else json.dumps(value, ensure_ascii=False)


def _moved(path: str, old: Path, new: Path) -> str:
    """A path relative to one folder, relative to another."""
    return Path(os.path.relpath(old / path, new.resolve())).as_posix()


def not_there(texts: Iterable[str], folder: Path) -> list[str]:
    """Paths out of the folder that lead to nothing, as the texts have them; those of comments left out."""
    found = [_AROUND.fullmatch(word.value) for text in texts for word in words_of(text)]
    named = dict.fromkeys(each["path"] for each in found if each is not None and each["path"].startswith("../"))
    return [path for path in named if not glob(path, root_dir=folder)]
