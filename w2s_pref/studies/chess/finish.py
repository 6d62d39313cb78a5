"""The end of a chess study: its results, its report, and every model's answer to every test puzzle."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from w2s_pref.core.tables import digest
from w2s_pref.engine.build import Builder
from w2s_pref.results.chess import ChessBody, ChessResults
from w2s_pref.results.lab import Headline
from w2s_pref.results.trainings import SplitInfo
from w2s_pref.studies.chess.analysis import summarize
from w2s_pref.studies.chess.puzzles import Puzzles
from w2s_pref.studies.chess.recipe import ChessRecipe
from w2s_pref.studies.chess.study import ChessStudy
from w2s_pref.studies.folder import model_infos, provenance
from w2s_pref.studies.kind import Opened


def finish(opened: Opened[ChessRecipe, ChessStudy], builder: Builder, folder: Path, command: str) -> ChessResults:
    """Write ``moves.parquet`` and ``report.html`` into ``folder``; returns what results.json says."""
    from w2s_pref.report.registry import builders
    from w2s_pref.studies.chess.report import write_report

    study, recipe = opened.study, opened.recipe
    test = study.splits["test"].frame
    scores = {key: builder.table(stage) for key, stage in study.scores.items()}
    labels = {key: builder.table(stage) for key, stage in study.labels.items()}
    body = summarize(
        recipe.name, scores, labels, test, study.cells, recipe.chess.bands, study.counts,
        recipe.analysis.resamples, recipe.analysis.seed,
    )  # fmt: skip
    parts = [table.assign(model=name, seed=seed) for (name, seed), table in scores.items()]
    moves = pd.concat(parts, ignore_index=True).merge(test[["id", "group", "rating", "answer"]], on="id")
    moves.to_parquet(folder / "moves.parquet", index=False)
    stages = {f"{name} · seed {seed}": stage.key for (name, seed), stage in study.scores.items()}
    results = ChessResults(
        **dict(body),
        splits={name: _split(split) for name, split in study.splits.items()},
        models=model_infos(study.models),
        verdict=Headline(headline=_headline(body)),
        recipe=recipe.model_dump(mode="json"),
        provenance=provenance(opened, builder, command, stages),
    )
    own = [make(results) for make in builders(recipe.report.sections, opened.base)]
    write_report(results, folder / "report.html", own)
    return results


def _headline(body: ChessBody) -> str:
    """One sentence for lists of runs."""
    return f"{len(body.cells)} chains of chess, {body.cells_without_gap} of them without a gap above noise"


def _split(split: Puzzles) -> SplitInfo:
    frame = split.frame
    hashed = digest(split.texts, split.truth)
    return SplitInfo(objective="chess", rows=len(split), groups=int(frame["group"].nunique()), hash=hashed, counts={})
