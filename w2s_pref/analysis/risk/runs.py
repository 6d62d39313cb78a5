"""Finished studies as settings of the predictor study: every arm x conflict of every run is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from w2s_pref.analysis.scores.table import near
from w2s_pref.core.errors import W2SError
from w2s_pref.results import Results

#: What the score table of a reward model's node is called after: a node is ``model`` or ``model@method``.
_REWARD = "reward"


def design_of_run(results: Results) -> dict[str, Any]:
    """What ``settings_of_runs`` must know of a finished run.

    Returns:
        ``target``: objective its students are judged on; ``dataset``: where the target pairs come from; ``arms``:
        name -> {``chain``: nodes, weakest first; ``conflicts``: settings of its final student}.
    """
    source = results.recipe.get("data", {}).get("target", {}).get("source", "")
    arms = {
        arm.name: {"chain": list(arm.chain), "conflicts": [setting.conflict for setting in arm.settings]}
        for arm in results.arms
    }
    return {"target": results.objectives["target"], "dataset": str(source), "arms": arms}


def settings_of_runs(
    runs: Sequence[tuple[str, pd.DataFrame, Mapping[str, Any]]], weak: str = "weak", strong: str = "strong"
) -> pd.DataFrame:
    """A table of settings, as ``predictor_study`` takes it, from the score tables of finished runs.

    Args:
        runs: name, score table and design (see ``design_of_run``) of each.
        weak, strong: what the weak ceiling of each arm and its final student are called in the table.

    Returns:
        A score table with the columns ``setting`` ("run/arm/conflict"), ``pipeline`` (methods of the chain's ends,
        "sft>dpo") and ``dataset``.

    Raises:
        W2SError: no runs, two of one name, or scores that are not in a run's table.
    """
    if not runs:
        raise W2SError("no runs given; name at least one run folder.")
    names = [name for name, _, _ in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise W2SError(f"run {twice!r} is given twice; run folders must differ in their name.")
    parts = [_settings(name, scores, design, (weak, strong)) for name, scores, design in runs]
    return pd.concat([part for own in parts for part in own], ignore_index=True)


def pipeline_of(chain: Sequence[str]) -> str:
    """Methods of a chain's first and last node: ``reward>dpo``."""
    methods = [node.partition("@")[2] or _REWARD for node in (chain[0], chain[-1])]
    return ">".join(methods)


def _settings(run: str, scores: pd.DataFrame, design: Mapping[str, Any], roles: tuple[str, str]) -> list[pd.DataFrame]:
    """The settings of one run, one frame each."""
    target = scores[scores["objective"] == design["target"]]
    found = []
    for arm, entry in design["arms"].items():
        for conflict in entry["conflicts"]:
            models = (f"ceiling/{entry['chain'][0]}", f"{arm}/{conflict}")
            labels = {"pipeline": pipeline_of(entry["chain"]), "dataset": design["dataset"]}
            for model, role in zip(models, roles, strict=True):
                rows = target[target["model"] == model]
                if rows.empty:
                    known = sorted(target["model"].unique())
                    raise W2SError(f"run {run!r}: no scores of {model!r} on its target objective; {near(model, known)}")
                found.append(rows.assign(model=role, setting=f"{run}/{arm}/{conflict}", **labels))
    return found
