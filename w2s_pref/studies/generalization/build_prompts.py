"""Build prompted classifiers: a causal model's answers after labelled examples, or after none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.engine.build import Builder
from w2s_pref.studies.generalization.answers import SELECTIONS, targets, write_answers
from w2s_pref.studies.generalization.stages import PromptStage


def build_prompt(builder: Builder, stage: PromptStage, folder: Path) -> dict[str, Any]:
    """Answers of one model. Nothing is trained, so the three selections are the same."""
    from w2s_pref.models.load import device
    from w2s_pref.models.policy import load_policy
    from w2s_pref.models.prompting import few_shot, pick_examples
    from w2s_pref.training.fit import quiet

    quiet()
    builder.let_go()
    model, tokenizer = load_policy(stage.model.spec, builder.base, stage.seed)
    examples = None
    if stage.settings["shots"]:
        items, own = stage.split.train.frame, targets(builder, stage.split)
        labels = pd.DataFrame({"id": items["id"], "p": own.p, "keep": own.keep})
        examples = pick_examples(items, labels, stage.settings["shots"], stage.seed)
    shard, longest = (builder.world.rank, builder.world.size), stage.tokens["max_length"]
    model = model.eval().to(device())
    raw = few_shot(model, tokenizer, stage.on.frame, examples, longest, shard=shard)
    own_margin = (raw["score_a"] - raw["score_b"]).to_numpy(float)
    margin = np.nanmax(np.stack(builder.world.gather(own_margin)), axis=0)
    if builder.world.main:
        write_answers(folder, stage.on.frame["id"], dict.fromkeys(SELECTIONS, margin), [])
    return {"items": len(raw), "shown": 0 if examples is None else len(examples)}
