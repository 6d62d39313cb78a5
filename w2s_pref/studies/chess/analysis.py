"""From answers to results (accuracy by rating band, legality, gap recovered, agreement), and to their run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from w2s_pref.analysis.preferences.generalization import verdict, warnings
from w2s_pref.analysis.preferences.generalization_measures import recovered
from w2s_pref.analysis.stats.bootstrap import Resampler
from w2s_pref.analysis.stats.estimates import estimate
from w2s_pref.analysis.stats.seeds import disagreements, side
from w2s_pref.analysis.stats.stat import DIFFERENCE
from w2s_pref.core.arrays import Bools, Floats
from w2s_pref.core.tables import digest
from w2s_pref.engine.stage import Builder
from w2s_pref.results.chess import (
    Band,
    ChessBody,
    ChessCell,
    ChessResults,
    LabelQuality,
    MoveErrors,
    Player,
)
from w2s_pref.results.lab import Headline
from w2s_pref.results.preferences import Agreement
from w2s_pref.results.trainings import SplitInfo
from w2s_pref.studies.chess.puzzles import Puzzles
from w2s_pref.studies.chess.recipe import ChessRecipe
from w2s_pref.studies.chess.study import Cell, ChessStudy
from w2s_pref.studies.folder import model_infos, provenance
from w2s_pref.studies.kind import Opened

#: Below this share of legal answers a model has not learned the task.
FEW_LEGAL = 0.5

#: (model, seed) → table of ``moves.score_moves``.
Scores = Mapping[tuple[str, int], pd.DataFrame]


def summarize(
    name: str,
    scores: Scores,
    labels: Scores,
    test: pd.DataFrame,
    cells: Sequence[Cell],
    bands: Sequence[int],
    counts: dict[str, int],
    resamples: int = 2000,
    seed: int = 0,
) -> ChessBody:
    """The results of a study.

    Args:
        scores: of every model on ``test``, each with the same seeds.
        labels: student → the answers it learned from, each with the ``group`` of its puzzle, where known.
        test: columns ``id``, ``group``, ``rating``.
        bands: rising ratings that cut the test puzzles.
    """
    seeds = sorted({key for _, key in scores})
    names = list(dict.fromkeys(key for key, _ in scores))
    codes, groups = pd.factorize(test["group"])
    draw = Resampler(codes.astype(np.int64), resamples, seed)
    tables = {each: [scores[each, s].set_index("id").loc[test["id"]] for s in seeds] for each in names}
    chance = _stack(tables[names[0]], "chance")
    judged = [_cell(cell, tables, draw) for cell in cells]
    taught = list(dict.fromkeys(key for key, _ in labels))
    return ChessBody(
        name=name,
        seeds=seeds,
        counts=counts,
        puzzles=len(test),
        positions=len(groups),
        chance=float(chance.mean()),
        players=[_player(each, tables[each], chance, test["rating"].to_numpy(), bands, draw) for each in names],
        labels=[_labels(each, [labels[each, s] for s in seeds], resamples, seed) for each in taught],
        cells=judged,
        cells_without_gap=sum(cell.pgr.estimate is None for cell in judged),
    )


def _stack(tables: Sequence[pd.DataFrame], column: str) -> Floats:
    """(seeds, puzzles)."""
    return np.stack([table[column].to_numpy(dtype=np.float64) for table in tables])


def _player(
    name: str, tables: Sequence[pd.DataFrame], chance: Floats, rating: Floats, bands: Sequence[int], draw: Resampler
) -> Player:
    right, legal = _stack(tables, "right"), _stack(tables, "legal")
    above = draw.mean(right - chance, form=DIFFERENCE)
    note = None
    way = side(above.interval())
    if way <= 0:
        over = " over seeds, only in these" if side(above.in_seeds()) > 0 else ""
        said = "Below chance" if way < 0 else f"Not resolved above chance{over}"
        note = f"{said}: {right.mean():.3f} right, random legal moves {chance.mean():.3f}."
    elif legal.mean() < FEW_LEGAL:
        note = f"Only {legal.mean():.1%} of its answers are legal moves."
    cuts = zip([None, *bands], [*bands, None], strict=True)
    found = [_band(low, high, right, rating, draw) for low, high in cuts]
    return Player(
        name=name,
        accuracy=estimate(draw.mean(right)),
        legal=estimate(draw.mean(legal)),
        bands=[band for band in found if band is not None],
        note=note,
    )


def _band(low: int | None, high: int | None, right: Floats, rating: Floats, draw: Resampler) -> Band | None:
    inside: Bools = np.isfinite(rating)
    inside &= (rating >= (-np.inf if low is None else low)) & (rating < (np.inf if high is None else high))
    items = np.flatnonzero(inside).astype(np.int64)
    if not len(items):
        return None
    return Band(low=low, high=high, n=len(items), accuracy=estimate(draw.subset(items).mean(right[:, items])))


def _labels(name: str, tables: Sequence[pd.DataFrame], resamples: int, seed: int) -> LabelQuality:
    game = tables[0].get("group", tables[0]["id"])
    draw = Resampler(pd.factorize(game)[0].astype(np.int64), resamples, seed)
    right, legal = _stack(tables, "right"), _stack(tables, "legal")
    return LabelQuality(student=name, accuracy=estimate(draw.mean(right)), legal=estimate(draw.mean(legal)))


def _cell(cell: Cell, tables: Mapping[str, Sequence[pd.DataFrame]], draw: Resampler) -> ChessCell:
    weak, student, ceiling = (_stack(tables[name], "right") for name in (cell.weak, cell.student, cell.ceiling))
    texts = [
        np.stack([table["text"].str.strip().to_numpy(dtype=str) for table in tables[name]])
        for name in (cell.weak, cell.student)
    ]
    same = (texts[0] == texts[1]).astype(np.float64)
    found = recovered(weak, student, ceiling, draw)
    return ChessCell(
        chain=list(cell.chain),
        weak=cell.weak,
        student=cell.student,
        ceiling=cell.ceiling,
        gap=estimate(found.gap),
        pgr=estimate(found.stat, note=found.note),
        pgr_fieller=None if found.note else found.fieller,
        verdict=verdict(found),
        warnings=[*warnings(found), *disagreements({f"the accuracy of {cell.student}": draw.mean(student)})],
        agreement=Agreement(
            overall=estimate(draw.mean(same)),
            supervisor_right=estimate(draw.mean(same, weak), "The weak model is never right."),
            supervisor_wrong=estimate(draw.mean(same, 1 - weak), "The weak model is never wrong."),
        ),
        errors=MoveErrors(
            corrected=estimate(draw.mean(student, 1 - weak), "The weak model is never wrong."),
            new_errors=estimate(draw.mean(1 - student, weak), "The weak model is never right."),
        ),
    )


def finish(opened: Opened[ChessRecipe, ChessStudy], builder: Builder, folder: Path, command: str) -> ChessResults:
    """Write ``moves.parquet`` and ``report.html`` into ``folder``; returns what results.json says."""
    from w2s_pref.report.registry import builders
    from w2s_pref.studies.chess.report import write_report

    study, recipe = opened.study, opened.recipe
    test = study.splits["test"].frame
    scores = {key: builder.table(stage) for key, stage in study.scores.items()}
    groups = pd.concat([split.frame[["id", "group"]] for split in study.splits.values()]).drop_duplicates("id")
    labels = {key: builder.table(stage).merge(groups, on="id", how="left") for key, stage in study.labels.items()}
    body = summarize(
        recipe.name, scores, labels, test, study.cells, recipe.chess.bands, study.counts,
        recipe.analysis.resamples, recipe.analysis.seed,
    )  # fmt: skip
    parts = [table.assign(model=name, seed=seed) for (name, seed), table in scores.items()]
    moves = pd.concat(parts, ignore_index=True).merge(test[["id", "group", "rating", "answer"]], on="id")
    moves.to_parquet(folder / "moves.parquet", index=False)
    stages = {f"{name} · seed {seed}": stage.key for (name, seed), stage in study.scores.items()}
    headline = f"{body.cells_without_gap} of {len(body.cells)} chains of chess without a gap above noise"
    results = ChessResults(
        **dict(body),
        splits={name: _split(split) for name, split in study.splits.items()},
        models=model_infos(study.models),
        verdict=Headline(headline=headline),
        recipe=recipe.model_dump(mode="json"),
        provenance=provenance(opened, builder, command, stages),
    )
    own = [make(results) for make in builders(recipe.report.sections, opened.base)]
    write_report(results, folder / "report.html", own)
    return results


def _split(split: Puzzles) -> SplitInfo:
    frame = split.frame
    hashed = digest(split.texts, split.truth)
    return SplitInfo(objective="chess", rows=len(split), groups=int(frame["group"].nunique()), hash=hashed, counts={})
