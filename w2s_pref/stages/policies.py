"""Policies: log-probabilities, their scores, and training on labelled pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage, payloads, present
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.frozen import reading_states
from w2s_pref.stages.labels import Part, Scored, label_inputs
from w2s_pref.stages.members import Raven
from w2s_pref.stages.model_stage import (
    CHECKED_ANSWERS,
    CausalStage,
    ModelStage,
    StartStage,
    check_reload,
    check_training,
    job_facts,
)
from w2s_pref.stages.pairs import PairTraining, learned, sized, training_pairs
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.stop import Stop
from w2s_pref.stages.token_rewards import TokenRewards
from w2s_pref.stages.watch import Watch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.stages.model_stage import Loaded
    from w2s_pref.training.policy import PolicyJob

#: Columns of log-probabilities: of whole answers, and lists of those of their tokens.
LOGPS, EACH = ["logp_a", "logp_b"], ["each_a", "each_b"]


@dataclass(frozen=True, eq=False)
class PolicyStage(ModelStage, CausalStage):
    """A trained policy. ``start`` is where it started, and its reference where ``other`` names none."""

    kind: ClassVar[str] = "policy"
    weights: ClassVar[bool] = True
    start: StartStage | PolicyStage
    other: StartStage | None
    seed: int
    arguments: dict[str, Any]
    keyed: dict[str, Any]
    tokens: dict[str, Any]
    watch: Watch | None = field(default=None, kw_only=True)

    @cached_property
    def model(self) -> ModelFacts:
        """The model files at the very beginning."""
        return self.start.model

    @property
    def reference(self) -> StartStage | PolicyStage:
        """What the policy is held to, and compared with."""
        return self.other or self.start

    @property
    def inputs(self) -> dict[str, Stage]:
        """The start, where it was trained itself, and what the monitor reads."""
        start: dict[str, Stage] = {"start": self.start} if isinstance(self.start, PolicyStage) else {}
        return {**start, **(self.watch.inputs if self.watch is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, arguments, seed."""
        start = self.start.payload if isinstance(self.start, StartStage) else None
        other = payloads(reference=self.other, watch=self.watch)
        return {"start": start, "seed": self.seed, "arguments": self.keyed, "tokens": self.tokens, **other}

    def check(self, processes: int) -> None:
        """See ``check_training``."""
        check_training(self, int(self.arguments["batch_size"]), processes)

    def _read(self, builder: Builder, trainable: bool) -> Loaded:
        return self._saved(builder.artifact(self).folder, trainable)

    def _saved(self, folder: Path, trainable: bool = False) -> Loaded:
        from w2s_pref.models.policies import load_saved_policy

        return load_saved_policy(folder, self.model.spec.trust_remote_code, trainable=trainable)

    def check_saved(
        self,
        builder: Builder,
        model: PreTrainedModel | None,
        tokenizer: PreTrainedTokenizerBase,
        folder: Path,
        frame: pd.DataFrame,
    ) -> float | None:
        """Load what was saved, compare log-probabilities of a few pairs, and leave it in memory.

        Under several processes the trained weights may be divided: then only that the saved ones give numbers.

        Args:
            model: None where the training left none to ask.
        """
        from w2s_pref.models.scoring import logprob_pairs

        loaded, sample = self._saved(folder), frame.head(CHECKED_ANSWERS)

        def logps(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Floats:
            return logprob_pairs(model, tokenizer, sample, **self.tokens)[LOGPS].to_numpy(dtype=float)

        trained = logps(model.eval(), tokenizer) if model is not None and builder.world.alone else None
        difference = check_reload(trained, logps(*loaded), self.model.spec.dtype, summed=True)
        builder.remember(self.key, loaded)
        return difference


@dataclass(frozen=True, eq=False)
class LogProbStage(ModelStage):
    """Summed log-probabilities of both answers of every pair under one policy, and their numbers of tokens.

    ``each``: those of every answer token, too.
    """

    kind: ClassVar[str] = "logprobs"
    policy: StartStage | PolicyStage
    on: Rows
    tokens: dict[str, Any]
    each: bool = False

    @property
    def inputs(self) -> dict[str, Stage]:
        """The policy, where it was trained, and what the pairs are made with."""
        return {**({"policy": self.policy} if isinstance(self.policy, PolicyStage) else {}), **self.on.inputs}

    @property
    def payload(self) -> dict[str, Any]:
        """Texts and token limits; the model where it was not trained."""
        start = self.policy.payload if isinstance(self.policy, StartStage) else None
        more = {"each": True} if self.each else {}
        return {"start": start, "rows": self.on.texts, "tokens": self.tokens, **more}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, logp_a, logp_b (nats), tokens_a, tokens_b.

        With ``each`` also lists: each_a, each_b (nats) and ids_a, ids_b, the tokens that they are of.
        """
        from w2s_pref.models.scoring import logprob_pairs

        world, on = builder.world, self.on.read(builder)
        loaded = self.policy.recalled(builder)
        with reading_states(builder, self.policy.model, *loaded, [on], self.tokens):
            shard = (world.rank, world.size)
            table = logprob_pairs(*loaded, on.frame, **self.tokens, shard=shard, each=self.each)
        table[LOGPS] = np.nanmax(np.stack(world.gather(table[LOGPS].to_numpy(dtype=float))), axis=0)
        if self.each:
            table = table.assign(**{name: _together(table[name], builder) for name in EACH})
        if not np.isfinite(table[LOGPS].to_numpy()).all():
            raise W2SError("a log-probability is not a number; the model diverged or its dtype overflows")
        if world.main:
            table.to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(table), "dropped": len(self.on) - len(table)}


def _together(lists: pd.Series, builder: Builder) -> pd.Series:  # type: ignore[type-arg]
    """Lists of which each process knows some, NaN where it does not."""
    whole = np.nanmax(np.stack(builder.world.gather(np.concatenate(lists.tolist()))), axis=0)
    return pd.Series(np.split(whole.astype(np.float32), np.cumsum(lists.map(len))[:-1]), index=lists.index)


@dataclass(frozen=True, eq=False)
class PairPolicyStage(PairTraining, PolicyStage):
    """A policy trained on labelled pairs by a built-in method or a user's margin. No parts: never built."""

    parts: tuple[Part, ...]
    references: tuple[LogProbStage, ...]
    objective: dict[str, Any]
    code: str = ""
    match_updates: bool = True
    stop: Stop | None = None
    raven: Raven | None = None
    rewards: TokenRewards | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Start, label stages, log-probabilities of the parts, and labels that end the training."""
        references = {f"reference{n}": stage for n, stage in enumerate(self.references)}
        more = [each.inputs for each in (self.stop, self.raven, self.rewards) if each is not None]
        held = {name: stage for found in more for name, stage in found.items()}
        return {**super().inputs, **label_inputs(self.parts), **references, **held}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, data, objective, the source of a user's margin."""
        return {**super().payload, "objective": self.objective, "code": self.code}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """A model folder, ``history.json``, and what the monitor saw."""
        from w2s_pref.models.frozen import freeze
        from w2s_pref.training.policy import fit_policy

        builder.forget_models()
        model, tokenizer = self.start.load(builder, trainable=True)
        if self.model.spec.freeze_layers is not None:  # of a start that was trained here, too
            freeze(model, self.model.spec.freeze_layers)
        job, counts = self._job(builder, tokenizer)
        done = self.trained(builder, (model, tokenizer), job, folder, fit_policy)
        final = model if self.stop is None else None  # early stopping saves another model than the last one
        difference = self.check_saved(builder, final, tokenizer, folder, self.parts[0].rows.read(builder).frame)
        return {**done, "counts": counts, "pairs": len(job.a_ids), "reload_difference": difference}

    def _job(self, builder: Builder, tokenizer: PreTrainedTokenizerBase) -> tuple[PolicyJob, dict[str, int]]:
        from w2s_pref.losses.conflict import with_term
        from w2s_pref.losses.pairs import PairObjective
        from w2s_pref.losses.spec import with_spec
        from w2s_pref.training.policy import PolicyJob

        pairs = training_pairs(builder, self, tokenizer, True, self.references, self.rewards)
        arguments, updates = sized(self, pairs.sizes)
        objective = PairObjective(**with_term(with_spec(self.objective, builder.base), builder.base))
        job = PolicyJob(
            columns=pairs.columns,
            arguments=arguments,
            objective=objective,
            a_values=[objective.values(*each) for each in pairs.rewards["a"]],
            b_values=[objective.values(*each) for each in pairs.rewards["b"]],
            updates=updates,
            base=builder.base,
            raven=learned(self.raven),
            **{**pairs.ids, **job_facts(builder, self)},
        )
        return job, pairs.counts


@dataclass(frozen=True, eq=False)
class PolicyScoreStage(Scored):
    """Scores of a policy from its log-probabilities, and those of its reference where the form has one."""

    on_main: ClassVar[bool] = True
    logprobs: Stage
    reference: LogProbStage | None
    score: str
    beta: float

    @property
    def form(self) -> str:
        """implicit_reward, mean_logprob or paper_dpo."""
        return self.score

    @property
    def inputs(self) -> dict[str, Stage]:
        """Log-probabilities of both models."""
        return present(logprobs=self.logprobs, reference=self.reference)

    @property
    def payload(self) -> dict[str, Any]:
        """The formula."""
        return {"form": self.score, "beta": self.beta if self.score == "implicit_reward" else None}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, score_a, score_b from log-probabilities (spec: the table of Δ); no model is loaded."""
        own = builder.table(self.logprobs)
        scores = {}
        for side in ("a", "b"):
            logp = own[f"logp_{side}"].to_numpy()
            if self.score == "mean_logprob":
                logp = logp / own[f"tokens_{side}"].to_numpy().clip(min=1)
            elif self.reference is not None:
                reference = builder.table(self.reference).set_index("id").loc[own["id"], f"logp_{side}"].to_numpy()
                logp = self.beta * (logp - reference)
            scores[f"score_{side}"] = logp
        pd.DataFrame({"id": own["id"], **scores}).to_parquet(folder / "table.parquet", index=False)
        return {"pairs": len(own), "dropped": len(self.on) - len(own)}
