"""Recipe and data → the graph of stages of the whole study."""

from __future__ import annotations

from pathlib import Path

from w2s_pref.core.errors import W2SError
from w2s_pref.core.registry import short_name
from w2s_pref.data.config import Prepared
from w2s_pref.models.info import backbone_parameters, facts
from w2s_pref.stages.labels import Part
from w2s_pref.stages.rows import Rows, slices
from w2s_pref.studies.kind import all_stages
from w2s_pref.studies.preferences.nodes import Task, ceiling, train
from w2s_pref.studies.preferences.recipe import Recipe
from w2s_pref.studies.preferences.speech import add_speech, base_scores
from w2s_pref.studies.preferences.study import Study
from w2s_pref.training.methods import Node

__all__ = ["Study", "all_stages", "build_study"]


def build_study(recipe: Recipe, prepared: Prepared, base: Path) -> Study:
    """The whole graph. Reads model files' headers and hashes; loads no weights.

    Raises:
        W2SError: a model that does not exist, or a recipe whose parts do not fit its data.
    """
    rows = {name: Rows(name, frame) for name, frame in prepared.splits.items() if len(frame)}
    _check_splits(recipe, rows)
    study = Study(recipe, base, {name: facts(spec, base) for name, spec in recipe.models.items()}, rows)
    if recipe.bootstrap.inputs == "split":
        rows.update(slices(rows["w2s"], max(len(chain) for chain in study.chains.values()) - 1))
    factors = _compute_factors(study) if recipe.bootstrap.match_compute else {}
    used = list(dict.fromkeys(node for chain in study.chains.values() for node in chain))
    for seed in recipe.seeds:
        for node in used:
            ceiling(study, node, seed)
    for seed in recipe.seeds:
        for arm, chain in study.chains.items():
            _arm(study, arm, chain, seed, factors.get(arm, 1.0))
    add_speech(study)
    return study


def _check_splits(recipe: Recipe, rows: dict[str, Rows]) -> None:
    missing = [name for name in ("gt", "w2s", "test") if name not in rows]
    if missing:
        raise W2SError(f"data.splits: {', '.join(missing)} must have rows; every study needs gt, w2s and test")
    if {"implicit", "placebo", "gold"} & set(recipe.conflict.settings) and "conflict" not in rows:
        raise W2SError("data.splits: conflict must have rows, because conflict.settings mixes them in")
    if recipe.monitor is not None and "probe" not in rows:
        raise W2SError("monitor: give data.splits.probe a number of rows, at least 30: the pairs it looks at")
    if recipe.labels.calibrate and "calibration" not in rows:
        raise W2SError("labels.calibrate needs held-out ground truth; give data.splits.calibration a number of rows")


def _hop_rows(study: Study, hop: int, hops: int) -> Rows:
    """Pairs that hop ``hop`` (1 … hops) of a chain trains on."""
    mode = study.recipe.bootstrap.inputs
    if mode == "split":
        longest = max(len(chain) for chain in study.chains.values()) - 1
        return study.rows[f"w2s/{longest - hops + hop}"]
    if mode == "paper" and hop % 2 == 0:
        return study.rows["gt"]
    return study.rows["w2s"]


def _label_form(study: Study, student: Node) -> str:
    form = study.recipe.method(student).config.labels
    return form or study.recipe.labels.form


def _arm(study: Study, arm: str, chain: list[Node], seed: int, scale: float) -> None:
    """All hops of one chain: intermediates without conflict, then the student under every conflict setting."""
    hops = len(chain) - 1
    supervisor = f"ceiling/{chain[0]}"
    for hop in range(1, hops + 1):
        rows, node = _hop_rows(study, hop, hops), chain[hop]
        labels = study.label(f"{arm}/hop{hop}", supervisor, rows, seed, _label_form(study, node))
        target = Part(rows, labels)
        if hop < hops:
            train(study, f"{arm}/hop{hop}", node, Task(target, supervisor), seed)
            supervisor = f"{arm}/hop{hop}"
    for conflict in study.recipe.conflict.settings:
        if conflict == "base":
            base_scores(study, node, Task(target, supervisor, "base"), seed)
            continue
        train(study, f"{arm}/{short_name(conflict)}", node, Task(target, supervisor, conflict, scale), seed)


def _compute_factors(study: Study) -> dict[str, float]:
    """How much longer each arm's last training must be so that all arms between the same two models cost the same.

    Cost of a hop = parameters outside the embedding table x pairs; tokens per pair cancel out.
    """
    costs: dict[str, list[float]] = {}
    for arm, chain in study.chains.items():
        hops = len(chain) - 1
        size = [backbone_parameters(study.models[node.model]) for node in chain[1:]]
        if not all(size):
            raise W2SError("bootstrap.match_compute needs the size of every model; one is not available here")
        costs[arm] = [s * len(_hop_rows(study, hop + 1, hops)) for hop, s in enumerate(size)]
    factors = {}
    for arm, chain in study.chains.items():
        rivals = [sum(costs[a]) for a, c in study.chains.items() if (c[0], c[-1]) == (chain[0], chain[-1])]
        factors[arm] = 1 + (max(rivals) - sum(costs[arm])) / costs[arm][-1]
    return factors
