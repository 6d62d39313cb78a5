"""The last stage: tables of answers, cells and curves, and the analysis that reads nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from w2s_pref.core.tables import digest
from w2s_pref.engine.build import Builder
from w2s_pref.results.generalization import Headline, LabResults
from w2s_pref.results.lab import LabBody
from w2s_pref.results.results import SplitInfo
from w2s_pref.stages.rewards_labels_scores import Rows
from w2s_pref.studies.generalization.answers import SELECTIONS, sigmoid
from w2s_pref.studies.generalization.stages import Classified, FinishStage
from w2s_pref.studies.preferences.outputs import fresh_folder, model_infos, provenance, write_facts

if TYPE_CHECKING:
    from w2s_pref.studies.generalization.study import Laboratory
    from w2s_pref.studies.run import Opened

#: Tables beside results.json.
TABLES = ("predictions", "cells", "curves")


def build_analysis(builder: Builder, stage: FinishStage, folder: Path) -> dict[str, Any]:
    """Write ``predictions``, ``cells`` and ``curves`` as Parquet, and the body of the results as JSON."""
    if not builder.world.main:
        return {}
    from w2s_pref.analysis.lab.study import summarize

    predictions, cells, curves = predictions_of(builder, stage), pd.DataFrame(stage.cells), curves_of(builder, stage)
    for name, table in zip(TABLES, (predictions, cells, curves), strict=True):
        table.to_parquet(folder / f"{name}.parquet", index=False)
    body = summarize(predictions, cells, curves, stage.settings)
    (folder / "body.json").write_text(body.model_dump_json(indent=1), encoding="utf-8")
    return {"rows": len(predictions)}


def predictions_of(builder: Builder, stage: FinishStage) -> pd.DataFrame:
    """``task, split, id, group, truth, name, seed, p``: p is P(y = 1) of the recipe's selection.

    On the test split students also stand there as ``NAME#final``, ``NAME#best_weak`` and ``NAME#best_truth``.
    """
    parts = []
    for (task, name, seed), model in stage.named.items():
        table = builder.table(model).set_index("id")
        for split, rows in stage.tests[task].items():
            parts.append(_answers(table[stage.settings["selection"]], rows, task, split, name, seed))
            if split == "test" and not name.startswith(("floor/", "ceiling/")):
                parts += [_answers(table[each], rows, task, split, f"{name}#{each}", seed) for each in SELECTIONS]
    found = pd.concat(parts, ignore_index=True)
    return found.astype(dict.fromkeys(("task", "split", "name"), "category"))


def _answers(margins: pd.Series, rows: Rows, task: str, split: str, name: str, seed: int) -> pd.DataFrame:
    items = rows.frame[["id", "group", "truth"]]
    p = sigmoid(margins.loc[items["id"]])
    return pd.DataFrame({"task": task, "split": split, **items, "name": name, "seed": seed, "p": p})


def curves_of(builder: Builder, stage: FinishStage) -> pd.DataFrame:
    """Evaluations on the validation items while classifiers trained.

    ``task, name, seed``, the training's own columns (``epoch``, ``progress``, …, ``weak_agreement``,
    ``truth_accuracy``), and ``picked``: which selections were taken at that point.
    """
    parts = [_curve(builder, model, task, name, seed) for (task, name, seed), model in stage.named.items()]
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"task": [], "name": [], "seed": []})


def _curve(builder: Builder, model: Classified, task: str, name: str, seed: int) -> pd.DataFrame:
    curve = pd.read_parquet(builder.artifact(model).folder / "curve.parquet")
    curve.insert(0, "task", task)
    curve.insert(1, "name", name)
    curve.insert(2, "seed", seed)
    return curve


def finish(opened: Opened, analysis: FinishStage, builder: Builder, command: str) -> LabResults:
    """Write the run folder, its pages with it; returns what results.json says."""
    from w2s_pref.report.lab.pages import write_pages
    from w2s_pref.report.registry import builders

    lab, made = cast("Laboratory", opened.study), builder.artifact(analysis).folder
    body = LabBody.model_validate_json((made / "body.json").read_text(encoding="utf-8"))
    results = LabResults(
        name=opened.recipe.name,
        seeds=opened.recipe.seeds,
        tasks={task: {name: _split(rows) for name, rows in each.splits.items()} for task, each in lab.tasks.items()},
        models=model_infos(lab.models),
        verdict=Headline(headline=body.verdict[0]),
        recipe=opened.recipe.model_dump(mode="json"),
        provenance=provenance(opened, builder, command, {"analysis": analysis.key}),
    )
    with builder.store.guard(), fresh_folder(opened) as fresh:
        for name in TABLES:
            shutil.copyfile(made / f"{name}.parquet", fresh / f"{name}.parquet")
        shutil.copyfile(made / "body.json", fresh / "generalization.json")
        own = [make(body) for make in builders(opened.recipe.report.sections, opened.base)]
        write_pages(results.name, body, fresh, own)
        write_facts(opened, builder, results, fresh)
    return results


def _split(rows: Rows) -> SplitInfo:
    frame = rows.frame
    return SplitInfo(
        objective=str(frame["objective"].iloc[0]),
        rows=len(rows),
        groups=int(frame["group"].nunique()),
        hash=digest(rows.texts, rows.truth),
        counts={"positive": int(frame["truth"].sum())},
    )
