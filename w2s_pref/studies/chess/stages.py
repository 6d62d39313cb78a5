"""Stages of the chess study: models that learned moves, and their answers against the board and the solution.

Weak labels are the pipeline's ``SampleStage`` with greedy decoding: what a supervisor writes, legal or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from w2s_pref.stages.policies import PolicyStage, SampleStage
from w2s_pref.stages.rewards_labels_scores import Stage
from w2s_pref.studies.chess.puzzles import Puzzles


@dataclass(frozen=True, eq=False)
class MoveModelStage(PolicyStage):
    """A language model fine-tuned on moves: the solutions (``labels`` None), or what a supervisor answered."""

    kind: ClassVar[str] = "moves"
    on: Puzzles
    labels: SampleStage | None
    illegal: Literal["keep", "drop"] = "keep"

    @property
    def inputs(self) -> dict[str, Stage]:
        """The supervisor's answers."""
        return {**super().inputs, **({"labels": self.labels} if self.labels is not None else {})}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, puzzles, and the solutions only where they are the labels."""
        learned = {"truth": self.on.truth} if self.labels is None else {"illegal": self.illegal}
        return {**super().payload, "puzzles": self.on.texts, **learned}

    @property
    def rows(self) -> int:
        """Training puzzles."""
        return len(self.on)


@dataclass(frozen=True, eq=False)
class MoveScoreStage(Stage):
    """A model's answers read as moves: legal, right."""

    kind: ClassVar[str] = "move scores"
    answers: SampleStage
    on: Puzzles

    @property
    def inputs(self) -> dict[str, Stage]:
        """The answers."""
        return {"answers": self.answers}

    @property
    def payload(self) -> dict[str, Any]:
        """Puzzles and solutions."""
        return {"puzzles": self.on.texts, "truth": self.on.truth}

    @property
    def rows(self) -> int:
        """Answers."""
        return len(self.on)
