"""Artifacts → the public score table and the label table that the analysis reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.core.tables import orient
from w2s_pref.training.methods import TAU

if TYPE_CHECKING:
    from w2s_pref.analysis.preferences.study import Design
    from w2s_pref.engine.build import Builder
    from w2s_pref.stages.rewards_labels_scores import AnalyzeStage


def score_table(builder: Builder, stage: AnalyzeStage) -> pd.DataFrame:
    """The long score table: ``id, group, model, seed, delta, tau, objective, kind``."""
    tables = []
    for (model, seed, _), score in stage.scores.items():
        oriented = orient(builder.table(score), score.on.frame)
        objective = score.on.frame["objective"].iloc[0]
        form = score.form
        tables.append(oriented.assign(model=model, seed=seed, tau=TAU[form], objective=objective, kind=form))
    columns = ["id", "group", "model", "seed", "delta", "tau", "objective", "kind"]
    return _scored_by_all(pd.concat(tables, ignore_index=True)[columns])


def _scored_by_all(table: pd.DataFrame) -> pd.DataFrame:
    """Items that every model scored: ``overlong: drop`` may leave out others for another tokenizer."""
    rows = table.groupby(["objective", "id"])["delta"].transform("size")
    return table[rows == rows.groupby(table["objective"]).transform("max")].reset_index(drop=True)


def label_table(builder: Builder, stage: AnalyzeStage) -> pd.DataFrame:
    """The long label table: ``id, group, name, seed, p_true, keep``; p_true goes to the ground-truth answer."""
    tables = []
    for (name, seed), labels in stage.labels.items():
        frame = labels.scores.on.frame[["id", "group", "truth"]]
        joined = frame.merge(builder.table(labels), on="id", validate="one_to_one")
        p_true = np.where(joined["truth"] == 1, joined["p"], 1 - joined["p"])
        table = joined[["id", "group", "keep"]].assign(name=name, seed=seed, p_true=p_true)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)[["id", "group", "name", "seed", "p_true", "keep"]]


def judged_table(builder: Builder, stage: AnalyzeStage) -> pd.DataFrame | None:
    """One row an answer of every policy and reference, with its texts; None where no policy spoke."""
    tables = [builder.table(judged).assign(model=model, seed=seed) for (model, seed), judged in stage.judged.items()]
    if not tables:
        return None
    together = pd.concat(tables, ignore_index=True)
    if stage.design["temperature"] != 1.0:  # log-probabilities are at 1: their mean over other samples is no KL
        together["ref_logp"] = np.nan
    return together if "gold_conflict" in together else together.assign(gold_conflict=np.nan)


def anchor_table(builder: Builder, stage: AnalyzeStage) -> pd.DataFrame | None:
    """What the judges say of both answers of every test pair: ``id, group, seed, judge, value_true, value_other``.

    The judges are the same for every seed.
    """
    if stage.anchor is None:
        return None
    from w2s_pref.stages.build_rewards import oracle_anchors

    gold = builder.table(stage.anchor).rename(columns={"score_a": "value_a", "score_b": "value_b"})
    tables = [gold.assign(judge="gold_target")]
    if stage.design["oracle"]:
        found = oracle_anchors(builder, stage.design["oracle"], stage.test.frame, stage.design["helpful_first"])
        tables.append(found.assign(judge="oracle_target"))
    joined = pd.concat(tables, ignore_index=True).merge(stage.test.frame[["id", "group", "truth"]], on="id")
    first = joined["truth"] == 1
    joined["value_true"] = joined["value_a"].where(first, joined["value_b"])
    joined["value_other"] = joined["value_b"].where(first, joined["value_a"])
    everywhere = joined.merge(pd.DataFrame({"seed": stage.design["seeds"]}), how="cross")
    return everywhere[["id", "group", "seed", "judge", "value_true", "value_other"]]


def study_design(design: dict[str, Any]) -> Design:
    """The design of the study, in the analysis's own type."""
    from w2s_pref.analysis.preferences.study import ArmDesign, Design

    arms = tuple(
        ArmDesign(name, tuple(chain), design["methods"][name], design["supervision"][name])
        for name, chain in design["arms"].items()
    )
    # The untrained student is described beside the arms, not as one of their settings.
    conflicts = tuple(name for name in design["conflicts"] if name != "base")
    return Design(
        arms=arms,
        conflicts=conflicts,
        seeds=tuple(design["seeds"]),
        target=design["target"],
        conflict=design["conflict"],
        ladder=design["ladder"],
        threshold=design["threshold"],
        known_rule=design["known_rule"],
        resamples=design["resamples"],
        seed=design["seed"],
        references=design["references"],
    )
