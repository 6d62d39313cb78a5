"""The last stage of a preference study: all scores and labels → tables, and the body of its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import RAW_SCORES, SCORE_COLUMNS, SCORE_OPTIONAL, certainty, truth_first
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.stages.answers import JudgeStage
from w2s_pref.stages.labels import REFINED, LabelStage, Scored
from w2s_pref.stages.refined import RefinedScores, sentence
from w2s_pref.stages.rows import Rows
from w2s_pref.training.methods import TAU

if TYPE_CHECKING:
    from w2s_pref.analysis.preferences.design import Design


#: Columns of the long label table.
LABEL_COLUMNS = ["id", "group", "name", "seed", "p_true", "keep"]


def score_table(builder: Builder, scores: Mapping[tuple[str, int, str], Scored]) -> tuple[pd.DataFrame, list[str]]:
    """The long score table, and a sentence for every objective that lost items on the way.

    Columns ``id, group, model, seed, delta, tau, objective, kind, score_chosen, score_rejected`` and, where several
    supervisors are combined, ``spread``, how far apart they are. It holds the items that every model scored:
    ``overlong: drop`` leaves out those that are too long for one of the tokenizers.

    Args:
        scores: (model, seed, split) to the stage.

    Raises:
        W2SError: no item of an objective was scored by all models.
    """
    tables, about = [], []
    models: dict[str, set[tuple[str, int]]] = {}
    given: dict[str, set[str]] = {}
    for (model, seed, _), score in scores.items():
        read, pairs = builder.table(score), score.on.frame
        objective, form = str(pairs["objective"].iloc[0]), score.form
        models.setdefault(objective, set()).add((model, seed))
        given.setdefault(objective, set()).update(pairs["id"].to_numpy())
        tables.append(_with_spread(truth_first(read, pairs), read))
        about.append({"model": model, "seed": seed, "tau": TAU[form], "objective": objective, "kind": form})
    columns = [*SCORE_COLUMNS, *SCORE_OPTIONAL, *RAW_SCORES]
    stages = np.repeat(np.arange(len(tables)), [len(each) for each in tables])
    of_stages = pd.DataFrame(about).iloc[stages].reset_index(drop=True)
    table = pd.concat([pd.concat(tables, ignore_index=True), of_stages], axis=1)
    table = table[[*columns, *(["spread"] if "spread" in table else [])]]
    times = table.groupby(["objective", "id"])["delta"].transform("size")
    common = table[times == table["objective"].map({name: len(each) for name, each in models.items()})]
    kept = common.groupby("objective")["id"].nunique()
    sentences = [_left_out(name, len(ids), int(kept.get(name, 0)), len(models[name])) for name, ids in given.items()]
    return common.reset_index(drop=True), [sentence for sentence in sentences if sentence is not None]


def _with_spread(table: pd.DataFrame, read: pd.DataFrame) -> pd.DataFrame:
    """The table with ``spread`` by id, where the stage that was read has it: how far apart several supervisors are."""
    if "spread" not in read:
        return table
    return table.assign(spread=read.set_index("id")["spread"].reindex(table["id"]).to_numpy())


def _left_out(objective: str, given: int, kept: int, models: int) -> str | None:
    if not kept:
        raise W2SError(
            f"none of the {given} test items of {objective!r} was scored by all {models} models (seeds counted): "
            "data.overlong: drop left out those over data.max_length; raise it, or write overlong: truncate"
        )
    if kept == given:
        return None
    return (
        f"{given - kept} of {given} test items of {objective!r} are in no number here: data.overlong: drop left them "
        f"out for at least one of the {models} models (seeds counted)"
    )


def label_table(builder: Builder, stages: Mapping[tuple[str, int], LabelStage]) -> pd.DataFrame:
    """The long label table: ``id, group, name, seed, p_true, keep``; p_true goes to the ground-truth answer.

    ``sure`` says how probable it is that this one is the true one, where that is not known for sure; ``spread`` how far
    apart several supervisors are, where there are several.
    """
    tables = []
    for (name, seed), labels in stages.items():
        frame = labels.scores.on.frame[["id", "group", "truth"]]
        joined = frame.merge(builder.table(labels), on="id", validate="one_to_one")
        more = [name for name in ("spread",) if name in joined]
        p_true = np.where(joined["truth"] == 1, joined["p"], 1 - joined["p"])
        sure = certainty(labels.scores.on.frame)
        table = joined[["id", "group", "keep", *more]].assign(name=name, seed=seed, p_true=p_true)
        tables.append(table if sure is None else table.assign(sure=sure[joined["id"]].to_numpy()))
    together = pd.concat(tables, ignore_index=True)
    together = together.fillna({"sure": 1.0}) if "sure" in together else together
    return together[[*LABEL_COLUMNS, *(name for name in ("sure", "spread") if name in together)]]


def judged_table(
    builder: Builder, stages: Mapping[tuple[str, int], JudgeStage], temperature: float
) -> pd.DataFrame | None:
    """One row an answer of every policy and reference, with its texts; None where no policy spoke."""
    tables = [_of_here(builder, judged).assign(model=model, seed=seed) for (model, seed), judged in stages.items()]
    if not tables:
        return None
    together = pd.concat(tables, ignore_index=True)
    if temperature != 1.0:  # log-probabilities are at 1: their mean over other samples is no KL
        together["ref_logp"] = np.nan
    return together if "gold_conflict" in together else together.assign(gold_conflict=np.nan)


def _of_here(builder: Builder, judged: JudgeStage) -> pd.DataFrame:
    """Judged answers with the ids and groups of this study's prompts, in whose order they stand.

    Keys hold the prompts' texts alone: the table may come from a study with other ids or groups.
    """
    table, prompts = builder.table(judged), judged.samples.prompts.frame
    rows = np.arange(len(table)) // int(judged.samples.settings["samples"])
    return table.assign(**{name: prompts[name].to_numpy()[rows] for name in ("group", "id")})


def anchor_table(builder: Builder, gold: Scored, test: pd.DataFrame, design: dict[str, Any]) -> pd.DataFrame:
    """What the judges say of both answers of every test pair: ``id, group, seed, judge, value_true, value_other``.

    The judges are the same for every seed.
    """
    from w2s_pref.stages.answers import oracle_anchors

    scores = builder.table(gold).rename(columns={"score_a": "value_a", "score_b": "value_b"})
    tables = [scores.assign(judge="gold_target")]
    if design["oracle"]:
        found = oracle_anchors(builder, design["oracle"], test, design["helpful_first"])
        tables.append(found.assign(judge="oracle_target"))
    joined = pd.concat(tables, ignore_index=True).merge(test[["id", "group", "truth"]], on="id")
    first = joined["truth"] == 1
    joined["value_true"] = joined["value_a"].where(first, joined["value_b"])
    joined["value_other"] = joined["value_b"].where(first, joined["value_a"])
    everywhere = joined.merge(pd.DataFrame({"seed": design["seeds"]}), how="cross")
    return everywhere[["id", "group", "seed", "judge", "value_true", "value_other"]]


def study_design(design: dict[str, Any]) -> Design:
    """The design of the study, in the analysis's own type."""
    from w2s_pref.analysis.preferences.design import ArmDesign, Design

    arms = tuple(
        ArmDesign(
            name,
            tuple(chain),
            design["methods"][name],
            design["supervision"][name],
            tuple(design.get("ends", {}).get(name, ("", ""))),
            design.get("rounds", {}).get(name, {}),
        )
        for name, chain in design["arms"].items()
    )
    # The untrained student is described beside the arms, not as one of their settings.
    conflicts = tuple(name for name in design["conflicts"] if name != "base")
    judges = {"judges": design["judges"]} if "judges" in design else {}
    given = ("target", "conflict", "ladder", "threshold", "known_rule", "resamples", "seed", "references")
    same = {name: design[name] for name in given}
    named = design.get("placebo", ())
    placebos = (named,) if isinstance(named, str) else tuple(named)
    more = {"placebos": placebos, "by": design.get("by"), "best_of": design.get("best_of", {})}
    return Design(arms, conflicts, tuple(design["seeds"]), **judges, **same, **more)


