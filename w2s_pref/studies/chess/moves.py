"""Moves as answers of a language model: fine-tune on them, decode them greedily, say which are legal and right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chess
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.chess.notation import read_move

if TYPE_CHECKING:
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


def _policy_job(tokenizer: Any, job: MoveJob) -> tuple[PolicyJob, dict[str, int]]:
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


def decode_moves(
    model: Any, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int = 8, batch_size: int = 256
) -> list[str]:
    """What the model writes after each prompt when it takes the most likely token every time, up to its eos."""
    from w2s_pref.models.generation import SampleSettings, sample

    settings = SampleSettings(samples=1, temperature=0.0, max_new_tokens=max_new_tokens, batch_size=batch_size)
    asked = pd.DataFrame({"form": "text", "prompt": list(prompts)})
    return list(sample(model, tokenizer, asked, settings, seed=0, max_length=None)["text"])


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
