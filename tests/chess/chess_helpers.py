"""Small puzzles and models: a few legal positions from made-up games, and Llamas of a few thousand parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import chess
import numpy as np
import pandas as pd
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from w2s_pref.models.generation import SampleSettings, sample
from w2s_pref.studies.chess.notation import build_tokenizer

LICHESS = {
    "puzzle_id": "00008",
    "fen": "r6k/pp2r2p/4Rp1Q/3p4/8/1N1P2R1/PqP2bPP/7K b - - 0 24",
    "moves": "f2g3 e6e7 b2b1 b3c1 b1c1 h6c1",
    "rating": 1784,
    "themes": "crushing hangingPiece",
}
"""The first puzzle of the Lichess database: Black takes on g3, White answers e6e7."""


def random_puzzles(count: int, seed: int = 0) -> pd.DataFrame:
    """Rows as in the Lichess database: a random position and two random legal moves, ratings from 400 to 2400."""
    rng, rows = np.random.default_rng(seed), []
    while len(rows) < count:
        board, fens, moves = chess.Board(), [], []
        for _ in range(int(rng.integers(8, 40))):
            legal = sorted(move.uci() for move in board.legal_moves)
            if not legal:
                break
            fens.append(board.fen())
            moves.append(str(rng.choice(legal)))
            board.push_uci(moves[-1])
        if len(moves) > 6:
            rating = int(rng.integers(400, 2400))
            rows.append((f"p{len(rows)}", fens[-2], " ".join(moves[-2:]), rating, "random"))
    return pd.DataFrame(rows, columns=list(LICHESS))


def tiny_model(seed: int, hidden: int = 16) -> LlamaForCausalLM:
    """Random weights."""
    tokenizer = build_tokenizer()
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config).eval()


def write_model(folder: Path, seed: int, hidden: int = 16) -> Path:
    """A model folder with the chess tokenizer."""
    tiny_model(seed, hidden).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def decode_moves(
    model: Any, tokenizer: Any, prompts: Sequence[str], max_new_tokens: int = 8, batch_size: int = 256
) -> list[str]:
    """What the model writes after each prompt when it takes the most likely token every time, up to its eos."""
    settings = SampleSettings(samples=1, temperature=0.0, max_new_tokens=max_new_tokens, batch_size=batch_size)
    asked = pd.DataFrame({"form": "text", "prompt": list(prompts)})
    return list(sample(model, tokenizer, asked, settings, seed=0, max_length=None)["text"])
