"""Write the run folder of a finished study."""

from __future__ import annotations

import shutil
from pathlib import Path

from w2s_pref.core.tables import digest
from w2s_pref.engine.build import Builder
from w2s_pref.results.lab import Headline, LabBody, LabResults
from w2s_pref.results.trainings import SplitInfo
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.folder import model_infos, provenance
from w2s_pref.studies.generalization.analyze import TABLES
from w2s_pref.studies.generalization.recipe import Recipe
from w2s_pref.studies.generalization.study import Laboratory
from w2s_pref.studies.kind import Opened


def finish(opened: Opened[Recipe, Laboratory], builder: Builder, folder: Path, command: str) -> LabResults:
    """Write tables and pages into ``folder``; returns what results.json says."""
    from w2s_pref.report.lab.pages import write_pages
    from w2s_pref.report.registry import builders

    lab, recipe = opened.study, opened.recipe
    made = builder.artifact(lab.analysis).folder
    body = LabBody.model_validate_json((made / "body.json").read_text(encoding="utf-8"))
    for name in TABLES:
        shutil.copyfile(made / f"{name}.parquet", folder / f"{name}.parquet")
    shutil.copyfile(made / "body.json", folder / "generalization.json")
    own = [make(body) for make in builders(recipe.report.sections, opened.base)]
    write_pages(recipe.name, body, folder, own)
    return LabResults(
        name=recipe.name,
        seeds=recipe.seeds,
        tasks={task: {name: _split(rows) for name, rows in each.splits.items()} for task, each in lab.tasks.items()},
        models=model_infos(lab.models),
        verdict=Headline(headline=body.verdict[0]),
        recipe=recipe.model_dump(mode="json"),
        provenance=provenance(opened, builder, command, {"analysis": lab.analysis.key}),
    )


def _split(rows: Rows) -> SplitInfo:
    frame = rows.frame
    return SplitInfo(
        objective=str(frame["objective"].iloc[0]),
        rows=len(rows),
        groups=int(frame["group"].nunique()),
        hash=digest(rows.texts, rows.truth),
        counts={"positive": int(frame["truth"].sum())},
    )
