"""A recipe read as ``w2s run`` reads one whose kind is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from w2s_pref.core.strict import StudySection
from w2s_pref.core.yaml_io import load_yaml, with_overrides
from w2s_pref.studies.recipe import read_recipe

R = TypeVar("R", bound=StudySection)


def load_recipe(recipe: type[R], path: Path, overrides: Sequence[str] = ()) -> R:
    """Read a file, apply ``key=value`` overrides, check everything that needs neither data nor weights."""
    return read_recipe(recipe, with_overrides(load_yaml(path), list(overrides)), path)
