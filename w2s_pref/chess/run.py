"""Run a chess study: build what the store lacks, analyse, write ``OUTPUT/NAME``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from w2s_pref.chess import build  # noqa: F401 - teaches the builder the stages
from w2s_pref.chess.analysis import summarize
from w2s_pref.chess.recipe import load_chess_recipe
from w2s_pref.chess.results import ChessResults
from w2s_pref.chess.study import ChessStudy, open_study
from w2s_pref.errors import W2SError
from w2s_pref.pipeline.build import Builder
from w2s_pref.pipeline.disk import write_text
from w2s_pref.pipeline.loop import Display, Loop
from w2s_pref.pipeline.policy_stages import PolicyStage
from w2s_pref.pipeline.store import open_store
from w2s_pref.pipeline.world import World


def run_chess(path: Path, overrides: list[str], display: Display) -> tuple[ChessResults, Path]:
    """Run everything that is missing and write ``results.json``, ``moves.parquet`` and ``recipe.yaml``.

    Every process of a launch calls this.

    Returns:
        The results and the run folder.
    """
    world = World()
    recipe = load_chess_recipe(path, overrides)
    world.expect(recipe.processes)
    base = path.expanduser().resolve().parent
    study = open_study(recipe, base)
    _check_shares(study, world.size)
    store = open_store(recipe.store_place())
    if world.main:
        store.sweep()
    builder = Builder(store, world, base, display.step, display.signal)
    Loop(study.stages, builder, display).run()
    folder = Path(recipe.output).expanduser() / recipe.name
    results = world.broadcast(world.on_main(lambda: _finish(study, builder, folder)))
    assert results is not None
    return results, folder


def _check_shares(study: ChessStudy, processes: int) -> None:
    """Every effective batch must be shared equally by the processes."""
    for stage in study.stages:
        if isinstance(stage, PolicyStage) and stage.arguments["batch_size"] % processes:
            raise W2SError(
                f"{stage.name}: its effective batch of {stage.arguments['batch_size']} cannot be shared equally by "
                f"{processes} processes; choose another training.batch_size, or other processes"
            )


def _finish(study: ChessStudy, builder: Builder, folder: Path) -> ChessResults:
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
