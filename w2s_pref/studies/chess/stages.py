"""Stages of the chess study: models that learned moves, and their answers against the board and the solution.

Weak labels are a ``SampleStage`` with greedy decoding: what a supervisor writes, legal or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import chess
import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.stage import Builder, Stage, present
from w2s_pref.stages.answers import SampleStage
from w2s_pref.stages.model_stage import job_facts, work_folder, write_history
from w2s_pref.stages.policies import PolicyStage
from w2s_pref.studies.chess.notation import read_move
from w2s_pref.studies.chess.puzzles import Puzzles

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from w2s_pref.training.policy import PolicyJob


@dataclass
class MoveJob:
    """One fine-tuning.

    Attributes:
        frame: columns ``id``, ``form``, ``prompt`` and ``answer``, the text to be learned after the prompt.
        arguments: trainer arguments, and ``batch_size``.
        tokens: ``max_length`` and ``overlong`` of ``data.tokens.tokenize``.
        lora: arguments of a new adapter, whose base is at ``base_path``.
    """

    frame: pd.DataFrame
    arguments: dict[str, Any]
    tokens: dict[str, Any]
    seed: int
    lora: dict[str, Any] | None = None
    base_path: str = ""
    progress: Callable[[int, int], None] | None = field(default=None, repr=False)


def fit_moves(model: Any, tokenizer: Any, job: MoveJob, work: Path, save_to: Path) -> dict[str, Any]:
    """Fine-tune on the answers (mean loss over their tokens, eos included) and save; returns what ``fit_policy`` does.

    Raises:
        W2SError: no puzzle is left, or the loss became NaN or infinite.
    """
    from w2s_pref.training.policy import fit_policy

    if not len(job.frame):
        raise W2SError("no puzzle is left to learn from (no label is a legal move); write illegal: keep")
    policy, counts = _policy_job(tokenizer, job)
    done = fit_policy(model, tokenizer, policy, work, save_to)
    return {**done, "counts": counts, "puzzles": len(policy.a_ids)}


def _policy_job(tokenizer: PreTrainedTokenizerBase, job: MoveJob) -> tuple[PolicyJob, dict[str, int]]:
    """Supervised fine-tuning reads the preferred answer of a pair only: the other is empty."""
    from w2s_pref.data.tokens import tokenize
    from w2s_pref.losses.pairs import PairObjective
    from w2s_pref.training.policy import PolicyJob

    pairs = job.frame[["id", "form", "prompt"]].assign(a=job.frame["answer"], b="")
    tokens = tokenize(pairs, tokenizer, **job.tokens, starts=True)
    columns = {"p": [1.0] * len(tokens.ids), "sign": [0.0] * len(tokens.ids)}
    policy = PolicyJob(
        a_ids=tokens.a_ids,
        b_ids=tokens.b_ids,
        a_starts=tokens.a_starts,
        b_starts=tokens.b_starts,
        columns=columns,
        arguments=job.arguments,
        objective=PairObjective(name="sft"),
        seed=job.seed,
        lora=job.lora,
        base_path=job.base_path,
        progress=job.progress,
    )
    return policy, tokens.counts


def score_moves(frame: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """One row a puzzle: ``id, text, move, legal, right, chance``.

    ``move`` is the UCI of the legal move that the text names, else empty; ``right`` means that it is the solution's
    first move (spelling aside); ``chance`` is one by the number of legal moves: what a random legal move gets.
    """
    rows = []
    for text, fen, answer in zip(texts, frame["fen"], frame["answer"], strict=True):
        board = chess.Board(fen)
        move = read_move(board, text)
        rows.append(
            (text, move or "", move is not None, move == read_move(board, answer), 1 / board.legal_moves.count())
        )
    table = pd.DataFrame(rows, columns=["text", "move", "legal", "right", "chance"])
    return pd.concat([frame["id"].reset_index(drop=True), table], axis=1)


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
        return {**super().inputs, **present(labels=self.labels)}

    @property
    def payload(self) -> dict[str, Any]:
        """Start, puzzles, and the solutions only where they are the labels."""
        learned = {"truth": self.on.truth} if self.labels is None else {"illegal": self.illegal}
        return {**super().payload, "puzzles": self.on.texts, **learned}

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

    def build(self, builder: Builder, folder: Path) -> dict[str, Any]:
        """``table.parquet``: see ``score_moves``."""
        answers = builder.table(self.answers).sort_values("row")
        table = score_moves(self.on.frame, answers["text"].tolist())
        table.to_parquet(folder / "table.parquet", index=False)
        return {"puzzles": len(table), "legal": float(table["legal"].mean()), "right": float(table["right"].mean())}
