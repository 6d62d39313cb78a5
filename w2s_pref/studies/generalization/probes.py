"""Activations of frozen models, and the probes on them: all that are ready and free are trained at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import canonical, digest
from w2s_pref.engine.loop import Clock
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.info import ModelFacts
from w2s_pref.stages.model_stage import ModelStage, model_payload
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import Classified, heard, picked, targets, write_answers
from w2s_pref.studies.generalization.finetune import FinetuneStage
from w2s_pref.training.probe_settings import ProbeSettings

if TYPE_CHECKING:
    from w2s_pref.training.probes import ProbeFit

#: What is taken of an item's tokens, as ``training.probes`` reads it, which imports torch.
Pooling = Literal["last", "mean", "first"]
#: Probes trained at once: the memory of their batches, and what a run that stops loses.
TOGETHER = 64


@dataclass(frozen=True, eq=False)
class ActivationStage(ModelStage):
    """The last layer of a frozen model, pooled, for every item: computed once per model and items."""

    kind: ClassVar[str] = "activations"
    model: ModelFacts | FinetuneStage
    on: Rows
    pooling: Pooling | None
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """The model, where it was fine-tuned here."""
        return {"model": self.model} if isinstance(self.model, Stage) else {}

    @property
    def payload(self) -> dict[str, Any]:
        """Model, texts (no ground truth), pooling, token limits."""
        model = None if isinstance(self.model, Stage) else model_payload(self.model)
        return {"model": model, "rows": self.on.texts, "pooling": self.pooling, "tokens": self.tokens}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """One vector an item, float32, in ``activations.safetensors``; the items' ids in ``table.parquet``."""
        from safetensors.numpy import save_file

        from w2s_pref.training.probes import activations, load_backbone

        builder.forget_models()
        if isinstance(self.model, FinetuneStage):
            model, tokenizer = self.model.load(builder)
        else:
            model, tokenizer = load_backbone(self.model.spec, builder.base)
        texts, shard = self.on.frame["prompt"].tolist(), (builder.world.rank, builder.world.size)
        own = activations(model, tokenizer, texts, self.pooling, self.tokens["max_length"], shard, builder.progress)
        found = np.nanmax(np.stack(builder.world.gather(own)), axis=0)
        if not np.isfinite(found).all():
            raise W2SError("an activation is not a number; use another dtype for this model")
        if builder.world.main:
            save_file({"activations": found}, folder / "activations.safetensors")
            self.on.frame[["id"]].to_parquet(folder / "table.parquet", index=False)
        return {"items": len(found), "width": int(found.shape[1])}


@dataclass(frozen=True, eq=False)
class ProbeStage(Classified):
    """A linear classifier on activations; ``components``: on their first principal components only.

    ``batches`` lists, by ``together``, the probes that are trained at once; each comes out as it would alone.
    """

    kind: ClassVar[str] = "probe"
    on_main: ClassVar[bool] = True
    activations: ActivationStage
    components: int | None = None
    batches: dict[str, list[ProbeStage]] = field(default_factory=dict, repr=False)

    @cached_property
    def together(self) -> str:
        """Probes of one hash can be trained at once: same activations, same items, same settings but the loss."""
        settings = {name: value for name, value in self.settings.items() if name != "loss"}
        split, pick = self.split, self.split.pick.key if self.split.pick is not None else None
        items = [split.train.texts, split.validation.texts, split.validation.truth, self.on.texts, pick]
        return digest(self.activations.key, canonical([settings, self.components, items]))

    @property
    def inputs(self) -> dict[str, Stage]:
        """Activations and labels."""
        return {"activations": self.activations, **super().inputs}

    @property
    def payload(self) -> dict[str, Any]:
        """What is trained on, and how much of it is seen."""
        return {**super().payload, "components": self.components}

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """The probe, and with it others of its batch that are ready and that no other run builds."""
        store, started = builder.store, Clock()
        with ExitStack() as leases:
            mates = _mates(builder, self, leases)
            fits = _fit(builder, [self, *mates])
            each = {name: spent / len(fits) for name, spent in started.spent().items()}
            for mate, fit in zip(mates, fits[1:], strict=True):
                with store.writing(mate.kind, mate.key) as place:
                    meta = {"name": mate.name, **_write(builder, mate, fit, place), **each}
                    store.commit(mate.kind, mate.key, place, mate.payload, meta)
                builder.made.add(mate.key)
            return {**_write(builder, self, fits[0], folder), "together": len(fits)}


