"""Build the stages of the chess study. Importing this module teaches the pipeline's builder how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import chess
import numpy as np
import pandas as pd

from w2s_pref.core.errors import W2SError
from w2s_pref.engine.build import Builder
from w2s_pref.studies.chess.moves import MoveJob, fit_moves, score_moves
from w2s_pref.studies.chess.notation import read_move
from w2s_pref.studies.chess.stages import MoveModelStage, MoveScoreStage

#: Answers whose log-probabilities are taken again after a model was saved and loaded.
CHECKED = 8


def build_model(builder: Builder, stage: MoveModelStage, folder: Path) -> dict[str, Any]:
    """A model folder, and ``history.json``."""
    from w2s_pref.stages.build_policy import load_start
    from w2s_pref.training.fit import quiet

    quiet()
    frame = taught(builder, stage)
    builder.let_go()
    model, tokenizer = load_start(builder, stage.start, stage.seed, trainable=True)
    work = builder.store.partial(stage.kind, stage.key)
    with builder.store.guard():
        work.mkdir(parents=True, exist_ok=True)
    spec = stage.model.spec
    job = MoveJob(
        frame, stage.arguments, stage.tokens, stage.seed, spec.lora, str(stage.model.folder or spec.path),
        builder.progress,
    )  # fmt: skip
    done = fit_moves(model, tokenizer, job, work, folder)
    history = done.pop("history")
    if builder.world.main:
        (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    dropped = len(stage.on) - len(frame)
    return {**done, "illegal_dropped": dropped, "reload_difference": _reloaded(builder, stage, model, frame, folder)}


def taught(builder: Builder, stage: MoveModelStage) -> pd.DataFrame:
    """Puzzles with what the model shall answer in ``answer``: the solution, or what the supervisor wrote."""
    frame = stage.on.frame
    if stage.labels is None:
        return frame
    texts = builder.table(stage.labels).sort_values("row")["text"].tolist()
    frame = frame.assign(answer=[text if text.startswith(" ") else " " + text for text in texts])
    if stage.illegal == "keep":
        return frame
    legal = [read_move(chess.Board(fen), text) is not None for fen, text in zip(frame["fen"], texts, strict=True)]
    return frame[np.array(legal, dtype=bool)]


def _reloaded(builder: Builder, stage: MoveModelStage, model: Any, frame: pd.DataFrame, folder: Path) -> float:
    """Load what was saved; it counts only if answers have the log-probabilities that the trained model gives them."""
    from w2s_pref.models.logprobs import logprob_pairs
    from w2s_pref.models.policy import load_saved_policy

    loaded, tokenizer = load_saved_policy(folder, stage.model.spec.trust_remote_code)
    builder.hold_policy(stage.key, loaded, tokenizer)
    few = frame.head(CHECKED)[["id", "form", "prompt"]].assign(a=frame["answer"].head(CHECKED), b="")
    models = (loaded,) if builder.world.size > 1 else (loaded, model.eval())  # several processes may share its weights
    values = [logprob_pairs(each, tokenizer, few, **stage.tokens)["logp_a"].to_numpy() for each in models]
    difference = float(np.abs(values[0] - values[-1]).max())
    tolerance = 1e-3 if stage.model.spec.dtype == "float32" else 5e-1
    if not difference <= tolerance * max(1.0, float(np.abs(values[0]).max())):
        raise W2SError(f"{stage.name}: saved and trained model differ (log-probabilities by {difference:.2g})")
    return difference


def build_scores(builder: Builder, stage: MoveScoreStage, folder: Path) -> dict[str, Any]:
    """``table.parquet``: see ``score_moves``."""
    answers = builder.table(stage.answers).sort_values("row")
    table = score_moves(stage.on.frame, answers["text"].tolist())
    if builder.world.main:
        table.to_parquet(folder / "table.parquet", index=False)
    return {"puzzles": len(table), "legal": float(table["legal"].mean()), "right": float(table["right"].mean())}


cast(Any, Builder.build).register(MoveModelStage, build_model)
cast(Any, Builder.build).register(MoveScoreStage, build_scores)
