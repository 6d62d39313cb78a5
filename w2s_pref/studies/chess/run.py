"""Open a chess recipe, and write what a finished study found: ``OUTPUT/NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import yaml

from w2s_pref.core.disk import write_text
from w2s_pref.data.config import Prepared
from w2s_pref.engine.build import Builder
from w2s_pref.engine.places import open_store
from w2s_pref.results.chess import ChessResults
from w2s_pref.studies.chess.analysis import summarize
from w2s_pref.studies.chess.recipe import load_chess_recipe
from w2s_pref.studies.chess.study import ChessStudy, open_study

if TYPE_CHECKING:
    from w2s_pref.studies.run import Opened


def open_chess(path: Path, overrides: list[str]) -> Opened:
    """Read recipe and puzzles and build the graph; loads no weights.

    Raises:
        W2SError: every configuration and data error found.
    """
    from w2s_pref.studies.run import Opened

    recipe = load_chess_recipe(path, overrides)
    base = path.expanduser().resolve().parent
    study = open_study(recipe, base)
    prepared = Prepared({name: split.frame for name, split in study.splits.items()}, study.counts, {})
    return Opened(cast(Any, recipe), base, prepared, cast(Any, study), open_store(recipe.store_place()))


def finish(study: ChessStudy, builder: Builder, folder: Path) -> ChessResults:
    """Write ``results.json``, ``moves.parquet`` and ``recipe.yaml``; returns the results."""
    recipe, test = study.recipe, study.splits["test"].frame
    scores = {key: builder.table(stage) for key, stage in study.scores.items()}
    labels = {key: builder.table(stage) for key, stage in study.labels.items()}
    results = summarize(
        recipe.name, scores, labels, test, study.cells, recipe.chess.bands, study.counts,
        recipe.analysis.resamples, recipe.analysis.seed,
    )  # fmt: skip
    with builder.store.guard():
        folder.mkdir(parents=True, exist_ok=True)
        parts = [table.assign(model=name, seed=seed) for (name, seed), table in scores.items()]
        moves = pd.concat(parts, ignore_index=True).merge(test[["id", "group", "rating", "answer"]], on="id")
        moves.to_parquet(folder / "moves.parquet", index=False)
    write_text(folder / "results.json", results.model_dump_json(indent=1) + "\n")
    write_text(folder / "recipe.yaml", yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True))
    return results
