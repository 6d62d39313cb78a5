"""Write the run folder of a finished study."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, cast

from w2s_pref.core.tables import digest
from w2s_pref.engine.build import Builder
from w2s_pref.results.generalization import Headline, LabResults
from w2s_pref.results.lab import LabBody
from w2s_pref.results.results import SplitInfo
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.analyze import TABLES, FinishStage
from w2s_pref.studies.preferences.outputs import fresh_folder, model_infos, provenance, write_facts

if TYPE_CHECKING:
    from w2s_pref.studies.generalization.study import Laboratory
    from w2s_pref.studies.run import Opened


def finish(opened: Opened, analysis: FinishStage, builder: Builder, command: str) -> LabResults:
    """Write the run folder, its pages with it; returns what results.json says."""
    from w2s_pref.report.lab.pages import write_pages

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
        write_pages(results.name, body, fresh)
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
