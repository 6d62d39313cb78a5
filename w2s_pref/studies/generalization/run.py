"""A laboratory recipe opened (tasks read and split, the graph built), and the run folder of the finished study."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from w2s_pref.analysis.lab.disagreement import by_spread
from w2s_pref.core.errors import Unreachable, W2SError
from w2s_pref.core.tables import digest
from w2s_pref.data.config import Prepared
from w2s_pref.data.split import shuffled
from w2s_pref.engine.stage import Builder
from w2s_pref.models.info import facts
from w2s_pref.results.lab import Headline, LabBody, LabResults, StudentWeights
from w2s_pref.results.trainings import SplitInfo
from w2s_pref.stages.rows import Rows, slices
from w2s_pref.studies.folder import model_infos, provenance
from w2s_pref.studies.generalization.analyze import TABLES
from w2s_pref.studies.generalization.config import SizesConfig
from w2s_pref.studies.generalization.graph import add_grid, longest
from w2s_pref.studies.generalization.labels import ChosenStage
from w2s_pref.studies.generalization.recipe import Recipe
from w2s_pref.studies.generalization.studies import add_studies
from w2s_pref.studies.generalization.study import Laboratory, TaskRows
from w2s_pref.studies.kind import Opened


def open_laboratory(recipe: Recipe, base: Path, planning: bool) -> tuple[Laboratory, Prepared]:
    """Read the tasks and build the graph; loads no weights.

    Args:
        planning: tasks that cannot be reached from here are stood in for by rows of the asked number.

    Raises:
        W2SError: every data error found.
    """
    lab = Laboratory(recipe, base, {name: facts(spec, base) for name, spec in recipe.models.items()}, {})
    counts, notes, away = _read_tasks(lab, planning)
    add_grid(lab)
    add_studies(lab)
    frames = {name: rows.frame for name, rows in lab.rows.items()}
    return lab, Prepared(frames, counts, dict.fromkeys(away, "unreachable"), notes)


def _read_tasks(lab: Laboratory, planning: bool) -> tuple[dict[str, int], list[str], list[str]]:
    """Every task's splits into the laboratory; what was counted, what could not be checked, rows without content."""
    counts: dict[str, int] = {}
    problems: list[str] = []
    unreachable: list[str] = []
    away: list[str] = []
    for name in lab.recipe.tasks:
        try:
            frames, counted = _task(lab.recipe, name, lab.base)
            counts |= {f"{name}.{what}": number for what, number in counted.items()}
        except Unreachable as error:
            unreachable += error.problems
            frames = stand_in(lab.recipe.tasks[name].sizes or lab.recipe.sizes, name, lab.recipe.data_seed)
            away.append(name)
        except W2SError as error:
            problems += [text if name in text else f"task {name!r}: {text}" for text in error.problems]
            continue
        splits = {split: Rows(f"{name}.{split}", frame) for split, frame in frames.items()}
        if lab.recipe.inputs == "split" and longest(lab) > 1:
            splits |= slices(splits["w2s"], longest(lab))
        lab.tasks[name] = TaskRows(name, splits)
    if problems:
        raise W2SError(problems)
    if unreachable and not planning:
        raise Unreachable(unreachable)
    made = [rows.name for name in away for rows in lab.tasks[name].every]
    return counts, [f"not checked: {text}" for text in unreachable], made


def _task(recipe: Recipe, name: str, base: Path) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    from w2s_pref.data.tasks.load import load
    from w2s_pref.data.tasks.splits import split_task

    config = recipe.tasks[name]
    loaded = load(config, base)
    sizes = (config.sizes or recipe.sizes).asked
    return split_task(loaded.frame.assign(objective=name), sizes, recipe.data_seed), loaded.counts


