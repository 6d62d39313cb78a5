"""Whole models as classifiers: fine-tuned, whose weights stay only where another stage reads them, or prompted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.losses.spec import LossSpec
from w2s_pref.stages.frozen import reading_states
from w2s_pref.stages.model_stage import (
    ModelStage,
    begun,
    check_training,
    job_facts,
    model_payload,
    work_folder,
    write_history,
)
from w2s_pref.stages.pairs import learned
from w2s_pref.stages.policies import PairPolicyStage
from w2s_pref.stages.rows import Rows
from w2s_pref.studies.generalization.answers import SELECTIONS, Classified, heard, picked, targets, write_answers
from w2s_pref.training.arguments import rising

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from w2s_pref.stages.model_stage import Loaded
    from w2s_pref.training.classify import ClassifyJob

#: How the head starts, as ``models.classifier`` reads it, which imports torch.
Head = Literal["zeros", "normal", "unembedding"]
#: The checkpoint that later stages read, and that stays in the artifact for them.
SAVED = "final"


@dataclass(frozen=True, eq=False)
class FinetuneStage(ModelStage, Classified):
    """A whole model fine-tuned.

    ``pre`` is its generative fine-tuning; ``keep``: the final weights are saved, because another stage reads them;
    ``texts`` holds both texts of every item where a label picks one.
    """

    kind: ClassVar[str] = "finetune"
    weights: ClassVar[bool] = True
    head: Head
    loss: dict[str, Any]
    arguments: dict[str, Any]
    tokens: dict[str, Any]
    pre: PairPolicyStage | None = None
    keep: bool = False
    texts: Rows | None = None
    patience: int | None = None

    @property
    def inputs(self) -> dict[str, Stage]:
        """Labels, and the generatively fine-tuned model where there is one."""
        return {**super().inputs, **present(pre=self.pre)}

    @property
    def payload(self) -> dict[str, Any]:
        """Model, head, loss, arguments, and when it stops early."""
        more = {"model": model_payload(self.model), "head": self.head, "loss": self.loss, "tokens": self.tokens}
        told = present(texts=None if self.texts is None else self.texts.texts, patience=self.patience)
        return {**super().payload, **more, "keep": self.keep, **told}

    @property
    def rising(self) -> tuple[int, int]:
        """Optimizer steps and those of its warm-up, before any item is dropped."""
        return rising(self.arguments, len(self.split.train))

    def check(self, processes: int) -> None:
        """See ``check_training``."""
        check_training(self, int(self.arguments["batch_size"]), processes)

    def load(self, builder: Builder) -> Loaded:
        """The classifier that the artifact holds.

        Raises:
            W2SError: it holds none.
        """
        from w2s_pref.models.load import load_saved

        if not self.keep:
            raise W2SError(f"{self.name}: its weights were not kept")
        return load_saved(builder.artifact(self).folder / SAVED, self.model.spec.trust_remote_code, outputs=2)

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Train on the labels, then answer every item with each of the selected checkpoints."""
        from w2s_pref.models.classifier import load_classifier
        from w2s_pref.training.classify import fit_classifier

        builder.forget_models()
        loaded = load_classifier(begun(self.model.spec, self.pre, builder), builder.base, self.seed, self.head)
        job = _job(builder, self, loaded[1])
        with reading_states(builder, self.model, *loaded, self.read, self.tokens):
            done = fit_classifier(*loaded, job, work_folder(builder, self), folder)
        del loaded
        same = {step: name for name, step in done["picked"].items()}  # checkpoints of one step answer alike
        answered = {step: _margins(builder, self, folder / name) for step, name in same.items()}
        margins = {name: answered[done["picked"][name]] for name in SELECTIONS}
        curve, history = done.pop("curve"), done.pop("history")
        write_history(builder, folder, history)
        if builder.world.main:
            write_answers(folder, self.on.frame["id"], margins, curve)
            for name in SELECTIONS:
                if not (self.keep and name == SAVED):
                    shutil.rmtree(folder / name)
        builder.world.barrier()
        weights = {"supervisor_weights": job.raven.epochs} if job.raven is not None else {}
        return {**done, "items": self.rows, **weights}

    @property
    def read(self) -> list[Rows]:
        """Every item that it reads: all but half A stand in one table, which students and ceilings of a task share."""
        if self.texts is not None:
            return [self.texts]
        known = self.split.train.frame["id"].isin(self.on.frame["id"]).all()
        return [self.on] if known else [self.on, self.split.train]


