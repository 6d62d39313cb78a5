"""A recipe of preferences opened (pairs read, the graph built), and the run folder: results, report, tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd

from w2s_pref.core.errors import Unreachable
from w2s_pref.data.config import DataConfig, Prepared, prepare
from w2s_pref.data.split import shuffled
from w2s_pref.engine.stage import Builder
from w2s_pref.models.info import facts
from w2s_pref.results.parts import LearnedWeights
from w2s_pref.results.preferences import Body, Results
from w2s_pref.results.summarised import summarised
from w2s_pref.results.trainings import Curve, MonitorAlarm, MonitorCurve, SplitInfo
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.online import OnlinePolicyStage
from w2s_pref.stages.policies import PairPolicyStage, PolicyStage
from w2s_pref.stages.rewards import TrainStage
from w2s_pref.stages.watch import curve
from w2s_pref.studies.folder import model_infos, provenance
from w2s_pref.studies.kind import Opened
from w2s_pref.studies.preferences.analyze import AnalyzeStage
from w2s_pref.studies.preferences.costs import costs
from w2s_pref.studies.preferences.equal import equal_pairs
from w2s_pref.studies.preferences.graph import build_study
from w2s_pref.studies.preferences.pairs import pair_table
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.students import write_students
from w2s_pref.studies.preferences.study import Study
from w2s_pref.studies.preferences.texts import check_texts


def open_preferences(recipe: Recipe, base: Path, planning: bool) -> tuple[Study, Prepared]:
    """Read the pairs and build the graph; loads no weights.

    Args:
        planning: pairs that cannot be reached from here are stood in for by rows of the asked number.

    Raises:
        W2SError: every data error found.
    """
    models = {name: facts(spec, base) for name, spec in recipe.models.items()}
    try:
        prepared = prepare(recipe.data, base, lambda frame: equal_pairs(frame, models, recipe.data))
    except Unreachable as error:
        if not planning:
            raise
        prepared = replace(
            stand_in(recipe.data, recipe.analysis.by), notes=[f"not checked: {problem}" for problem in error.problems]
        )
        return build_study(recipe, prepared, base, models), prepared
    study = build_study(recipe, prepared, base, models)
    return study, replace(prepared, notes=prepared.notes + check_texts(study))


def stand_in(config: DataConfig, by: str | None = None) -> Prepared:
    """Rows without content, as many as the splits ask for: enough to plan, never to run. ``by``: a column they have."""
    splits = {}
    for name, size in config.splits.given().items():
        objective = config.conflict_objective if name.startswith("conflict") else config.target_objective
        ids = [f"{name}-{number}" for number in range(size)]
        columns = {"id": ids, "group": ids, "form": "text", "prompt": "", "a": ids, "b": "", "truth": 1}
        columns |= {} if by is None else {by: "unknown"}
        splits[name] = shuffled(pd.DataFrame({**columns, "objective": objective}), config.seed)
    return Prepared(splits=splits, counts={}, hashes=dict.fromkeys(splits, "unreachable"))


Preferences = Opened[Recipe, Study]


def finish(opened: Preferences, builder: Builder, folder: Path, command: str) -> Results:
    """Write tables, report and students into ``folder``; returns what results.json says."""
    from w2s_pref.report.html import write as write_report
    from w2s_pref.report.registry import builders

    analysis = opened.study.analysis
    for judged in opened.study.judged.values():
        judged.check_reading(builder, opened.study.text_stays_text)
    tables = builder.artifact(analysis).folder
    results = assemble(opened, analysis, builder, command)
    for name in ("scores.parquet", "labels.parquet", "answers.parquet"):
        if (tables / name).is_file():
            shutil.copyfile(tables / name, folder / name)
    pair_table(opened.study).to_parquet(folder / "pairs.parquet", index=False, compression="zstd")
    write_report(results, folder / "report.html", builders(opened.recipe.report.sections, opened.base))
    write_students(opened.recipe, opened.study, builder, results, folder / "students", opened.folder / "students")
    return summarised(results)


def assemble(opened: Preferences, analysis: AnalyzeStage, builder: Builder, command: str) -> Results:
    """The analysis's body plus everything that says where it comes from."""
    body = Body.model_validate_json((builder.artifact(analysis).folder / "body.json").read_text("utf-8"))
    trained = {stage.name: stage.key for stage in opened.study.trained.values()}
    return Results(
        **{name: getattr(body, name) for name in Body.model_fields if name != "warnings"},
        warnings=[*opened.prepared.notes, *body.warnings, *_token_notes(opened, builder)],
        name=opened.recipe.name,
        seeds=sorted(opened.recipe.seeds),  # as the values of seeds stand in every estimate
        objectives={role: analysis.design[role] for role in ("target", "conflict") if analysis.design[role]},
        splits=_splits(opened),
        models=model_infos(opened.study.models),
        curves=_curves(opened, builder),
        monitors=_monitors(opened, builder),
        costs=costs(opened.recipe, opened.study, builder),
        supervisor_weights=_weights(opened, builder),
        recipe=opened.recipe.model_dump(mode="json"),
        provenance=provenance(opened, builder, command, trained | {"analysis": analysis.key}),
    )