def stand_in(sizes: SizesConfig, task: str, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Items without content, as many as asked for: enough to plan, never to run."""
    frames = {}
    for split, size in sizes.asked.items():
        ids = [f"{task}-{split}-{number}" for number in range(size)]
        columns = {"id": ids, "group": ids, "form": "item", "prompt": ids, "a": "yes", "b": "no", "objective": task}
        frames[split] = shuffled(pd.DataFrame({**columns, "truth": [number % 2 for number in range(size)]}), seed)
    return frames


def finish(opened: Opened[Recipe, Laboratory], builder: Builder, folder: Path, command: str) -> LabResults:
    """Write tables and pages into ``folder``; returns what results.json says."""
    from w2s_pref.report.lab.pages import write_pages
    from w2s_pref.report.registry import builders

    lab, recipe = opened.study, opened.recipe
    made = builder.artifact(lab.analysis).folder
    body = LabBody.model_validate_json((made / "body.json").read_text(encoding="utf-8"))
    for name in TABLES:
        shutil.copyfile(made / f"{name}.parquet", folder / f"{name}.parquet")
    labels = _labels(lab, builder)
    if labels is not None:
        labels.to_parquet(folder / "labels.parquet", index=False)
        answers = pd.read_parquet(folder / "predictions.parquet")
        body.disagreement = by_spread(labels, answers, recipe.analysis.resamples, recipe.analysis.seed)
        body.supervisor_weights = _weights(lab, builder)
    (folder / "generalization.json").write_text(body.model_dump_json(indent=1), encoding="utf-8")
    own = [make(body) for make in builders(recipe.report.sections, opened.base)]
    write_pages(recipe.name, body, folder, own)
    return LabResults(
        name=recipe.name,
        seeds=sorted(recipe.seeds),
        tasks={task: {name: _split(rows) for name, rows in each.splits.items()} for task, each in lab.tasks.items()},
        models=model_infos(lab.models),
        verdict=Headline(headline=body.verdict[0]),
        recipe=recipe.model_dump(mode="json"),
        provenance=provenance(opened, builder, command, {"analysis": lab.analysis.key}),
    )


def _labels(lab: Laboratory, builder: Builder) -> pd.DataFrame | None:
    """Labels that several supervisors give together: ``task, name, seed, split, id, group, p_true, keep, spread``.

    ``name`` is the student that learns them, ``w2s`` what it learns of half B: its slice where chains split that. None
    where there are none, or a version made them that kept no spread.
    """
    tables = []
    for (task, name, seed), stage in lab.pooled.items():
        table = builder.table(stage)
        parts = {"w2s": lab.named[task, name, seed].split.train, "test": lab.tasks[task]["test"]}
        for split, rows in parts.items() if "spread" in table else ():
            items = rows.frame[["id", "group", "truth"]]
            own = items.merge(table, on="id", validate="one_to_one")
            p_true = own["p"].where(own["truth"] == 1, 1 - own["p"])
            about = own[["id", "group"]].assign(p_true=p_true, keep=own["keep"], spread=own["spread"])
            tables.append(pd.DataFrame({"task": task, "name": name, "seed": seed, "split": split, **about}))
    return pd.concat(tables, ignore_index=True) if tables else None


def _weights(lab: Laboratory, builder: Builder) -> list[StudentWeights]:
    """Weights over supervisors of every student that learned them."""
    found = []
    for (task, name, seed), labels in lab.pooled.items():
        student = lab.named[task, name, seed]
        if student.split.raven is None:
            continue
        assert isinstance(labels.scores, ChosenStage)
        models = labels.scores.models
        again = len({model.seed for model in models}) > 1
        names = [each.name.partition(" · ")[0] + (f", seed {each.seed}" if again else "") for each in models]
        last = builder.meta(student)["supervisor_weights"][-1]
        found.append(StudentWeights(task=task, student=name, seed=seed, supervisors=names, weights=last))
    return found


def _split(rows: Rows) -> SplitInfo:
    frame = rows.frame
    return SplitInfo(
        objective=str(frame["objective"].iloc[0]),
        rows=len(rows),
        groups=int(frame["group"].nunique()),
        hash=digest(rows.texts, rows.truth),
        counts={"positive": int(frame["truth"].sum())},
    )
