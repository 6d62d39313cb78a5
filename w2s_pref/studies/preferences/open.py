"""Open a recipe of preferences: pairs read and split, the graph built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from w2s_pref.core.errors import Unreachable
from w2s_pref.data.config import DataConfig, Prepared, prepare
from w2s_pref.studies.preferences.graph import build_study
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.study import Study


def open_preferences(recipe: Recipe, base: Path, planning: bool) -> tuple[Study, Prepared]:
    """Read the pairs and build the graph; loads no weights.

    Args:
        planning: pairs that cannot be reached from here are stood in for by rows of the asked number.

    Raises:
        W2SError: every data error found.
    """
    try:
        prepared = prepare(recipe.data, base)
    except Unreachable as error:
        if not planning:
            raise
        prepared = replace(stand_in(recipe.data), notes=[f"not checked: {problem}" for problem in error.problems])
    return build_study(recipe, prepared, base), prepared


def stand_in(config: DataConfig) -> Prepared:
    """Rows without content, as many as the splits ask for: enough to plan, never to run."""
    splits = {}
    for name, size in config.splits.given().items():
        objective = config.conflict_objective if name.startswith("conflict") else config.target_objective
        ids = [f"{name}-{number}" for number in range(size)]
        columns = {"id": ids, "group": ids, "form": "text", "prompt": "", "a": ids, "b": "", "truth": 1}
        splits[name] = pd.DataFrame({**columns, "objective": objective})
    return Prepared(splits=splits, counts={}, hashes=dict.fromkeys(splits, "unreachable"))
