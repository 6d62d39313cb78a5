"""The tables of a study of preferences with the texts of their pairs, and the region of every test item."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from w2s_pref.analysis.deception.regions import known, region_masks
from w2s_pref.analysis.scores.table import load_frame
from w2s_pref.analysis.stats.basics import sigmoid
from w2s_pref.core.arrays import Bools
from w2s_pref.core.tables import RAW_SCORES

if TYPE_CHECKING:
    from w2s_pref.results.preferences import Arm, Results

log = logging.getLogger(__name__)

#: The columns of a pair that every table has.
TEXTS = ("prompt", "chosen", "rejected", "split")


def score_frame(folder: Path, results: Results) -> pd.DataFrame:
    """``scores.parquet`` with ``arm``, ``region`` and the pairs.

    Columns: ``id, group, objective, model, arm, seed, score_chosen, score_rejected, delta, tau, kind, region, prompt,
    chosen, rejected, split``, then those of the source.
    """
    scores = load_frame(folder / "scores.parquet")
    scores = scores.assign(**{name: np.nan for name in RAW_SCORES if name not in scores})
    scores["arm"] = [_arm_of(model, results.arms) for model in scores["model"]]
    scores["region"] = regions(scores, results)
    order = ["id", "group", "objective", "model", "arm", "seed", *RAW_SCORES, "delta", "tau", "kind", "region"]
    return _with_pairs(scores[order], folder)


def label_frame(folder: Path) -> pd.DataFrame:
    """``labels.parquet`` with the pairs: ``id, group, name, seed, p_true, keep``, texts, the columns of the source."""
    return _with_pairs(load_frame(folder / "labels.parquet"), folder)


def regions(scores: pd.DataFrame, results: Results) -> pd.Series[str]:
    """What the ceilings of its model's arm know of every row of the target objective: ``sk_wk``, ``sk_wuk`` ….

    sk: the strong ceiling knows the item, suk: it does not; wk, wuk: the weak one. The same seed, the recipe's
    threshold and rule. Models that belong to several arms have a region where all of these have the same ceilings. An
    item that a ceiling has no score of, as it was too long for it, has none.
    """
    analysis = results.recipe.get("analysis", {})
    threshold, rule = analysis.get("threshold", 0.75), analysis.get("known_rule", "gt_prob")
    target = scores["objective"] == results.objectives.get("target")
    p = np.asarray(sigmoid((scores["delta"] / scores["tau"]).to_numpy(dtype=float)), dtype=np.float64)
    told = scores.assign(known=known(p, threshold, rule))[target].groupby(["model", "seed"], sort=False)
    knows = {key: rows.set_index("id")["known"] for key, rows in told}
    found = pd.Series(None, index=scores.index, dtype=object)
    for (model, seed), rows in told:
        arm = _arm_of(str(model), results.arms)
        ends = {_ends(one) for one in results.arms if arm in (one.name, None)}
        if len(ends) != 1:
            continue
        ((weak, strong),) = ends
        rows = rows[rows["id"].isin(knows[strong, seed].index) & rows["id"].isin(knows[weak, seed].index)]
        sides: list[Bools] = [knows[name, seed].reindex(rows["id"]).to_numpy(dtype=bool) for name in (strong, weak)]
        for name, mask in region_masks(*sides).items():
            found[rows.index[mask]] = name
    return found


def _arm_of(model: str, arms: list[Arm]) -> str | None:
    """The arm that a model of the score table belongs to; None for ceilings and untrained models."""
    return next((arm.name for arm in arms if model.rpartition("/")[0] == arm.name), None)


def _ends(arm: Arm) -> tuple[str, str]:
    """The arm's ceilings, weak and strong, as the score table names them."""
    return f"ceiling/{arm.chain[0]}", f"ceiling/{arm.chain[-1]}"


def _with_pairs(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    file = folder / "pairs.parquet"
    if not file.is_file():
        log.warning("%s has no pairs.parquet, as older versions wrote none: run the recipe again for the texts", folder)
        return table.assign(**dict.fromkeys(TEXTS))
    pairs = load_frame(file).drop(columns=["group", "objective"])
    pairs = pairs[["id", *TEXTS, *(name for name in pairs.columns if name not in ("id", *TEXTS))]]
    if (pairs["form"] == "text").all():
        pairs = pairs.drop(columns="form")
    return table.merge(pairs, on="id", how="left", validate="many_to_one")
