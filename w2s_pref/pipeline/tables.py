"""Artifacts → the public score table and the label table that the analysis reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.types import orient

if TYPE_CHECKING:
    from w2s_pref.analysis.study import Design
    from w2s_pref.pipeline.build import Builder
    from w2s_pref.pipeline.stages import AnalyzeStage


def score_table(builder: Builder, stage: AnalyzeStage) -> pd.DataFrame:
    """The long score table: ``id, group, model, seed, delta, tau, objective, kind``."""
    tables = []
    for (model, seed, _), score in stage.scores.items():
        oriented = orient(builder.table(score), score.on.frame)
        objective = score.on.frame["objective"].iloc[0]
        tables.append(oriented.assign(model=model, seed=seed, tau=1.0, objective=objective, kind="reward_model"))
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


def study_design(design: dict[str, Any]) -> Design:
    """The design of the study, in the analysis's own type."""
    from w2s_pref.analysis.study import ArmDesign, Design

    arms = tuple(ArmDesign(name, tuple(chain)) for name, chain in design["arms"].items())
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
    )
