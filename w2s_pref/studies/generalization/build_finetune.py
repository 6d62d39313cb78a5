"""Build fine-tuned classifiers: trained, their checkpoints asked about every item, kept only where they are read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.build import Builder
from w2s_pref.losses.spec import LossSpec
from w2s_pref.models.spec import ModelSpec
from w2s_pref.studies.generalization.answers import SELECTIONS, picked, targets, write_answers
from w2s_pref.studies.generalization.stages import FinetuneStage

#: The checkpoint that later stages read, and that is kept for them.
KEPT = "final"


def build_finetune(builder: Builder, stage: FinetuneStage, folder: Path) -> dict[str, Any]:
    """Train on the labels, then answer every item with each of the selected checkpoints."""
    from w2s_pref.models.classifier import load_classifier
    from w2s_pref.training.classify import fit_classifier
    from w2s_pref.training.fit import quiet

    quiet()
    builder.let_go()
    spec = _start(builder, stage)
    model, tokenizer = load_classifier(spec, builder.base, stage.seed, stage.head)
    work = builder.store.partial(stage.kind, stage.key)
    with builder.store.guard():
        work.mkdir(parents=True, exist_ok=True)
    done = fit_classifier(model, tokenizer, _job(builder, stage, spec, tokenizer), work, folder)
    del model
    margins = {name: _margins(builder, stage, folder / name) for name in SELECTIONS}
    if builder.world.main:
        write_answers(folder, stage.on.frame["id"], margins, done.pop("curve"))
        (folder / "history.json").write_text(json.dumps(done.pop("history")), encoding="utf-8")
        for name in SELECTIONS:
            if not (stage.keep and name == KEPT):
                shutil.rmtree(folder / name)
    builder.world.barrier()
    return {**{name: value for name, value in done.items() if name not in {"curve", "history"}}, "items": stage.rows}


def _start(builder: Builder, stage: FinetuneStage) -> ModelSpec:
    """The model as the recipe names it, or after its generative fine-tuning."""
    if stage.pre is None:
        return stage.model.spec
    return stage.model.spec.model_copy(
        update={"path": str(builder.artifact(stage.pre).folder.resolve()), "revision": None, "from_config": None}
    )


def _job(builder: Builder, stage: FinetuneStage, spec: ModelSpec, tokenizer: Any) -> Any:
    from w2s_pref.data.items import item_ids
    from w2s_pref.training.classify import ClassifyJob
    from w2s_pref.training.selection import ValidationItems

    own, split, longest = targets(builder, stage.split), stage.split, stage.tokens["max_length"]
    train, validation = (_prompts(builder, stage, rows.frame["id"]) for rows in (split.train, split.validation))
    kept = np.flatnonzero(own.keep)
    held_out = ValidationItems(
        item_ids(validation, tokenizer, longest),
        own.validation_p.tolist(),
        split.validation.frame["truth"].tolist(),
        patience=stage.patience,
    )
    return ClassifyJob(
        item_ids([train[row] for row in kept], tokenizer, longest), own.p[kept].tolist(), stage.arguments,
        LossSpec.of(stage.loss, builder.base), stage.seed, held_out, lora=spec.lora,
        base_path=str(stage.model.folder or spec.path), progress=builder.progress,
    )  # fmt: skip


def _prompts(builder: Builder, stage: FinetuneStage, ids: pd.Series) -> list[str]:
    """Texts of items; where a label picks the text, the one with that label."""
    frame = stage.on.frame if stage.texts is None else stage.texts.frame
    known = pd.concat([frame, stage.split.train.frame]) if stage.texts is None else frame
    prompts = known.drop_duplicates("id").set_index("id")["prompt"]
    return prompts.loc[picked(builder, stage.split, ids)].tolist()


def _margins(builder: Builder, stage: FinetuneStage, folder: Path) -> np.ndarray:
    """z1 - z0 of every item by the classifier in ``folder``."""
    from w2s_pref.models.classifier import load_saved_classifier, score_items

    model, tokenizer = load_saved_classifier(folder, stage.model.spec.trust_remote_code)
    items = pd.DataFrame({"id": stage.on.frame["id"], "prompt": _prompts(builder, stage, stage.on.frame["id"])})
    shard = (builder.world.rank, builder.world.size)
    raw = score_items(model, tokenizer, items, stage.tokens["max_length"], shard)
    own = (raw["score_a"] - raw["score_b"]).to_numpy(float)
    return np.asarray(np.nanmax(np.stack(builder.world.gather(own)), axis=0))


def load_tuned(builder: Builder, stage: FinetuneStage) -> tuple[Any, Any]:
    """The classifier that a stage kept.

    Raises:
        W2SError: it kept none.
    """
    from w2s_pref.models.classifier import load_saved_classifier

    if not stage.keep:
        raise W2SError(f"{stage.name}: its weights were not kept")
    return load_saved_classifier(builder.artifact(stage).folder / KEPT, stage.model.spec.trust_remote_code)
