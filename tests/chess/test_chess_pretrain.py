"""scripts/pretrain_chess.py on made-up games."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import chess
import numpy as np
import pandas as pd
import pytest
import torch
from chess_helpers import decode_moves
from float64 import EXACT
from script_helpers import load_script

from w2s_pref.core.errors import W2SError
from w2s_pref.models.policies import load_saved_policy
from w2s_pref.studies.chess.notation import build_tokenizer, read_move


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("scripts/pretrain_chess")


def random_games(count: int, plies: int = 30) -> list[str]:
    rng, games = np.random.default_rng(0), []
    for _ in range(count):
        board, words = chess.Board(), []
        while len(words) < plies and not board.is_game_over():
            move = list(board.legal_moves)[int(rng.integers(board.legal_moves.count()))]
            words.append(board.san(move))
            board.push(move)
        games.append(" ".join(words))
    return games


def test_positions_hold_the_move_that_was_played(script: ModuleType) -> None:
    texts = script.positions(random_games(10), 3, np.random.default_rng(0))
    assert len(texts.prompts) == len(texts.answers) == 30
    for prompt, answer, fen in zip(*texts, strict=True):
        assert prompt.endswith(" >")
        assert fen.split()[1] == "w"
        assert read_move(chess.Board(fen), answer) == answer
    whole = script.whole(["e4 e5 Nf3"])
    assert (whole.prompts, whole.answers) == ([""], ["e2e4 e7e5 g1f3"])


@pytest.mark.usefixtures("float64")
def test_loss_counts_the_answers_tokens_only(script: ModuleType) -> None:
    tokenizer = build_tokenizer()
    model = script.build_model("32x1", tokenizer, 0, "cpu").eval()
    texts = script.Texts(["Ke1 ke8 >", "Ke1 Qd1 ke8 pa7 >"], ["e1e2", "d1d8"], ["", ""])
    rows = script.encode(texts, tokenizer)
    assert [start for _, start in rows] == [3, 5]
    losses = []
    for ids, start in rows:
        logits = model(torch.from_numpy(ids)[None]).logits[0, start - 1 : -1]
        losses += torch.nn.functional.cross_entropy(logits, torch.from_numpy(ids)[start:], reduction="none").tolist()
    assert len(losses) == 6  # from, to and eos, twice
    assert script.loss_of(model, rows, bf16=False).item() == pytest.approx(np.mean(losses), abs=EXACT)


def test_batches_read_every_row_once(script: ModuleType) -> None:
    rows = [(np.zeros(length, dtype=np.int64), number) for number, length in enumerate([5, 9, 7] * 20)]
    seen = [row[1] for batch in script.batches(rows, 8, np.random.default_rng(0)) for row in batch]
    assert len(seen) == len(set(seen)) == 56


@pytest.mark.parametrize("form", ["position", "moves"])
def test_models_come_out_and_come_out_again(script: ModuleType, tmp_path: Path, form: str) -> None:
    games = tmp_path / "games.parquet"
    pd.DataFrame({"moves": random_games(24, 14)}).to_parquet(games)
    for out in ("one", "two"):
        script.main(
            ["--games", str(games), "--out", str(tmp_path / out), "--sizes", "t=32x1", "--form", form, "--batch", "8"]
        )
    files = [tmp_path / out / "t" / "model.safetensors" for out in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
    record = json.loads((tmp_path / "one" / "t" / "pretraining.json").read_text())
    assert record["rows"] == (22 * 4 if form == "position" else 22)
    assert record["loss"][-1] == pytest.approx(record["held_out_loss"], abs=0.2)  # both near ln 813: hardly trained
    assert (record["held_out_moves"] is None) == (form == "moves")
    model, tokenizer = load_saved_policy(tmp_path / "one" / "t")
    assert len(decode_moves(model, tokenizer, ["Ke1 ke8 >"])) == 1


def test_bad_input_is_a_sentence(script: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(W2SError, match="no such file"):
        script.main(["--games", str(tmp_path / "no.parquet"), "--out", str(tmp_path / "out")])
    pd.DataFrame({"text": ["e4"]}).to_parquet(tmp_path / "games.parquet")
    with pytest.raises(W2SError, match="needs a column 'moves'"):
        script.main(["--games", str(tmp_path / "games.parquet"), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit):
        script.arguments(["--games", "x", "--out", "y", "--sizes", "huge"])