def _mates(builder: Builder, stage: ProbeStage, leases: ExitStack) -> list[ProbeStage]:
    """Other probes of the batch that the store lacks, whose labels stand, and whose lease is free: it is taken."""
    store, found = builder.store, {stage.key: stage}
    for mate in stage.batches.get(stage.together, []):
        if len(found) == TOGETHER:
            break
        ready = all(store.has(parent.kind, parent.key) for parent in mate.inputs.values())
        if mate.key in found or not ready or store.has(mate.kind, mate.key):
            continue
        lease = store.take(mate.kind, mate.key)
        if lease is None:
            continue
        leases.callback(lease.release)
        if not store.has(mate.kind, mate.key):  # finished between the look and the lease
            found[mate.key] = mate
    return list(found.values())[1:]


def _fit(builder: Builder, stages: list[ProbeStage]) -> list[ProbeFit]:
    """Train them on the activations they share."""
    from w2s_pref.training.probes import ProbeJob, Said, Validation, fit_probes

    first = stages[0]
    train, validation = first.split.train.frame, first.split.validation.frame
    project = _projection(builder, first)
    jobs = []
    for stage in stages:
        own = targets(builder, stage.split)
        spec = LossSpec.of(stage.settings["loss"], builder.base)
        said, raven = heard(builder, stage.split), stage.split.raven
        each = Said(said.to_numpy(float).T, raven.rate, raven.easy) if said is not None and raven is not None else None
        jobs.append(ProbeJob(own.p, spec, stage.seed, own.keep, own.validation_p, each))
    settings = {name: value for name, value in first.settings.items() if name != "loss"}
    held_out = Validation(project(features(builder, first, validation["id"])), validation["truth"].to_numpy())
    table = project(features(builder, first, train["id"]))
    return fit_probes(table, jobs, ProbeSettings(**settings), held_out, builder.progress)


def _projection(builder: Builder, stage: ProbeStage) -> Callable[[np.ndarray], np.ndarray]:
    """Onto the first principal components of the training items, where the probe sees no more of them."""
    if stage.components is None:
        return lambda vectors: vectors
    table = features(builder, stage, stage.split.train.frame["id"]).astype(np.float64)
    center = table.mean(axis=0)
    _, _, directions = np.linalg.svd(table - center, full_matrices=False)
    if stage.components > len(directions):
        raise W2SError(f"components: {stage.components} of a representation that has {len(directions)}; ask for fewer")
    first = directions[: stage.components].T
    return lambda vectors: np.asarray((vectors - center) @ first)


def _write(builder: Builder, stage: ProbeStage, fit: ProbeFit, folder: Path) -> dict[str, Any]:
    """Probes, answers to every item, and the evaluations on the way."""
    from w2s_pref.training.probes import probe_margins, save_probes

    vectors = _projection(builder, stage)(features(builder, stage, stage.on.frame["id"]))
    margins = {name: probe_margins(probe, vectors) for name, probe in fit.probes.items()}
    write_answers(folder, stage.on.frame["id"], margins, fit.curve)
    save_probes(fit.probes, folder)
    picked = {name: probe.epoch for name, probe in fit.probes.items()}
    weights = {"supervisor_weights": fit.supervisor_weights} if fit.supervisor_weights else {}
    return {"items": len(stage.split.train), "epochs": fit.epochs, "picked": picked, **weights}


@lru_cache(maxsize=2)
def _read(folder: Path) -> tuple[pd.Index, np.ndarray]:
    """Ids and vectors of one artifact, which never changes."""
    from safetensors.numpy import load_file

    ids = pd.Index(pd.read_parquet(folder / "table.parquet")["id"])
    return ids, load_file(folder / "activations.safetensors")["activations"]


def features(builder: Builder, stage: ProbeStage, ids: pd.Series) -> np.ndarray:
    """Vectors of these items, (n, d)."""
    known, vectors = _read(builder.artifact(stage.activations).folder)
    found = known.get_indexer(pd.Index(picked(builder, stage.split, ids)))
    if (found < 0).any():
        raise W2SError(f"{stage.activations.name}: {(found < 0).sum()} items have no activations")
    return vectors[found]
