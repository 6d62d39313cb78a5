"""Recipe and data → the graph of stages of the whole study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from w2s_pref.data.config import Prepared
from w2s_pref.errors import W2SError
from w2s_pref.models.info import ModelFacts, backbone_parameters, facts
from w2s_pref.pipeline.recipe import Recipe
from w2s_pref.pipeline.stages import AnalyzeStage, LabelStage, Part, Rows, ScoreStage, Stage, TrainStage
from w2s_pref.training.arguments import keyed, merged


@dataclass
class Study:
    """The graph: students by (arm, conflict, seed), all scores and labels, and the analysis that reads them."""

    recipe: Recipe
    models: dict[str, ModelFacts]
    rows: dict[str, Rows]
    trained: dict[tuple[str, int], TrainStage] = field(default_factory=dict)
    scores: dict[tuple[str, int, str], ScoreStage] = field(default_factory=dict)
    labels: dict[tuple[str, int], LabelStage] = field(default_factory=dict)

    @property
    def analysis(self) -> AnalyzeStage:
        """The last stage."""
        recipe = self.recipe
        design = {
            "arms": recipe.chains(),
            "conflicts": recipe.conflict.settings,
            "seeds": recipe.seeds,
            "target": self.rows["test"].frame["objective"].iloc[0],
            "conflict": self.rows["conflict_test"].frame["objective"].iloc[0] if "conflict_test" in self.rows else None,
            "ladder": bool(recipe.ladder),
            **recipe.analysis.model_dump(),
        }
        return AnalyzeStage(
            "analysis", self.scores, self.labels, self.rows["test"], self.rows.get("conflict_test"), design
        )


def build_study(recipe: Recipe, prepared: Prepared, base: Path) -> Study:
    """The whole graph. Reads model files' headers and hashes; loads no weights.

    Raises:
        W2SError: a model that does not exist, or a recipe whose parts do not fit its data.
    """
    rows = {name: Rows(name, frame) for name, frame in prepared.splits.items() if len(frame)}
    _check_splits(recipe, rows)
    study = Study(recipe, {name: facts(spec, base) for name, spec in recipe.models.items()}, rows)
    if recipe.bootstrap.inputs == "split":
        rows.update(_slices(rows["w2s"], max(len(chain) for chain in recipe.chains().values()) - 1))
    factors = _compute_factors(study) if recipe.bootstrap.match_compute else {}
    used = list(dict.fromkeys(name for chain in recipe.chains().values() for name in chain))
    for seed in recipe.seeds:
        for name in used:
            _ceiling(study, name, seed)
        for arm, chain in recipe.chains().items():
            _arm(study, arm, chain, seed, factors.get(arm, 1.0))
    return study


def _check_splits(recipe: Recipe, rows: dict[str, Rows]) -> None:
    missing = [name for name in ("gt", "w2s", "test") if name not in rows]
    if missing:
        raise W2SError(f"data.splits: {', '.join(missing)} must have rows; every study needs gt, w2s and test")
    if {"implicit", "placebo", "gold"} & set(recipe.conflict.settings) and "conflict" not in rows:
        raise W2SError("data.splits: conflict must have rows, because conflict.settings mixes them in")
    if recipe.labels.calibrate and "calibration" not in rows:
        raise W2SError("labels.calibrate needs held-out ground truth; give data.splits.calibration a number of rows")


def _slices(w2s: Rows, hops: int) -> dict[str, Rows]:
    """w2s cut by group into one slice per hop, in the order of the groups' hashes."""
    groups = sorted(w2s.frame["group"].unique())
    share = pd.Series({group: number * hops // len(groups) for number, group in enumerate(groups)})
    cut = w2s.frame["group"].map(share)
    return {
        f"w2s/{hop + 1}": Rows(f"w2s/{hop + 1}", w2s.frame[cut == hop].reset_index(drop=True)) for hop in range(hops)
    }


def _hop_rows(study: Study, hop: int, hops: int) -> Rows:
    """Pairs that hop ``hop`` (1 … hops) of a chain trains on."""
    mode = study.recipe.bootstrap.inputs
    if mode == "split":
        longest = max(len(chain) for chain in study.recipe.chains().values()) - 1
        return study.rows[f"w2s/{longest - hops + hop}"]
    if mode == "paper" and hop % 2 == 0:
        return study.rows["gt"]
    return study.rows["w2s"]


def _tokens(study: Study) -> dict[str, Any]:
    data = study.recipe.data
    return {"max_length": data.max_length, "overlong": data.overlong}


def _train(study: Study, name: str, model: str, parts: tuple[Part, ...], seed: int, **options: Any) -> TrainStage:
    """A training stage; ``scale`` lengthens it, ``loss`` is the student's."""
    recipe = study.recipe
    scale = options.pop("scale", 1.0)
    arguments = merged(recipe.training, recipe.models[model].training)
    if scale != 1.0:
        arguments["num_train_epochs"] = arguments["num_train_epochs"] * scale
    stage = TrainStage(
        f"{name} · seed {seed}",
        study.models[model],
        parts,
        seed,
        arguments,
        keyed(arguments),
        options.get("loss", {}),
        _tokens(study),
        recipe.conflict.match_updates,
    )
    study.trained[name, seed] = stage
    for split in ("test", "conflict_test"):
        if split in study.rows:
            _score(study, name, stage, study.rows[split], seed)
    return stage


def _score(study: Study, name: str, model: TrainStage, rows: Rows, seed: int) -> ScoreStage:
    stage = ScoreStage(f"{name} on {rows.name} · seed {seed}", model, rows, _tokens(study))
    if rows.name in {"test", "conflict_test"}:
        study.scores[name, seed, rows.name] = stage
    return stage


def _ceiling(study: Study, model: str, seed: int) -> None:
    _train(study, f"ceiling/{model}", model, (Part(study.rows["gt"], "truth"),), seed)


def _label(study: Study, name: str, supervisor: str, rows: Rows, seed: int) -> LabelStage:
    """Labels by the supervisor (a key of ``study.trained``) on ``rows``."""
    model = study.trained[supervisor, seed]
    calibration = None
    if study.recipe.labels.calibrate:
        calibration = _score(study, supervisor, model, study.rows["calibration"], seed)
    scores = _score(study, supervisor, model, rows, seed)
    stage = LabelStage(f"{name} by {supervisor} · seed {seed}", scores, study.recipe.labels, calibration)
    study.labels[name, seed] = stage
    return stage


def _arm(study: Study, arm: str, chain: list[str], seed: int, scale: float) -> None:
    """All hops of one chain: intermediates without conflict, then the student under every conflict setting."""
    hops = len(chain) - 1
    supervisor = f"ceiling/{chain[0]}"
    loss = _student_loss(study.recipe)
    for hop in range(1, hops):
        rows = _hop_rows(study, hop, hops)
        labels = _label(study, f"{arm}/hop{hop}", supervisor, rows, seed)
        supervisor = f"{arm}/hop{hop}"
        _train(study, supervisor, chain[hop], (Part(rows, labels),), seed, loss=loss)
    rows = _hop_rows(study, hops, hops)
    labels = _label(study, f"{arm}/hop{hops}", supervisor, rows, seed)
    for conflict in study.recipe.conflict.settings:
        if conflict == "base":
            _train(study, f"base/{chain[-1]}", chain[-1], (), seed)
            continue
        parts = _conflict_parts(study, conflict, rows, labels)
        student_loss = {**loss, "alpha": study.recipe.conflict.alpha} if conflict == "explicit" else loss
        _train(study, f"{arm}/{conflict}", chain[-1], parts, seed, loss=student_loss, scale=scale)


def _conflict_parts(study: Study, conflict: str, rows: Rows, labels: LabelStage) -> tuple[Part, ...]:
    """Training parts of the student under one setting (spec: none, explicit, implicit, placebo, gold)."""
    if conflict in {"none", "explicit"}:
        return (Part(rows, labels, paid=conflict == "explicit"),)
    target = Part(rows, "truth" if conflict == "gold" else labels)
    return (target, Part(study.rows["conflict"], "random" if conflict == "placebo" else "truth"))


def _student_loss(recipe: Recipe) -> dict[str, Any]:
    if recipe.loss.name == "soft_bce":
        return {}
    return recipe.loss.model_dump(include={"a_max", "warmup", "prior"})


def _compute_factors(study: Study) -> dict[str, float]:
    """How much longer each arm's last training must be so that all arms between the same two models cost the same.

    Cost of a hop = parameters outside the embedding table x pairs; tokens per pair cancel out.
    """
    costs: dict[str, list[float]] = {}
    for arm, chain in study.recipe.chains().items():
        hops = len(chain) - 1
        size = [backbone_parameters(study.models[model]) for model in chain[1:]]
        if not all(size):
            raise W2SError("bootstrap.match_compute needs the size of every model; one is not available here")
        costs[arm] = [s * len(_hop_rows(study, hop + 1, hops)) for hop, s in enumerate(size)]
    factors = {}
    for arm, chain in study.recipe.chains().items():
        rivals = [sum(costs[a]) for a, c in study.recipe.chains().items() if (c[0], c[-1]) == (chain[0], chain[-1])]
        factors[arm] = 1 + (max(rivals) - sum(costs[arm])) / costs[arm][-1]
    return factors


def all_stages(study: Study) -> list[Stage]:
    """Every stage in building order; the analysis is last."""
    from w2s_pref.pipeline.stages import ordered

    return ordered([study.analysis])