@dataclass(frozen=True, eq=False)
class AnalyzeStage(Stage):
    """All scores and labels of a study → the body of its results. ``scores`` maps (model, seed, split) to a stage."""

    kind: ClassVar[str] = "analysis"
    version: ClassVar[int] = 11
    on_main: ClassVar[bool] = True
    scores: dict[tuple[str, int, str], Scored]
    labels: dict[tuple[str, int], LabelStage]
    test: Rows
    conflict_test: Rows | None
    design: dict[str, Any] = field(default_factory=dict)
    judged: dict[tuple[str, int], JudgeStage] = field(default_factory=dict)
    anchor: Scored | None = None
    spoken: dict[str, Stage] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, Stage]:
        """Every score, label and judged-sample stage by name, the gold scores of the test pairs, and arguments."""
        scores: dict[str, Stage] = {f"score {m} {s} {t}": stage for (m, s, t), stage in self.scores.items()}
        labels: dict[str, Stage] = {f"label {name} {seed}": stage for (name, seed), stage in self.labels.items()}
        judged = {f"judged {name} {seed}": stage for (name, seed), stage in self.judged.items()}
        more = {f"arguments {name}": stage for name, stage in self.spoken.items()}
        if self.anchor is not None:
            more["anchor"] = self.anchor
        return {**scores, **labels, **judged, **more}

    @property
    def payload(self) -> dict[str, Any]:
        """Design, and the ground truth of everything that is judged."""
        labelled = {stage.scores.on.name: stage.scores.on for stage in self.labels.values()}
        other = self.conflict_test
        return {
            "design": self.design,
            "test": [self.test.texts, self.test.truth, self.test.groups],
            "conflict_test": [other.texts, other.truth, other.groups] if other else None,
            "labelled": {name: [rows.truth, rows.groups] for name, rows in labelled.items()},
        }

    @property
    def rows(self) -> int:
        """Items analysed."""
        return len(self.test)

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``scores``, ``labels`` and, where policies spoke, ``answers`` as Parquet; ``body.json``."""
        from w2s_pref.analysis.preferences.metrics import functions
        from w2s_pref.analysis.preferences.study import summarize

        scores, dropped = score_table(builder, self.scores)
        labels = label_table(builder, self.labels)
        scores.to_parquet(folder / "scores.parquet", index=False)
        labels.to_parquet(folder / "labels.parquet", index=False)
        judged = judged_table(builder, self.judged, self.design["temperature"])
        anchors = None if self.anchor is None else anchor_table(builder, self.anchor, self.test.frame, self.design)
        if judged is not None:
            judged.to_parquet(folder / "answers.parquet", index=False)
        own = functions(list(self.design.get("metrics", [])), builder.base)
        tests = [self.test.frame, *([self.conflict_test.frame] if self.conflict_test is not None else [])]
        known = {str(frame["objective"].iloc[0]): certainty(frame) for frame in tests}
        sure = {objective: each for objective, each in known.items() if each is not None}
        said_of = {name: self._said_of(builder, name) for name in self.spoken}
        body = summarize(
            scores, labels, self.test.frame, study_design(self.design), judged, anchors, own, sure, said_of
        )
        body = body.model_copy(update={"warnings": dropped + self._refined(builder) + body.warnings})
        (folder / "body.json").write_text(body.model_dump_json(indent=1), encoding="utf-8")
        return {"rows": len(scores)}

    def _refined(self, builder: Builder) -> list[str]:
        """A sentence for every label set that a model has refined."""
        found = []
        for (name, seed), labels in self.labels.items():
            if isinstance(labels.scores, RefinedScores):
                told = builder.meta(labels)[REFINED]
                found.append(sentence(f"labels of {name}, seed {seed}", labels.scores.config.by, told))
        return found

    def _said_of(self, builder: Builder, judge: str) -> dict[str, float]:
        """What the arguments of a supervisor are like, and whether a prompted judge answers."""
        argued = self.scores[self.design["judges"][judge]["argued"], self.design["seeds"][0], "test"]
        told = {**builder.meta(self.spoken[judge]), **builder.meta(argued)}
        names = ("empty", "same", "unended", "unparseable", "same_when_swapped", "transcript_cut")
        return {name: float(told[name]) for name in names if name in told}