def _job(builder: Builder, stage: FinetuneStage, tokenizer: PreTrainedTokenizerBase) -> ClassifyJob:
    from w2s_pref.data.tokens import item_ids
    from w2s_pref.training.classify import ClassifyJob
    from w2s_pref.training.selection import ValidationItems

    own, split, longest = targets(builder, stage.split), stage.split, stage.tokens["max_length"]
    train, validation = (_prompts(builder, stage, rows.frame["id"]) for rows in (split.train, split.validation))
    kept, said = np.flatnonzero(own.keep), heard(builder, split)
    held_out = ValidationItems(
        item_ids(validation, tokenizer, longest),
        own.validation_p.tolist(),
        split.validation.frame["truth"].tolist(),
        patience=stage.patience,
    )
    return ClassifyJob(
        item_ids([train[row] for row in kept], tokenizer, longest),
        own.p[kept].tolist(),
        LossSpec.of(stage.loss, builder.base),
        held_out,
        said={} if said is None else {str(name): said[name].to_numpy(float)[kept].tolist() for name in said},
        raven=learned(split.raven),
        arguments=stage.arguments,
        **job_facts(builder, stage),
    )


def _prompts(builder: Builder, stage: FinetuneStage, ids: pd.Series) -> list[str]:
    """Texts of items; where a label picks the text, the one with that label."""
    frame = stage.on.frame if stage.texts is None else stage.texts.frame
    known = pd.concat([frame, stage.split.train.frame]) if stage.texts is None else frame
    prompts = known.drop_duplicates("id").set_index("id")["prompt"]
    return prompts.loc[picked(builder, stage.split, ids)].tolist()


def _margins(builder: Builder, stage: FinetuneStage, folder: Path) -> Floats:
    """z1 - z0 of every item by the classifier in ``folder``."""
    from w2s_pref.models.classifier import score_items
    from w2s_pref.models.load import load_saved

    loaded = load_saved(folder, stage.model.spec.trust_remote_code, outputs=2)
    items = pd.DataFrame({"id": stage.on.frame["id"], "prompt": _prompts(builder, stage, stage.on.frame["id"])})
    shard = (builder.world.rank, builder.world.size)
    with reading_states(builder, stage.model, *loaded, stage.read, stage.tokens):
        raw = score_items(*loaded, items, stage.tokens["max_length"], shard)
    own = (raw["score_a"] - raw["score_b"]).to_numpy(float)
    return np.asarray(np.nanmax(np.stack(builder.world.gather(own)), axis=0))


@dataclass(frozen=True, eq=False)
class PromptStage(ModelStage, Classified):
    """A causal model that answers after labelled examples; nothing is trained."""

    kind: ClassVar[str] = "prompt"
    tokens: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Stage]:
        """Labels, where examples are shown."""
        return super().inputs if self.settings["shots"] else {}

    @property
    def payload(self) -> dict[str, Any]:
        """Model and token limits; examples and seed only where examples are shown, or the seed draws the weights."""
        shown = super().payload if self.settings["shots"] else {"on": self.on.texts, "settings": self.settings}
        shown |= {} if self.model.spec.from_config is None else {"seed": self.seed}
        return {**shown, "model": model_payload(self.model), "tokens": self.tokens}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Answers of one model. Nothing is trained, so the three selections are the same."""
        from w2s_pref.models.load import device
        from w2s_pref.models.policies import load_policy
        from w2s_pref.models.prompting import few_shot, pick_examples

        builder.forget_models()
        model, tokenizer = load_policy(self.model.spec, builder.base, self.seed)
        examples = None
        if self.settings["shots"]:
            items, own = self.split.train.frame, targets(builder, self.split)
            labels = pd.DataFrame({"id": items["id"], "p": own.p, "keep": own.keep})
            examples = pick_examples(items, labels, self.settings["shots"], self.seed)
        shard, longest = (builder.world.rank, builder.world.size), self.tokens["max_length"]
        raw = few_shot(model.eval().to(device()), tokenizer, self.on.frame, examples, longest, shard=shard)
        own_margin = (raw["score_a"] - raw["score_b"]).to_numpy(float)
        margin = np.nanmax(np.stack(builder.world.gather(own_margin)), axis=0)
        if builder.world.main:
            write_answers(folder, self.on.frame["id"], dict.fromkeys(SELECTIONS, margin), [])
        return {"items": len(raw), "shown": 0 if examples is None else len(examples)}
