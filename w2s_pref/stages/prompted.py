"""A causal model as it is, asked which of two answers is better; with a transcript in view, where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.labels.transcripts import NAMES, compared
from w2s_pref.stages.arguments import Heard, read_pairs
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.model_stage import ModelStage, StartStage

#: What the answers are called behind "Answer:", the second first, as ``few_shot`` takes classes 0 and 1.
WORDS = (f" {NAMES[1]}", f" {NAMES[0]}")
#: Probability of both names together under which a model is not taken to answer the question.
LEAST_MASS = 0.5


@dataclass(frozen=True, eq=False)
class PromptedScores(ModelStage, Scored):
    """log P(" A") and log P(" B") for the answers of every pair, each the mean of both orders of the two."""

    model: StartStage
    question: str

    @property
    def inputs(self) -> dict[str, Stage]:
        """What the transcripts are made of."""
        return self.on.inputs

    @property
    def payload(self) -> dict[str, Any]:
        """The model, the pairs, and what it is asked."""
        return {"start": self.model.payload, "rows": self.on.texts, "question": self.question}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, score_a, score_b.

        Raises:
            W2SError: most of the questions are longer than the model's context.
        """
        from w2s_pref.models.generation import prompt_room
        from w2s_pref.models.prompting import few_shot

        world, (model, tokenizer) = builder.world, self.model.recalled(builder)
        room, said = prompt_room(model, None, 1), []
        for items in self._questions(builder):
            self._check_room(items["prompt"].tolist(), tokenizer, room)
            raw = few_shot(model, tokenizer, items, None, room, WORDS, shard=(world.rank, world.size))
            said.append(np.nanmax(np.stack(world.gather(raw[["score_a", "score_b"]].to_numpy(dtype=float))), axis=0))
        first, second = said[0], said[1][:, ::-1]  # swapped, ``a`` is called B
        scores = (first + second) / 2
        table = pd.DataFrame({"id": self.on.frame["id"].to_numpy(), "score_a": scores[:, 0], "score_b": scores[:, 1]})
        if world.main:
            table.to_parquet(folder / "table.parquet", index=False)
        named = np.exp(np.stack([first, second])).sum(axis=2).mean(axis=0)
        same = (first[:, 0] > first[:, 1]) == (second[:, 0] > second[:, 1])
        told = {"unparseable": float((named < LEAST_MASS).mean()), "same_when_swapped": float(same.mean())}
        return {"pairs": len(table), "dropped": 0, **told}

    def _questions(self, builder: Builder) -> list[pd.DataFrame]:
        """``id, prompt`` of every pair, in its order and swapped."""
        pairs, critique = read_pairs(self.on.frame), False
        spoken: list[Any] = [[] for _ in pairs]
        if isinstance(self.on, Heard):
            spoken, critique = self.on.transcript.spoken(builder), self.on.transcript.critique
        return [
            pd.DataFrame(
                {
                    "id": self.on.frame["id"].to_numpy(),
                    "prompt": [
                        compared(self.question, *pair, said, critique, swapped)
                        for pair, said in zip(pairs, spoken, strict=True)
                    ],
                }
            )
            for swapped in (False, True)
        ]

    def _check_room(self, prompts: list[str], tokenizer: Any, room: int | None) -> None:
        long = sum(len(ids) > room for ids in tokenizer(prompts)["input_ids"]) if room is not None else 0
        if 2 * long > len(prompts):
            raise W2SError(
                f"{self.name}: the judge has no room for answers and transcripts: {long:,} of {len(prompts):,} "
                f"questions are longer than its context of {room} tokens; lower max_new_tokens or turns"
            )
