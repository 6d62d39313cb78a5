"""Build one stage into a folder. The only module of the pipeline that loads models, and it does so late."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import orient
from w2s_pref.engine.store import Artifact, Store
from w2s_pref.labels.make import ORACLE, make_labels, random_labels
from w2s_pref.parallel.world import World
from w2s_pref.stages.policies import (
    JudgeStage,
    LogProbStage,
    OnlinePolicyStage,
    PairPolicyStage,
    PolicyScoreStage,
    PolicyStage,
    SampleStage,
    StartStage,
)
from w2s_pref.stages.rewards_labels_scores import (
    AnalyzeStage,
    ConflictStage,
    LabelStage,
    Part,
    ScoreStage,
    Stage,
    TrainStage,
)
from w2s_pref.training.arguments import enlarged
from w2s_pref.training.methods import TAU

if TYPE_CHECKING:
    from w2s_pref.training.fit import FitJob

#: Pairs re-scored after a model was saved and loaded again.
CHECKED_PAIRS = 16


@dataclass
class Builder:
    """Builds stages; every process calls it, the main process writes tables.

    ``made`` holds the keys of stages that were built along with another one.
    """

    store: Store
    world: World
    base: Path
    progress: Callable[[int, int], None] | None = None
    signal: Callable[[int, dict[str, float]], None] | None = None
    made: set[str] = field(default_factory=set, repr=False)
    _loaded: tuple[str, Any, Any] | None = field(default=None, repr=False)
    _policy: tuple[str, Any, Any] | None = field(default=None, repr=False)

    def artifact(self, stage: Stage) -> Artifact:
        """A finished input.

        Raises:
            W2SError: it is not in the store.
        """
        found = self.store.get(stage.kind, stage.key)
        if found is None:
            raise W2SError(f"stage {stage.name!r} is not in the store {self.store}; run the recipe again")
        return found

    def table(self, stage: Stage) -> pd.DataFrame:
        """The table of a score or label stage."""
        return pd.read_parquet(self.artifact(stage).folder / "table.parquet")

    def policy(self, stage: StartStage | PolicyStage) -> tuple[Any, Any]:
        """A causal model and its tokenizer; the last one stays in memory."""
        from w2s_pref.stages.build_policy import load_start

        if self._policy is None or self._policy[0] != stage.key:
            self._policy = None
            self.hold_policy(stage.key, *load_start(self, stage, stage.seed))
        assert self._policy is not None
        return self._policy[1:]

    def hold_policy(self, key: str, model: Any, tokenizer: Any) -> None:
        """Keep a policy for the stages that come next."""
        self._policy = (key, model, tokenizer)

    def let_go(self) -> None:
        """Forget the models in memory: a training needs the room."""
        self._loaded = self._policy = None

    @singledispatchmethod
    def build(self, stage: Stage, folder: Path) -> dict[str, Any]:
        """Write the stage's files into ``folder`` and return what it says about itself."""
        raise TypeError(f"no builder for {type(stage).__name__}")

    @build.register
    def _train(self, stage: TrainStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.models.load import load_base
        from w2s_pref.stages.watch import keep, monitor
        from w2s_pref.training.fit import fit, quiet

        quiet()
        self.let_go()
        model, tokenizer = load_base(stage.model.spec, self.base, stage.seed)
        work = self.store.partial(stage.kind, stage.key)
        if not stage.parts:
            return self._save_untrained(stage, model, tokenizer, folder)
        job, counts = self._job(stage, tokenizer)
        with self.store.guard():
            work.mkdir(parents=True, exist_ok=True)
        job.monitor = monitor(self, stage, tokenizer, work)
        done = fit(model, tokenizer, job, work, folder)
        done |= keep(job.monitor, work, folder, self.world.main)
        history = done.pop("history")
        if self.world.main:
            _write_json(folder / "history.json", history)
        objective = str(stage.parts[0].rows.frame["objective"].iloc[0])
        meta = {**done, "counts": counts, "pairs": len(job.a_ids), "objective": objective}
        return {**meta, "reload_difference": self._check_reload(stage, model, tokenizer, folder)}

    def _save_untrained(self, stage: TrainStage, model: Any, tokenizer: Any, folder: Path) -> dict[str, Any]:
        if self.world.main:
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        self.world.barrier()
        return {"steps": 0, "pairs": 0}

    def _job(self, stage: TrainStage, tokenizer: Any) -> tuple[FitJob, dict[str, int]]:
        from w2s_pref.losses.conflict import with_term
        from w2s_pref.losses.spec import with_spec
        from w2s_pref.training.fit import FitJob
        from w2s_pref.training.reward import Loss

        a_ids: list[list[int]] = []
        b_ids: list[list[int]] = []
        columns: dict[str, list[float]] = {"p": [], "sign": []}
        counts: dict[str, int] = {}
        sizes = []
        for part in stage.parts:
            tokens, table = self.part(part, stage, tokenizer)
            a_ids += tokens.a_ids
            b_ids += tokens.b_ids
            columns["p"] += table["p"].tolist()
            columns["sign"] += table["sign"].tolist()
            sizes.append(len(table))
            counts = {name: counts.get(name, 0) + value for name, value in tokens.counts.items()}
        arguments, updates = self.sized(stage, sizes)
        spec = stage.model.spec
        loss = Loss(**with_term(with_spec(stage.loss, self.base), self.base))
        job = FitJob(
            a_ids, b_ids, columns, arguments, loss, stage.seed, updates, spec.lora,
            str(stage.model.folder or spec.path), self.progress,
        )  # fmt: skip
        return job, counts

    def sized(self, stage: TrainStage | PairPolicyStage, sizes: list[int]) -> tuple[dict[str, Any], int | None]:
        """Arguments, with the enlarged batch and the fixed number of updates of a mixture."""
        from w2s_pref.training.fit import planned_updates

        if sizes[0] == 0:
            raise W2SError(f"{stage.name}: no training pair is left (the label filter or overlong: drop took them all)")
        arguments = dict(stage.arguments)
        if stage.watch is not None and stage.watch.config["action"] == "checkpoint":
            arguments["save_total_limit"] = None  # or the alarm's checkpoint would be gone at the end
        if not (stage.match_updates and len(sizes) > 1):
            return arguments, None
        updates = planned_updates(sizes[0], arguments["batch_size"], arguments["num_train_epochs"])
        arguments["batch_size"] = enlarged(arguments["batch_size"], sum(sizes) / sizes[0])
        return arguments, updates

    def part(
        self, part: Part, stage: TrainStage | PairPolicyStage, tokenizer: Any, starts: bool = False
    ) -> tuple[Any, pd.DataFrame]:
        """Token ids, labels and signs of one part, joined by id, kept rows only."""
        from w2s_pref.data.tokens import tokenize

        frame = part.rows.frame
        truth = frame.set_index("id")["truth"]
        labels = self._labels(part, frame, stage.seed)
        if not set(labels["id"]) <= set(frame["id"]):
            raise W2SError(f"{stage.name}: labels name pairs that are not there; the label stage is stale")
        # Pairs that were too long for the supervisor have no label and are left out here too.
        labels = labels[labels["keep"]].set_index("id")
        frame = frame[frame["id"].isin(labels.index)]
        tokens = tokenize(frame, tokenizer, **stage.tokens, starts=starts)
        ids = list(tokens.ids)
        sign = (truth.loc[ids].to_numpy() * 2 - 1) if part.paid else np.zeros(len(ids))
        return tokens, pd.DataFrame({"p": labels.loc[ids, "p"].to_numpy(), "sign": sign.astype(float)})

    def _labels(self, part: Part, frame: pd.DataFrame, seed: int) -> pd.DataFrame:
        if isinstance(part.labels, Stage):
            return self.table(part.labels)
        if part.labels == "random":
            return random_labels(frame["id"], seed)
        return pd.DataFrame({"id": frame["id"], "p": frame["truth"].astype(float), "keep": True})

    def _check_reload(self, stage: TrainStage, model: Any, tokenizer: Any, folder: Path) -> float:
        """Load what was saved and score a few pairs with both: a stage counts only if they agree."""
        from w2s_pref.models.load import load_saved
        from w2s_pref.models.scoring import score_pairs

        if not self.world.alone:
            return self._check_reload_distributed(stage, folder)
        sample = stage.parts[0].rows.frame.head(CHECKED_PAIRS)
        before = score_pairs(model, tokenizer, sample, **stage.tokens)
        loaded, loaded_tokenizer = load_saved(folder, stage.model.spec.trust_remote_code)
        after = score_pairs(loaded, loaded_tokenizer, sample, **stage.tokens)
        difference = float(np.abs(_scores(before) - _scores(after)).max(initial=0.0))
        tolerance = 1e-4 if stage.model.spec.dtype == "float32" else 5e-2
        if not difference <= tolerance * max(1.0, float(np.abs(_scores(before)).max(initial=0.0))):
            raise W2SError(f"{stage.name}: saved and trained model score differently (by {difference:.2g})")
        self._loaded = (stage.key, loaded, loaded_tokenizer)
        return difference

    def _check_reload_distributed(self, stage: TrainStage, folder: Path) -> float:
        """Under several processes the trained weights may be sharded: check that the saved folder loads and scores."""
        from w2s_pref.models.load import load_saved
        from w2s_pref.models.scoring import score_pairs

        sample = stage.parts[0].rows.frame.head(CHECKED_PAIRS)
        loaded, tokenizer = load_saved(folder, stage.model.spec.trust_remote_code)
        scores = _scores(score_pairs(loaded, tokenizer, sample, **stage.tokens))
        if not np.isfinite(scores).all():
            raise W2SError(f"{stage.name}: the saved model gives scores that are not numbers")
        return 0.0

    @build.register
    def _score(self, stage: ScoreStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.models.load import load_saved
        from w2s_pref.models.scoring import score_pairs
        from w2s_pref.training.fit import quiet

        quiet()
        if self._loaded is None or self._loaded[0] != stage.model.key:
            trusted = stage.model.model.spec.trust_remote_code
            self._loaded = (stage.model.key, *load_saved(self.artifact(stage.model).folder, trusted))
        _, model, tokenizer = self._loaded
        raw = score_pairs(model, tokenizer, stage.on.frame, **stage.tokens, shard=(self.world.rank, self.world.size))
        parts = self.world.gather(_scores(raw))
        raw[["score_a", "score_b"]] = np.nanmax(np.stack(parts), axis=0)
        if not np.isfinite(_scores(raw)).all():
            raise W2SError(f"{stage.name}: a score is not a number; the model diverged or its dtype overflows")
        if self.world.main:
            raw.to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(raw), "dropped": len(stage.on) - len(raw)}

    @build.register
    def _logprobs(self, stage: LogProbStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.stages.build_policy import build_logprobs

        return build_logprobs(self, stage, folder)

    @build.register
    def _policy_scores(self, stage: PolicyScoreStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.stages.build_policy import build_policy_scores

        return build_policy_scores(self, stage, folder)

    @build.register
    def _pairs(self, stage: PairPolicyStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.stages.build_policy import build_pairs

        return build_pairs(self, stage, folder)

    @build.register
    def _online(self, stage: OnlinePolicyStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.stages.build_policy import build_online

        return build_online(self, stage, folder)

    @build.register
    def _samples(self, stage: SampleStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.stages.build_policy import build_samples

        return build_samples(self, stage, folder)

    @build.register
    def _judged(self, stage: JudgeStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.stages.build_policy import build_judged

        return build_judged(self, stage, folder)

    @build.register
    def _label(self, stage: LabelStage, folder: Path) -> dict[str, Any]:
        raw = self.table(stage.scores)
        temperature = TAU[stage.scores.form]
        if stage.calibration is not None:
            from w2s_pref.analysis.stats.calibration import fit_temperature

            delta = orient(self.table(stage.calibration), stage.calibration.on.frame)["delta"]
            temperature = float(fit_temperature(delta.to_numpy()))
        oracle = stage.config.filter == ORACLE
        truth = stage.scores.on.frame.set_index("id")["truth"] if oracle else None
        labels = make_labels(raw, stage.config, temperature, truth, self.base)
        if self.world.main:
            labels.to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(labels), "kept": int(labels["keep"].sum()), "temperature": temperature}

    @build.register
    def _conflict(self, stage: ConflictStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.losses.conflict import extra_labels

        labels = extra_labels(stage.conflict, self.base, stage.on.frame, stage.seed or 0)
        if self.world.main:
            labels.to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(labels), "kept": int(labels["keep"].sum())}

    @build.register
    def _analyze(self, stage: AnalyzeStage, folder: Path) -> dict[str, Any]:
        from w2s_pref.studies.preferences.tables import (
            anchor_table,
            judged_table,
            label_table,
            score_table,
            study_design,
        )

        if not self.world.main:
            return {}
        from w2s_pref.analysis.metrics import functions
        from w2s_pref.analysis.preferences.study import summarize

        scores, labels = score_table(self, stage), label_table(self, stage)
        scores.to_parquet(folder / "scores.parquet", index=False)
        labels.to_parquet(folder / "labels.parquet", index=False)
        judged, anchors = judged_table(self, stage), anchor_table(self, stage)
        if judged is not None:
            judged.to_parquet(folder / "answers.parquet", index=False)
        own = functions(list(stage.design.get("metrics", [])), self.base)
        body = summarize(scores, labels, stage.test.frame, study_design(stage.design), judged, anchors, own)
        (folder / "body.json").write_text(body.model_dump_json(indent=1), encoding="utf-8")
        return {"rows": len(scores)}


def _scores(raw: pd.DataFrame) -> np.ndarray:
    return raw[["score_a", "score_b"]].to_numpy(dtype=float)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
