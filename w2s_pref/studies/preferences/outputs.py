"""The run folder: results.json, per-item scores, resolved recipe, report, students with their cards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml
from pydantic import BaseModel

from w2s_pref.core.disk import disk_sentence
from w2s_pref.core.errors import W2SError
from w2s_pref.models.info import ModelFacts
from w2s_pref.parallel.world import environment
from w2s_pref.report.registry import check as check_sections
from w2s_pref.results.results import Body, Curve, ModelInfo, MonitorAlarm, MonitorCurve, Provenance, Results, SplitInfo
from w2s_pref.stages.policies import OnlinePolicyStage, PolicyStage
from w2s_pref.stages.rewards_labels_scores import AnalyzeStage, Scored, TrainStage
from w2s_pref.stages.watch import curve
from w2s_pref.studies.preferences.graph import all_stages

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder
    from w2s_pref.studies.run import Opened


def assemble(opened: Opened, analysis: AnalyzeStage, builder: Builder, command: str) -> Results:
    """The analysis's body plus everything that says where it comes from."""
    body = Body.model_validate_json((builder.artifact(analysis).folder / "body.json").read_text("utf-8"))
    return Results(
        **{name: getattr(body, name) for name in Body.model_fields if name != "warnings"},
        warnings=body.warnings + _token_notes(opened, builder),
        name=opened.recipe.name,
        seeds=opened.recipe.seeds,
        objectives=_objectives(opened),
        splits=_splits(opened),
        models=model_infos(opened.study.models),
        curves=_curves(opened, builder),
        monitors=_monitors(opened, builder),
        recipe=opened.recipe.model_dump(mode="json", exclude_defaults=False),
        provenance=provenance(
            opened,
            builder,
            command,
            {stage.name: stage.key for stage in opened.study.trained.values()} | {"analysis": analysis.key},
        ),
    )


def provenance(opened: Opened, builder: Builder, command: str, stages: dict[str, str]) -> Provenance:
    """How this run came about, and the keys of the stages to name."""
    here = environment(builder.world)
    return Provenance(
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(_computing_time(opened, builder), 2),
        world_size=here["world_size"],
        versions=here["versions"],
        machine=here["machine"],
        stages=stages,
    )


def _computing_time(opened: Opened, builder: Builder) -> float:
    """Seconds that building every stage of the study took, whenever that was."""
    return float(sum(builder.artifact(stage).meta["seconds"] for stage in all_stages(opened.study)))


def _objectives(opened: Opened) -> dict[str, str]:
    design = opened.study.analysis.design
    return {role: design[role] for role in ("target", "conflict") if design[role]}


def _splits(opened: Opened) -> dict[str, SplitInfo]:
    return {
        name: SplitInfo(
            objective=str(rows.frame["objective"].iloc[0]),
            rows=len(rows),
            groups=int(rows.frame["group"].nunique()),
            hash=opened.prepared.hashes[name],
            counts={what: n for what, n in opened.prepared.counts.items() if what.startswith(f"split.{name}.")},
        )
        for name, rows in opened.study.rows.items()
        if name in opened.prepared.hashes
    }


def _token_notes(opened: Opened, builder: Builder) -> list[str]:
    """What tokenisation cut, dropped or could not tell apart in each model's training pairs (ground truth, seed 1)."""
    from w2s_pref.data.tokens import describe

    study, seed, notes = opened.study, opened.recipe.seeds[0], []
    told: set[str] = set()
    for name in [name for name in study.nodes if name.startswith("ceiling/")]:
        model, meta = study.nodes[name].model, builder.artifact(study.trained[name, seed]).meta
        counts = meta.get("counts", {})
        if model not in told and (
            any(counts.get(what) for what in ("prompt_truncated", "answer_cut", "dropped", "indistinguishable"))
            or counts.get("unknown_tokens", 0) > 0.01 * counts.get("tokens", 1)
        ):
            notes.append(f"{model}: {describe(counts, opened.recipe.data.max_length)}")
            told.add(model)
        spoken = study.judged.get((name, seed))
        said = builder.artifact(spoken.samples).meta if spoken is not None else {}
        for what, cut in (("training", meta.get("prompts_truncated")), ("test", said.get("prompts_truncated"))):
            if cut:
                notes.append(f"{study.nodes[name]}: {cut} {what} prompts lost their start to leave room for an answer")
    return notes


def model_infos(models: dict[str, ModelFacts]) -> dict[str, ModelInfo]:
    """The recipe's models as results name them."""
    return {
        name: ModelInfo(path=facts.spec.path, parameters=facts.parameters, hash=facts.hash, revision=facts.revision)
        for name, facts in models.items()
    }


def _curves(opened: Opened, builder: Builder) -> list[Curve]:
    curves = []
    for (name, seed), stage in opened.study.trained.items():
        if isinstance(stage, TrainStage) and not stage.parts:
            continue
        path = builder.artifact(stage).folder / "history.json"
        history = json.loads(path.read_text(encoding="utf-8"))
        what = "reward" if isinstance(stage, OnlinePolicyStage) else "loss"
        points = [entry for entry in history if what in entry]
        steps, values = [int(e["step"]) for e in points], [float(e[what]) for e in points]
        curves.append(Curve(name=name, seed=seed, step=steps, loss=values, quantity=what))
    return curves


