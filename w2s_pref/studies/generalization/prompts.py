"""Prompted classifiers: a causal model's answers after labelled examples, or after none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.engine.stage import Stage
from w2s_pref.stages.model_stage import ModelStage
from w2s_pref.stages.start import model_payload
from w2s_pref.studies.generalization.answers import SELECTIONS, Classified, targets, write_answers

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder


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
        """Model and token limits; examples and seed only where examples are shown."""
        shown = super().payload if self.settings["shots"] else {"on": self.on.texts, "settings": self.settings}
        return {**shown, "model": model_payload(self.model), "tokens": self.tokens}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """Answers of one model. Nothing is trained, so the three selections are the same."""
        from w2s_pref.models.load import device, load_policy
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
