"""Weak labels refined: a strong model answers each pair anew, from the other weak labels of its batch.

Somerstep et al. 2024 (arXiv 2405.16236): (a) with the others as demonstrations, (b) under a concept, one sentence that
the model infers from them first. What it says is read off the probabilities of A and B; where it names neither, the
weak label stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.core.tables import digest
from w2s_pref.engine.stage import Builder, Stage
from w2s_pref.labels.make import RefineConfig
from w2s_pref.labels.transcripts import NAMES, compared
from w2s_pref.stages.arguments import read_pairs
from w2s_pref.stages.asked import asked, room_of, too_long
from w2s_pref.stages.labels import REFINED, Scored
from w2s_pref.stages.model_stage import ModelStage, StartStage
from w2s_pref.stages.prompted import ANSWER_TOKENS, LEAST_MASS, choices
from w2s_pref.training.methods import TAU

#: Longest concept in tokens.
CONCEPT_TOKENS = 48

Pair = tuple[str, tuple[str, str]]
#: By row: what the pairs are, and which side of each the weak label prefers.
Pairs = Sequence[Pair] | Mapping[int, Pair]
Sides = np.ndarray | Mapping[int, int]


@dataclass(frozen=True, eq=False)
class RefinedScores(ModelStage, Scored):
    """log P(" A") and log P(" B") of pairs that ``weak`` has scored, given the weak labels of other pairs."""

    lower: ClassVar[str] = "labels.refine.batch"
    weak: Scored
    model: StartStage
    config: RefineConfig

    @property
    def inputs(self) -> dict[str, Stage]:
        """The weak scores."""
        return {"weak": self.weak}

    @property
    def payload(self) -> dict[str, Any]:
        """The refining model, how it is asked, and the pairs."""
        return {"start": self.model.payload, "refine": self.config.model_dump(exclude={"by"}), "rows": self.on.texts}

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: id, score_a, score_b."""
        weak = builder.table(self.weak)
        pairs = read_pairs(self.on.frame.set_index("id").loc[weak["id"]].reset_index())
        margin = ((weak["score_a"] - weak["score_b"]) / TAU[self.weak.form]).to_numpy(dtype=float)
        sides, groups = np.where(margin >= 0, 0, 1), batches(weak["id"].tolist(), self.config.batch)
        mixed = sides[np.array(sorted(range(len(sides)), key=lambda row: digest("mixed", weak["id"][row])))]
        scores, named, same = self._asked(builder, pairs, sides, groups)
        shuffled, _, _ = self._asked(builder, pairs, mixed, groups)
        silent = named < LEAST_MASS
        kept = np.stack([-np.logaddexp(0.0, -margin), -np.logaddexp(0.0, margin)], axis=1)
        choice, table = scores.argmax(axis=1), np.where(silent[:, None], kept, scores)
        if builder.world.main:
            columns = {"id": weak["id"], "score_a": table[:, 0], "score_b": table[:, 1]}
            pd.DataFrame(columns).to_parquet(folder / "table.parquet", index=False)
        told = {
            "unparseable": float(silent.mean()),
            "same_when_swapped": float(same.mean()),
            "same_when_shuffled": float((choice == shuffled.argmax(axis=1)).mean()),
            "changed": float((table.argmax(axis=1) != sides).mean()),
        }
        return {"pairs": len(weak), "dropped": len(self.on) - len(weak), REFINED: told}

    @property
    def start(self) -> StartStage:
        """Who is asked."""
        return self.model

    @property
    def room(self) -> int | None:
        """Tokens that the longest text may have which the model reads."""
        return room_of(self.model, CONCEPT_TOKENS if self.config.how == "concept" else ANSWER_TOKENS)

    def foreseen(self, most: int) -> list[str]:
        """The longest texts that the model reads, of so many pairs at most: known before the labels in them are."""
        groups = batches(self.on.frame["id"].tolist(), self.config.batch)[: max(1, most // self.config.batch)]
        rows = [row for group in groups for row in group]
        pairs = dict(zip(rows, read_pairs(self.on.frame.iloc[rows]), strict=True))
        sides = dict.fromkeys(rows, 0)
        if self.config.how == "concept":
            return [self._request(pairs, sides, group) for group in groups]
        return [self._question(pairs, sides, group, row, False) for group in groups for row in group]

    def _asked(self, builder: Builder, pairs: Sequence[Pair], sides: np.ndarray, groups: list[list[int]]) -> Any:
        """``choices`` about every pair, after what these labels say of the others of its batch."""
        said: dict[int, tuple[str, str]] = {}
        concepts = self._concepts(builder, pairs, sides, groups) if self.config.how == "concept" else []
        for number, group in enumerate(groups):
            under = None if not concepts else f"{concepts[number]}\n\n" if concepts[number] else ""
            for row in group:
                first, second = (self._question(pairs, sides, group, row, order, under) for order in (False, True))
                said[row] = (first, second)
        plain, swapped = zip(*(said[row] for row in range(len(pairs))), strict=True)
        return choices(builder, self.name, self.model, (list(plain), list(swapped)), self.lower)

    def _question(
        self, pairs: Pairs, sides: Sides, group: list[int], row: int, swapped: bool, under: str | None = None
    ) -> str:
        """One pair after the others of its batch; or ``under`` the concept, where there is one."""
        before = (
            self._shown(pairs, sides, [other for other in group if other != row], swapped) if under is None else under
        )
        return before + compared(self.config.question, *pairs[row], [], False, swapped)

    def _request(self, pairs: Pairs, sides: Sides, group: list[int]) -> str:
        """What is asked for a concept."""
        return (
            f"{self._shown(pairs, sides, group, swapped=False)}In one sentence, what do the chosen answers have in "
            "common that the others lack?"
        )

    def _shown(self, pairs: Pairs, sides: Sides, rows: list[int], swapped: bool) -> str:
        """Pairs with their labels, as demonstrations."""
        asked = [compared(self.config.question, *pairs[row], [], False, swapped) for row in rows]
        return "".join(
            f"{text}\nAnswer: {NAMES[1 - sides[row] if swapped else sides[row]]}\n\n"
            for text, row in zip(asked, rows, strict=True)
        )

    def _concepts(
        self, builder: Builder, pairs: Sequence[Pair], sides: np.ndarray, groups: list[list[int]]
    ) -> list[str]:
        """What the model says in one sentence about the labels of each batch."""
        requests = [self._request(pairs, sides, group) for group in groups]
        settings = {"temperature": 0.0, "max_new_tokens": CONCEPT_TOKENS, "batch_size": 8}
        told = asked(builder, self.model, requests, settings, 0)
        if problem := too_long(self.name, told.attrs["truncated"], len(requests), self.room, self.lower):
            raise W2SError(problem)
        return told["text"].tolist()


def batches(ids: list[str], size: int) -> list[list[int]]:
    """Rows in batches, in the order of the ids' hashes; a rest of one goes to the batch before it."""
    order = sorted(range(len(ids)), key=lambda row: digest("refine", ids[row]))
    found = [order[first : first + size] for first in range(0, len(order), size)]
    if len(found) > 1 and len(found[-1]) == 1:
        rest = found.pop()
        found[-1] += rest
    return found


def sentence(name: str, by: str, told: dict[str, float]) -> str:
    """What a reader must know of refined labels."""
    if told["unparseable"] == 1:
        return (
            f"{name}: {by} named neither A nor B for any pair, so every refined label is the weak one; a model that "
            "was not taught to follow instructions cannot refine labels."
        )
    share = {what: f"{told[what]:.0%}" for what in told}
    return (
        f"{name}: {by} labelled the pairs anew; for {share['unparseable']} it named neither A nor B and the weak label "
        f"stays. {share['changed']} of the labels changed. Its choice is the same for {share['same_when_swapped']} "
        f"when A and B change places, and for {share['same_when_shuffled']} when the weak labels in view are shuffled."
    )