def _monitors(opened: Opened, builder: Builder) -> list[MonitorCurve]:
    """What the monitor saw of every training it watched, a ceiling against each weak model it is compared with."""
    curves = []
    for (name, seed), stage in opened.study.trained.items():
        if stage.watch is None:
            continue
        meta, action = builder.artifact(stage).meta["monitor"], stage.watch.config["action"]
        alarms = [
            MonitorAlarm(step=each["step"], signal=each["signal"], action=action, statistic=each["statistic"])
            for each in meta["alarms"]
        ]
        for weak, scores in _weak_models(opened, stage).items():
            table = curve(builder, stage, scores, stage.watch.probe)
            signals = {
                str(column): [None if pd.isna(value) else float(value) for value in table[column]]
                for column in table.columns.difference(["step", "fraction"], sort=False)
            }
            steps = [int(step) for step in table["step"]]
            about = {"name": name, "seed": seed, "weak": weak, "alarms": alarms, "cost": meta["cost"]}
            curves.append(MonitorCurve(steps=steps, signals=signals, **about))
    return curves


def _weak_models(opened: Opened, stage: TrainStage | PolicyStage) -> dict[str, Scored]:
    """The weak models that a training's signals are about: its own, and a ceiling's students' ones."""
    assert stage.watch is not None
    found = {stage.watch.weak_name: stage.watch.weak}
    for other in opened.study.trained.values():
        for ceiling, scores in other.watch.envelope if other.watch is not None else ():
            if ceiling is stage and other.watch is not None:
                found[other.watch.weak_name] = scores
    return found


def check_places(opened: Opened) -> None:
    """Refuse places where a run folder would take the place of something else, before anything is built.

    Raises:
        W2SError: output or store is a file, the run folder would hold the store, or what stands there is no run.
    """
    check_sections(opened.recipe.report.sections, opened.base)
    output, store = Path(opened.recipe.output), opened.store.root
    folder = output / opened.recipe.name
    for key, path in (("output", output), ("store", store)):
        for part in (path, *path.parents):
            if part.exists() and not part.is_dir():
                raise W2SError(f"{key}: {part} is a file, not a folder; give another: {key}=FOLDER")
    if store.resolve().is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(store.resolve()):
        raise W2SError(f"name: the run folder {folder} would stand in the place of the store {store}; choose another")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "results.json").is_file():
        raise W2SError(f"output: {folder} is there and is not a run folder; give another name or output=FOLDER")
    if folder.exists() and not folder.is_dir():
        raise W2SError(f"output: {folder} is a file, not a run folder; give another name or output=FOLDER")


def write_run(opened: Opened, analysis: AnalyzeStage, builder: Builder, results: Results) -> None:
    """Write the run folder: tables, results, report, students."""
    from w2s_pref.report.html import write as write_report
    from w2s_pref.report.registry import builders

    own = builders(opened.recipe.report.sections, opened.base)
    with fresh_folder(opened) as fresh:
        tables = builder.artifact(analysis).folder
        for name in ("scores.parquet", "labels.parquet", "answers.parquet"):
            if (tables / name).is_file():
                shutil.copyfile(tables / name, fresh / name)
        write_facts(opened, builder, results, fresh)
        write_report(results, fresh / "report.html", own)
        _students(opened, builder, results, fresh / "students")


@contextlib.contextmanager
def fresh_folder(opened: Opened) -> Iterator[Path]:
    """A folder beside the run folder's place, swapped in at the end, so that no reader meets half a run."""
    folder = Path(opened.recipe.output) / opened.recipe.name
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        yield fresh
        _swap(fresh, folder)
    except OSError as error:
        raise disk_sentence(error, "output", folder) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write_facts(opened: Opened, builder: Builder, results: BaseModel, folder: Path) -> None:
    """What every run folder holds: results, the recipe as it was read, the machine."""
    (folder / "results.json").write_text(results.model_dump_json(indent=1), encoding="utf-8")
    (folder / "recipe.yaml").write_text(_resolved(opened), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(environment(builder.world), indent=1), encoding="utf-8")


def _resolved(opened: Opened) -> str:
    return yaml.safe_dump(opened.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _students(opened: Opened, builder: Builder, results: Results, folder: Path) -> None:
    """A folder per student: its model card, and a link to its weights in the store."""
    from w2s_pref.report.cards import model_card

    for arm in opened.study.chains:
        for conflict in opened.recipe.conflict.names:
            for seed in opened.recipe.seeds:
                stage = opened.study.trained.get((f"{arm}/{conflict}", seed))
                if stage is None:
                    continue
                place = folder / safe_name(f"{arm}-{conflict}-seed{seed}")
                place.mkdir(parents=True)
                (place / "README.md").write_text(model_card(results, arm, conflict, seed), encoding="utf-8")
                _link(builder, stage, place / "model")


def _link(builder: Builder, stage: TrainStage | PolicyStage, place: Path) -> None:
    target = builder.store.place(stage.kind, stage.key).resolve()
    try:
        place.symlink_to(target, target_is_directory=True)
    except OSError:  # file systems without links
        place.with_suffix(".txt").write_text(f"{target}\n", encoding="utf-8")


def safe_name(text: str) -> str:
    """A file name for an arm or run: letters, digits, dot, dash; everything else becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def _swap(fresh: Path, folder: Path) -> None:
    """Put ``fresh`` in the place of ``folder``; another run of the same recipe may be doing the same."""
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    while True:
        try:
            fresh.rename(folder)
            return
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
        with contextlib.suppress(FileNotFoundError):
            folder.rename(old)
        shutil.rmtree(old, ignore_errors=True)
