"""Stages of the chess study: models that learned moves, and their answers against the board and the solution.

Weak labels are a ``SampleStage`` with greedy decoding: what a supervisor writes, legal or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import chess
import numpy as np
import pandas as pd

from w2s_pref.engine.stage import Stage
from w2s_pref.stages.answers import SampleStage
from w2s_pref.stages.model_stage import job_facts, work_folder, write_history
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.studies.chess.moves import MoveJob, fit_moves, score_moves
from w2s_pref.studies.chess.notation import read_move
from w2s_pref.studies.chess.puzzles import Puzzles

if TYPE_CHECKING:
    from w2s_pref.engine.build import Builder


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

    def compute(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """A model folder, and ``history.json``."""
        frame = self.taught(builder)
        builder.forget_models()
        model, tokenizer = self.start.load(builder, trainable=True)
        job = MoveJob(frame, self.arguments, self.tokens, **job_facts(builder, self))
        done = fit_moves(model, tokenizer, job, work_folder(builder, self), folder)
        write_history(builder, folder, done.pop("history"))
        pairs = frame[["id", "form", "prompt"]].assign(a=frame["answer"], b="")
        difference = self.check_saved(builder, model, tokenizer, folder, pairs)
        return {**done, "illegal_dropped": len(self.on) - len(frame), "reload_difference": difference}

    def taught(self, builder: Builder) -> pd.DataFrame:
        """Puzzles with what the model shall answer in ``answer``: the solution, or what the supervisor wrote."""
        frame = self.on.frame
        if self.labels is None:
            return frame
        texts = builder.table(self.labels).sort_values("row")["text"].tolist()
        frame = frame.assign(answer=[text if text.startswith(" ") else " " + text for text in texts])
        if self.illegal == "keep":
            return frame
        legal = [read_move(chess.Board(fen), text) is not None for fen, text in zip(frame["fen"], texts, strict=True)]
        return frame[np.array(legal, dtype=bool)]


@dataclass(frozen=True, eq=False)
class MoveScoreStage(Stage):
    """A model's answers read as moves: legal, right."""

    kind: ClassVar[str] = "move scores"
    on_main: ClassVar[bool] = True
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

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: see ``score_moves``."""
        answers = builder.table(self.answers).sort_values("row")
        table = score_moves(self.on.frame, answers["text"].tolist())
        table.to_parquet(folder / "table.parquet", index=False)
        return {"puzzles": len(table), "legal": float(table["legal"].mean()), "right": float(table["right"].mean())}
