"""What ``w2s init`` writes: a commented recipe and a small data set of your own, or a recipe of the package."""

from __future__ import annotations

import contextlib
from importlib.resources import files as resources
from pathlib import Path

from w2s_pref.core.errors import W2SError

#: The files as the package holds them. Code ends in .txt there: it is a text to copy, not a module.
NAMES = ("recipe.yaml", "my_data.py.txt", "harmless.jsonl", "helpful.jsonl")


def write_files(folder: Path, texts: dict[str, str], force: bool = False) -> list[Path]:
    """Write every file, name → content, into ``folder``.

    Raises:
        W2SError: a file is there already (unless ``force``), a folder has its name, or the folder cannot be written.
            Nothing is written then.
    """
    files = {folder / name: text for name, text in texts.items()}
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise W2SError(f"{', '.join(there)}: there already; choose another folder, or overwrite with --force")
    if folders := [str(path) for path in files if path.is_dir()]:
        raise W2SError(f"{', '.join(folders)}: a folder stands in this place; choose another folder, or remove it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            _beside(path).write_text(text, encoding="utf-8")
        for path in files:
            _beside(path).replace(path)
    except OSError as error:
        for path in files:
            with contextlib.suppress(OSError):
                _beside(path).unlink()
        raise W2SError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    return list(files)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def starter_files() -> dict[str, str]:
    """Name → content of every starter file."""
    folder = resources("w2s_pref.cli") / "starter_files"
    return {name.removesuffix(".txt"): (folder / name).read_text(encoding="utf-8") for name in NAMES}
