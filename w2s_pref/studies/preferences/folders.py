"""Folders of a run's students: their names, and that no two students share one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

from w2s_pref.core.errors import shown
from w2s_pref.core.paths import path_problem


def student_folder(arm: str, conflict: str, seed: int) -> str:
    """The name of a student's folder: letters, digits, dot, dash; everything else becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{arm}-{conflict}-seed{seed}")


def check_folders(arms: Iterable[str], conflicts: Iterable[str], seed: int) -> None:
    """Raise ValueError for arms whose students would share a folder, or have one that no file system holds."""
    found: dict[str, str] = {}
    for arm, conflict in product(arms, conflicts):
        name = student_folder(arm, conflict, seed)
        if problem := path_problem(name):
            raise ValueError(f"arms: {shown(arm)} is too long for the folder of a student: {problem}; shorten it")
        other = found.setdefault(name, arm)
        if other != arm:
            raise ValueError(
                f"arms: students of {shown(other)} and {shown(arm)} would share the folder students/{name}, where all "
                "but letters, digits, dots and underscores become dashes; rename one of the arms"
            )
