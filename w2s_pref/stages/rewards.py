"""Reward models: trained on the pairs of their parts, and their scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.frozen import reading_states
from w2s_pref.stages.labels import Part, Scored, label_inputs
from w2s_pref.stages.members import Raven
from w2s_pref.stages.model_stage import (
    CHECKED_PAIRS,
    ModelStage,
    begun,
    check_reload,
    job_facts,
    model_payload,
)
from w2s_pref.stages.pairs import PairTraining, learned, sized, training_pairs
from w2s_pref.stages.rows import Rows
from w2s_pref.stages.stop import Stop
from w2s_pref.stages.watch import Watch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from w2s_pref.stages.model_stage import Loaded
    from w2s_pref.training.fit import FitJob


@dataclass(frozen=True, eq=False)
class TrainStage(PairTraining):
    """A reward model: base weights plus parts. No parts: the untrained model with its new head.

    ``start`` is the model after language modelling on the texts of its pairs, None for the model as it is.
    """

    kind: ClassVar[str] = "model"
    weights: ClassVar[bool] = True
    version: ClassVar[int] = 2  # dropout is off in every architecture, OPT's too
    model: ModelFacts
    parts: tuple[Part, ...]
    seed: int
    arguments: dict[str, Any]
    keyed: dict[str, Any]
    loss: dict[str, Any]
    tokens: dict[str, Any]
    match_updates: bool = True
    watch: Watch | None = None
    stop: Stop | None = None
    raven: Raven | None = None
    start: Stage | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Where it starts, labels of the parts, what the monitor reads, and held-out labels that end the training."""
        more = [each.inputs for each in (self.watch, self.stop, self.raven) if each is not None]
        held = {name: stage for found in more for name, stage in found.items()}
        return {**present(start=self.start), **label_inputs(self.parts), **held}

    @property
    def payload(self) -> dict[str, Any]:
        """Model, data, arguments, loss, seed."""
        told = {"arguments": self.keyed, "loss": self.loss, "tokens": self.tokens} if self.parts else {}
        return {**super().payload, "model": model_payload(self.model), "seed": self.seed, **told}

    def load(self, builder: Builder) -> Loaded:
        """The finished model and its tokenizer."""
        return self._saved(builder.artifact(self).folder)

    def _saved(self, folder: Path) -> Loaded:
        from w2s_pref.models.load import load_saved

        return load_saved(folder, self.model.spec.trust_remote_code)

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """A model folder (with early stopping the best model's); of trained ones ``history.json`` and the monitor's."""
        from w2s_pref.models.load import load_base
        from w2s_pref.training.fit import fit

        builder.forget_models()
        model, tokenizer = load_base(begun(self.model.spec, self.start, builder), builder.base, self.seed)
        if not self.parts:
            if builder.world.main:
                model.save_pretrained(folder)
                tokenizer.save_pretrained(folder)
            builder.world.barrier()
            return {"steps": 0, "pairs": 0}
        job, counts = self._job(builder, tokenizer)
        done = self.trained(builder, (model, tokenizer), job, folder, fit)
        objective = str(self.parts[0].rows.frame["objective"].iloc[0])
        meta = {**done, "counts": counts, "pairs": len(job.a_ids), "objective": objective}
        return {**meta, "reload_difference": self._check_reload(builder, model, tokenizer, folder)}

    def _job(self, builder: Builder, tokenizer: PreTrainedTokenizerBase) -> tuple[FitJob, dict[str, int]]:
        from w2s_pref.losses.conflict import with_term
        from w2s_pref.losses.spec import with_spec
        from w2s_pref.training.fit import FitJob
        from w2s_pref.training.reward import Loss

        pairs = training_pairs(builder, self, tokenizer)
        arguments, updates = sized(self, pairs.sizes)
        loss, told = (
            Loss(**with_term(with_spec(self.loss, builder.base), builder.base)),
            {**pairs.ids, **job_facts(builder, self)},
        )
        raven = learned(self.raven)
        job = FitJob(columns=pairs.columns, arguments=arguments, loss=loss, updates=updates, raven=raven, **told)
        return job, pairs.counts

    def _check_reload(
        self, builder: Builder, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
    ) -> float | None:
        """Under several processes the trained weights may be divided: then only that the saved ones score."""
        from w2s_pref.models.scoring import score_pairs

        sample = self.parts[0].rows.frame.head(CHECKED_PAIRS)
        final = builder.world.alone and self.stop is None  # early stopping saves another model than the last one
        trained = _scores(score_pairs(model, tokenizer, sample, **self.tokens)) if final else None
        loaded = self._saved(folder)
        difference = check_reload(trained, _scores(score_pairs(*loaded, sample, **self.tokens)), self.model.spec.dtype)
        builder.remember(self.key, loaded)
        return difference


@dataclass(frozen=True, eq=False)
class ScoreStage(ModelStage, Scored):
    """Raw scores of a reward model."""

    model: TrainStage
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The model, and what the pairs are made with."""
        return {"model": self.model, **self.on.inputs}

    @property
    def payload(self) -> dict[str, Any]:
        """Texts (no ground truth) and token limits."""
        return {"rows": self.on.texts, "tokens": self.tokens}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, score_a, score_b; pairs that are too long may be left out."""
        from w2s_pref.models.scoring import score_pairs

        world, on = builder.world, self.on.read(builder)
        loaded = builder.recall(self.model.key, lambda: self.model.load(builder))
        with reading_states(builder, self.model.model, *loaded, [on], self.tokens):
            raw = score_pairs(*loaded, on.frame, **self.tokens, shard=(world.rank, world.size))
        raw[["score_a", "score_b"]] = np.nanmax(np.stack(world.gather(_scores(raw))), axis=0)
        if not np.isfinite(_scores(raw)).all():
            raise W2SError("a score is not a number; the model diverged or its dtype overflows")
        if world.main:
            raw.to_parquet(folder / "table.parquet", index=False)
        cut = check_argued(self.name, on, loaded[1], self.tokens) if self.on.inputs else {}
        return {"pairs": len(raw), "dropped": len(self.on) - len(raw), **cut}


def check_argued(name: str, on: Rows, tokenizer: PreTrainedTokenizerBase, tokens: dict[str, Any]) -> dict[str, int]:
    """How many pairs lost the start of their transcript, which is before question and answer.

    Raises:
        W2SError: most of them.
    """
    from w2s_pref.data.tokens import tokenize

    cut = tokenize(on.frame, tokenizer, **tokens).counts["answer_cut"]
    if 2 * cut > len(on):
        raise W2SError(
            f"{name}: the judge has no room for transcripts: {cut:,} of {len(on):,} pairs lost the start "
            f"of theirs at data.max_length {tokens['max_length']}; raise it, or lower max_new_tokens or turns"
        )
    return {"transcript_cut": cut}


def _scores(raw: pd.DataFrame) -> Floats:
    return raw[["score_a", "score_b"]].to_numpy(dtype=float)