def _splits(opened: Preferences) -> dict[str, SplitInfo]:
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


#: Counts of tokenisation that are said where there are any.
_TOLD = ("prompt_truncated", "answer_cut", "dropped", "indistinguishable", "control_tokens")


def _token_notes(opened: Preferences, builder: Builder) -> list[str]:
    """What tokenisation cut, dropped or could not tell apart in each model's training pairs (ground truth, seed 1)."""
    from w2s_pref.data.tokens import describe

    study, seed, notes = opened.study, opened.recipe.seeds[0], []
    told: set[str] = set()
    for name in [name for name in study.nodes if name.startswith("ceiling/")]:
        model, meta = study.nodes[name].model, builder.meta(study.trained[name, seed])
        counts = meta.get("counts", {})
        if model not in told and (
            any(counts.get(what) for what in _TOLD) or counts.get("unknown_tokens", 0) > 0.01 * counts.get("tokens", 1)
        ):
            notes.append(f"{model}: {describe(counts, opened.recipe.data.max_length)}")
            told.add(model)
        spoken = study.judged.get((name, seed))
        said = builder.meta(spoken.samples) if spoken is not None else {}
        for what, cut in (("training", meta.get("prompts_truncated")), ("test", said.get("prompts_truncated"))):
            if cut:
                notes.append(f"{study.nodes[name]}: {cut} {what} prompts lost their start to leave room for an answer")
    return notes


def _curves(opened: Preferences, builder: Builder) -> list[Curve]:
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


def _weights(opened: Preferences, builder: Builder) -> list[LearnedWeights]:
    """Weights over supervisors of every student that learned them."""
    found = []
    for (name, seed), stage in opened.study.trained.items():
        arm, _, conflict = name.rpartition("/")
        if arm not in opened.study.chains or not isinstance(stage, TrainStage | PairPolicyStage) or stage.raven is None:
            continue
        supervisors = [str(each) for each in opened.study.chains[arm][-2].members]
        last = builder.meta(stage)["supervisor_weights"][-1]
        about = {"arm": arm, "conflict": conflict, "seed": seed, "supervisors": supervisors}
        found.append(LearnedWeights(**about, weights=last))
    return found


def _monitors(opened: Preferences, builder: Builder) -> list[MonitorCurve]:
    """What the monitor saw of every training it watched, a ceiling against each weak model it is compared with."""
    curves = []
    for (name, seed), stage in opened.study.trained.items():
        if stage.watch is None:
            continue
        meta, action = builder.meta(stage)["monitor"], stage.watch.config["action"]
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
            about["fractions"] = [float(share) for share in table["fraction"]]
            curves.append(MonitorCurve(steps=steps, signals=signals, **about))
    return curves


def _weak_models(opened: Preferences, stage: TrainStage | PolicyStage) -> dict[str, Scored]:
    """The weak models that a training's signals are about: its own, and a ceiling's students' ones."""
    assert stage.watch is not None
    found = {stage.watch.weak_name: stage.watch.weak}
    for other in opened.study.trained.values():
        for ceiling, scores in other.watch.envelope if other.watch is not None else ():
            if ceiling is stage and other.watch is not None:
                found[other.watch.weak_name] = scores
    return found
