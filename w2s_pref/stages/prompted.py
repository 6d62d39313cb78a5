"""A causal model as it is, asked which of two answers is better; with a transcript in view, where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.arrays import Floats
from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.labels.transcripts import NAMES, Spoken, compared
from w2s_pref.stages.arguments import Argued, read_pairs
from w2s_pref.stages.asked import SPOKEN, room_of, too_long
from w2s_pref.stages.labels import Scored
from w2s_pref.stages.model_stage import ModelStage, StartStage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: What the answers are called behind "Answer:", the second first, as ``few_shot`` takes classes 0 and 1.
WORDS = (f" {NAMES[1]}", f" {NAMES[0]}")
#: Tokens of its answer, for which a context must have room beside the question.
ANSWER_TOKENS = 1
#: Probability of both names together under which a model is not taken to answer the question.
LEAST_MASS = 0.5


@dataclass(frozen=True, eq=False)
class PromptedScores(ModelStage, Scored):
    """log P(" A") and log P(" B") for the answers of every pair, each the mean of both orders of the two."""

    lower: ClassVar[str] = SPOKEN
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
        scores, named, same = choices(builder, self.name, self.model, self._questions(builder))
        table = pd.DataFrame({"id": self.on.frame["id"].to_numpy(), "score_a": scores[:, 0], "score_b": scores[:, 1]})
        if builder.world.main:
            table.to_parquet(folder / "table.parquet", index=False)
        told = {"unparseable": float((named < LEAST_MASS).mean()), "same_when_swapped": float(same.mean())}
        return {"pairs": len(table), "dropped": 0, **told}

    @property
    def start(self) -> StartStage:
        """Who is asked."""
        return self.model

    @property
    def room(self) -> int | None:
        """Tokens that a question may have."""
        return room_of(self.model, ANSWER_TOKENS)

    def foreseen(self, most: int) -> list[str]:
        """Questions as far as they are known before a run, without what will be argued: of so many pairs at most."""
        return [compared(self.question, *pair, [], False) for pair in read_pairs(self.on.frame.head(most))]

    def _questions(self, builder: Builder) -> tuple[list[str], list[str]]:
        """What is asked of every pair, in its order and swapped."""
        pairs, critique = read_pairs(self.on.frame), False
        spoken: list[Spoken] = [[] for _ in pairs]
        if isinstance(self.on, Argued):
            spoken, critique = self.on.transcript.spoken(builder), self.on.transcript.critique
        plain, swapped = (
            [compared(self.question, *pair, said, critique, order) for pair, said in zip(pairs, spoken, strict=True)]
            for order in (False, True)
        )
        return plain, swapped


def choices(
    builder: Builder, name: str, start: StartStage, questions: tuple[list[str], list[str]], lower: str = SPOKEN
) -> tuple[Floats, Floats, Floats]:
    """What a causal model answers to questions that end in "A or B?".

    Args:
        questions: of every pair with ``a`` called A, and with ``a`` called B.
        lower: keys of the recipe that make them long.

    Returns:
        (N, 2) log P of the names of ``a`` and of ``b``, the means of both orders; (N,) probability of both names
        together; (N,) 1 where both orders choose the same answer.

    Raises:
        W2SError: most of the questions are longer than the model's context.
    """
    from w2s_pref.models.prompting import few_shot

    world, (model, tokenizer) = builder.world, start.recalled(builder)
    room, said = room_of(start, ANSWER_TOKENS), []
    for prompts in questions:
        _check_room(name, prompts, tokenizer, room, lower)
        items = pd.DataFrame({"id": [str(row) for row in range(len(prompts))], "prompt": prompts})
        raw = few_shot(model, tokenizer, items, None, room, WORDS, shard=(world.rank, world.size))
        said.append(np.nanmax(np.stack(world.gather(raw[["score_a", "score_b"]].to_numpy(dtype=float))), axis=0))
    first, second = said[0], said[1][:, ::-1]  # swapped, ``a`` is called B
    same = (first[:, 0] > first[:, 1]) == (second[:, 0] > second[:, 1])
    return (first + second) / 2, np.exp(np.stack([first, second])).sum(axis=2).mean(axis=0), same.astype(float)


def _check_room(
    name: str, prompts: list[str], tokenizer: PreTrainedTokenizerBase, room: int | None, lower: str
) -> None:
    long = sum(len(ids) > room for ids in tokenizer(prompts)["input_ids"]) if room is not None else 0
    if problem := too_long(name, long, len(prompts), room, lower):
        raise W2SError(problem)
