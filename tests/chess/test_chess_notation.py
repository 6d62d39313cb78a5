"""Boards and moves as text and as tokens."""

from __future__ import annotations

from pathlib import Path

import chess
import pytest
from chess_helpers import LICHESS, random_puzzles
from transformers import AutoTokenizer

from w2s_pref.core.errors import W2SError
from w2s_pref.studies.chess.notation import (
    UNK,
    board_of,
    build_tokenizer,
    facing,
    moves_text,
    position_text,
    read_move,
    replay,
    turned,
)


def every_uci_move() -> list[str]:
    """Every move that some piece could make on an empty board, and every promotion."""
    moves = []
    for start in chess.SQUARES:
        for piece in (chess.QUEEN, chess.KNIGHT):
            board = chess.Board(None)
            board.set_piece_at(start, chess.Piece(piece, chess.WHITE))
            moves += [chess.Move(start, end).uci() for end in board.attacks(start)]
    for start, end in ((rank, rank + step) for rank in (1, 6) for step in (-1, 1) if 0 <= rank + step < 8):
        if end in (0, 7):
            for file in range(8):
                for other in {max(0, file - 1), file, min(7, file + 1)}:
                    move = chess.SQUARE_NAMES[chess.square(file, start)] + chess.SQUARE_NAMES[chess.square(other, end)]
                    moves += [move + letter for letter in "qrbn"]
    return moves


def test_every_move_survives_the_tokenizer(tmp_path: Path) -> None:
    build_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
    moves = every_uci_move()
    # 1,792 queen and knight moves, and 22 pawn steps to each last rank, each with four pieces: 1,968 in all
    assert len(set(moves)) == len(moves) == 1968
    for move in moves:
        ids = tokenizer(move, add_special_tokens=False).input_ids
        assert len(ids) == (3 if len(move) == 5 else 2)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == move
    assert len({tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}) == 4


def test_a_position_is_its_pieces_and_nothing_is_unknown() -> None:
    board = chess.Board("4k3/P7/8/3pP3/8/8/8/R3K2R w KQ d6 0 1")
    text = position_text(board)
    assert text == "Ke1 Ra1 Rh1 Pe5 Pa7 ke8 pd5 K Q ep d6 >"
    tokens = build_tokenizer()(text + " e5d6</s>").tokens()
    assert tokens == [*text.split(), "e5", "d6", "</s>"]
    for fen in random_puzzles(30)["fen"]:
        assert UNK not in build_tokenizer()(position_text(facing(chess.Board(fen)))).tokens()


def test_text_of_other_kinds_is_unknown_not_lost() -> None:
    assert UNK in build_tokenizer()("Nf3 was good").tokens()


def test_turning_the_board_keeps_the_moves() -> None:
    for fen in random_puzzles(30)["fen"]:
        board = chess.Board(fen)
        shown = facing(board)
        assert shown.turn == chess.WHITE
        own = {(move if board.turn else turned(move)).uci() for move in board.legal_moves}
        assert own == {move.uci() for move in shown.legal_moves}


@pytest.mark.parametrize(
    ("text", "move"),
    [
        ("e2e4", "e2e4"),
        (" e4", "e2e4"),
        ("Nf3!? and more", "g1f3"),
        ("e2e5", None),  # no such move
        ("e7e5", None),  # the other side's
        ("0000", None),  # the null move
        ("--", None),
        ("e2", None),
        ("Ke1", None),
        ("", None),
        ("   ", None),
    ],
)
def test_what_an_answer_means(text: str, move: str | None) -> None:
    assert read_move(chess.Board(), text) == move


def test_promotions_need_their_piece() -> None:
    board = chess.Board("4k3/P7/8/8/8/8/8/4K3 w - - 0 1")
    assert read_move(board, "a7a8n") == "a7a8n"
    assert read_move(board, "a8=Q") == "a7a8q"
    assert read_move(board, "a7a8") is None


def test_games_are_replayed_in_every_spelling() -> None:
    plain = replay("e4 e5 Nf3 Nc6")
    for game in (
        "1. e4 e5 2. Nf3 Nc6",
        "1. e4 1... e5 2. Nf3?! 2... Nc6 1/2-1/2",
        "1.e4 {best} e5 2.Nf3 $1 Nc6",
        "e2e4 e7e5 g1f3 b8c6",
    ):
        assert replay(game).fen() == plain.fen()
    assert moves_text(plain) == "e2e4 e7e5 g1f3 b8c6"


def test_bad_positions_and_games_are_sentences() -> None:
    with pytest.raises(W2SError, match=r"row 7: 'nonsense' is no FEN"):
        board_of("nonsense", "row 7")
    with pytest.raises(W2SError, match="no legal position"):
        board_of("8/8/8/8/8/8/8/K7 w - - 0 1")  # one king
    with pytest.raises(W2SError, match=r"row 2: half-move 3, 'Ke3', is no legal move"):
        replay("1. e4 e5 2. Ke3", "row 2")


def test_the_first_lichess_puzzle() -> None:
    board = board_of(LICHESS["fen"])
    board.push_uci("f2g3")
    assert position_text(board).startswith("Kh1 Qh6 Re6 Nb3 Pa2")
    assert read_move(board, "Rxe7") == "e6e7"
